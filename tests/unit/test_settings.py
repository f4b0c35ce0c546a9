"""Settings are read once, from the environment and `.env`; contradictions are refused."""

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from consumer.domain.errors import SettingsError
from consumer.domain.outputs import NAMES
from consumer.settings import PREFIX, Settings, load, unknown

ROOT = Path(__file__).parents[2]
QUEUE_URL = "http://localhost:4566/000000000000/ocr"


@pytest.fixture(autouse=True)
def _nothing_but_a_queue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.setenv(f"{PREFIX}QUEUE_URL", QUEUE_URL)
    monkeypatch.chdir(tmp_path)


def test_a_queue_is_all_that_must_be_set() -> None:
    assert load(Settings).model_dump() == {
        "queue_url": QUEUE_URL,
        "engine": "auto",
        "device": "auto",
        "engine_runtime": "auto",
        "pipeline_config": None,
        "languages": "auto",
        "layout": "auto",
        "engine_workers": None,
        "batch_pages": None,
        "render_workers": None,
        "render_dpi": 144.0,
        "max_in_flight": None,
        "lease_s": 60,
        "stall_s": 300.0,
        "drain_s": 100.0,
        "part_pages": 64,
        "max_file_bytes": 1024**3,
        "max_pages": 20_000,
        "max_page_pixels": 40_000_000,
        "recycle_pages": 2000,
        "recycle_rss_bytes": None,
        "work_dir": None,
        "outputs": {"json"},
        "sandbox": "auto",
        "words": False,
        "sse": None,
        "sse_kms_key_id": None,
        "completion_topic_arn": None,
        "health_host": "127.0.0.1",
        "health_port": 8080,
        "idle_exit_s": None,
        "log_format": "auto",
        "log_level": "info",
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ENGINE", "RapidOCR", "rapidocr"),
        ("DEVICE", "GPU:0,1", "gpu:0,1"),
        ("ENGINE_RUNTIME", "Paddle_FP16", "paddle_fp16"),
        ("PIPELINE_CONFIG", "fast", "fast"),
        ("LANGUAGES", "RU, en", "eslav"),
        ("LANGUAGES", "", "auto"),
        ("ENGINE_WORKERS", "3", 3),
        ("ENGINE_WORKERS", "Auto", None),
        ("BATCH_PAGES", "", None),
        ("RENDER_DPI", "72", 72.0),
        ("STALL_S", "60", 60.0),
        ("DRAIN_S", "0", 0.0),
        ("WORK_DIR", ".", Path()),
        (
            "COMPLETION_TOPIC_ARN",
            "arn:aws:sns:eu-west-1:123456789012:done",
            "arn:aws:sns:eu-west-1:123456789012:done",
        ),
        ("SSE", "aes256", "AES256"),
        ("SSE", "AWS:KMS", "aws:kms"),
        ("SSE", "", None),
        ("OUTPUTS", "Markdown, json", {"json", "markdown"}),
        ("OUTPUTS", "markdown", {"json", "markdown"}),
        ("OUTPUTS", "", {"json"}),
        ("HEALTH_HOST", "0.0.0.0", "0.0.0.0"),
        ("HEALTH_PORT", "0", 0),
        ("SANDBOX", "Require", "require"),
        ("IDLE_EXIT_S", "60", 60.0),
        ("LOG_LEVEL", "DEBUG", "debug"),
    ],
)
def test_a_setting_is_read_from_the_variable_with_our_prefix(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(name, "nonsense")
    monkeypatch.setenv(PREFIX + name, text)
    assert getattr(load(Settings), name.lower()) == value


def test_the_environment_overrules_the_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"{PREFIX}LEASE_S=30\n{PREFIX}STALL_S=90\nAWS_REGION=eu-central-1\n")
    monkeypatch.setenv(f"{PREFIX}LEASE_S", "45")
    settings = load(Settings)
    assert (settings.lease_s, settings.stall_s) == (45, 90.0)


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"QUEUE_URL": None}, "QUEUE_URL is not set"),
        ({"QUEUE_URL": ""}, "QUEUE_URL is not set"),
        ({"LEASE_S": "abc"}, "LEASE_S='abc': "),
        ({"LEASE_S": "9"}, "LEASE_S='9': "),
        ({"STALL_S": "30"}, f"STALL_S (30) must be at least {PREFIX}LEASE_S (60)"),
        ({"LEASE_S": "400"}, f"STALL_S (300) must be at least {PREFIX}LEASE_S (400)"),
        ({"STALL_S": "nan"}, "STALL_S='nan': "),
        ({"SSE": "sse-c"}, "SSE='sse-c': "),
        ({"SSE_KMS_KEY_ID": "alias/ocr"}, f"SSE_KMS_KEY_ID needs {PREFIX}SSE=aws:kms"),
        ({"SSE": "AES256", "SSE_KMS_KEY_ID": "k"}, f"SSE_KMS_KEY_ID needs {PREFIX}SSE=aws:kms"),
        ({"DEVICE": "tpu"}, "DEVICE='tpu': must be auto, cpu, gpu, or gpu:0 and the like"),
        ({"DEVICE": "gpu:0,"}, "DEVICE='gpu:0,': "),
        ({"ENGINE_RUNTIME": "tensorrt"}, "ENGINE_RUNTIME='tensorrt': "),
        ({"LANGUAGES": "klingon"}, "LANGUAGES='klingon': no network reads all of that"),
        ({"ENGINE_WORKERS": "0"}, "ENGINE_WORKERS='0': "),
        ({"SANDBOX": "on"}, "SANDBOX='on': "),
        ({"BATCH_PAGES": "251"}, "BATCH_PAGES='251': "),
        ({"RENDER_DPI": "nan"}, "RENDER_DPI='nan': "),
        ({"MAX_PAGE_PIXELS": "9999"}, "MAX_PAGE_PIXELS='9999': "),
        ({"WORK_DIR": "missing/folder"}, "WORK_DIR (missing/folder) is not a folder"),
        ({"COMPLETION_TOPIC_ARN": "done"}, "COMPLETION_TOPIC_ARN='done': must be the ARN of an SNS topic"),
        ({"COMPLETION_TOPIC_ARN": "arn:aws:sns:eu-west-1:123456789012:done.fifo"}, "COMPLETION_TOPIC_ARN="),
        ({"OUTPUTS": "json,docx"}, "OUTPUTS='json,docx': unknown: docx (known: alto, "),
        ({"WORDS": "ja"}, "WORDS='ja': must be true or false"),
        ({"HEALTH_PORT": "65536"}, "HEALTH_PORT='65536': "),
        ({"IDLE_EXIT_S": "0"}, "IDLE_EXIT_S='0': "),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT='xml': "),
    ],
)
def test_a_contradiction_is_one_line_that_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str | None], problem: str
) -> None:
    for name, text in environment.items():
        if text is None:
            monkeypatch.delenv(PREFIX + name)
        else:
            monkeypatch.setenv(PREFIX + name, text)
    with pytest.raises(SettingsError) as refused:
        load(Settings)
    assert str(refused.value).startswith(PREFIX + problem)
    assert "\n" not in str(refused.value)
    assert "; " not in str(refused.value)


def test_all_problems_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(f"{PREFIX}QUEUE_URL")
    monkeypatch.setenv(f"{PREFIX}DEVICE", "foo")
    with pytest.raises(SettingsError, match=rf"{PREFIX}DEVICE='foo': [^\n]*; {PREFIX}QUEUE_URL [^\n]*\Z"):
        load(Settings)


def test_a_work_dir_that_is_a_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.touch(mode=0o755)
    monkeypatch.setenv(f"{PREFIX}WORK_DIR", str(program))
    with pytest.raises(SettingsError, match="WORK_DIR"):
        load(Settings)


def test_settings_do_not_change_after_the_start() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(Settings).lease_s = 5  # type: ignore[misc]


def test_only_misspelt_names_of_ours_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(PREFIX + name.upper(), "")
    for name in ("AWS_REGION", "LEASE_S", "NO_BUCKET_OCR_X"):
        monkeypatch.setenv(name, "")
    assert unknown() == []

    monkeypatch.setenv(f"{PREFIX}LEASES", "")
    Path(".env").write_text("bucket_ocr_engin=rapidocr\nOTHER=1\n")
    assert unknown() == [f"{PREFIX}ENGIN", f"{PREFIX}LEASES"]


def test_the_example_has_every_setting_and_every_output() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    names = re.findall(rf"^#? ?{PREFIX}(\w+)=", example, re.MULTILINE)
    assert sorted(names) == sorted(map(str.upper, Settings.model_fields))
    (paragraph,) = (each for each in example.split("\n\n") if f"{PREFIX}OUTPUTS=" in each)
    assert set(re.findall(r"\w+", paragraph)) >= NAMES


def test_the_page_of_outputs_has_every_one() -> None:
    page = (ROOT / "docs/outputs.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == NAMES
