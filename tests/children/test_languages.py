"""RapidOCR reads other languages with a network that was fetched from a hub of our own on this machine."""

import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from consumer.clock import SystemClock, Watchdog
from consumer.domain.errors import SettingsError
from consumer.domain.page import PageImage
from consumer.models import rapidocr
from consumer.models.manifest import MANIFEST_NAME, Manifest, State, check
from consumer.models.model import Model
from consumer.models.pull import PullError, pull
from consumer.processes.layout import ProcessLayout
from consumer.processes.recognizer import PageRecognizer
from consumer.settings import Settings
from tests.structure.hub import Hub

DEADLINE_S = 300
#: No server listens there.
NOWHERE = "http://127.0.0.1:9"

NAME = "korean_PP-OCRv5_rec_mobile"
FILE = f"RapidOCR/{NAME}.onnx"
TEXT = "ORDER 58213"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hub's files: the network of the wheel under the name of another one."""
    wheel = importlib.util.find_spec("rapidocr")
    assert wheel is not None
    assert wheel.origin is not None
    models = tmp_path_factory.mktemp("models")
    (models / FILE).parent.mkdir()
    shutil.copyfile(Path(wheel.origin).parent / "models" / "PP-OCRv6_rec_small.onnx", models / FILE)
    return models


@pytest.fixture
def hub(models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub(models) as hub:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PADDLE_PDX_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "rapidocr"


@pytest.fixture
def model(home: Path) -> Model:
    (model,) = rapidocr.recognition("korean")
    assert model.folder == home / NAME
    return model


def fetched(model: Model, models: Path) -> list[PullError]:
    """Pull with the hash of the hub's file; RapidOCR's list has that of the real one."""
    digest = hashlib.sha256((models / FILE).read_bytes()).hexdigest()
    return pull([model], lambda name: rapidocr.Listed(rapidocr.listed(name).url, digest))


def command(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    settings = {"BUCKET_OCR_ENGINE": "rapidocr", "BUCKET_OCR_LANGUAGES": "ko"}
    return subprocess.Popen(
        [sys.executable, "-m", "consumer", "models", *arguments],
        env=os.environ | settings | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    with command(*arguments, **environment) as process:
        output, errors = process.communicate(timeout=DEADLINE_S)
        return process.returncode, output, errors


def written(folder: Path) -> PageImage:
    """Store a page with a line of text."""
    page = np.full((200, 600, 3), 255, np.uint8)
    cv2.putText(page, TEXT, (60, 120), cv2.FONT_HERSHEY_SIMPLEX, 2.0, (0, 0, 0), 4)
    path = folder / "page.bgr"
    page.tofile(path)
    image = {"page_number": 1, "path": str(path), "width_px": 600, "height_px": 200, "scale": 1.0}
    return PageImage.model_validate(image | {"dpi": None, "downscaled": False, "render_s": 0.0})


def recognizer(folder: Path, languages: str = "ko") -> PageRecognizer:
    options = Settings(queue_url="q", engine="rapidocr", engine_workers=1, languages=languages)
    layout = ProcessLayout.of(options, folder)
    watchdog = Watchdog(SystemClock())
    return PageRecognizer(layout.engines, layout.recycle_policy, layout.engine.progress_deadline_s, watchdog)


async def test_an_engine_reads_with_the_network_that_was_fetched_and_names_it(
    tmp_path: Path, model: Model, models: Path, hub: Hub
) -> None:
    assert fetched(model, models) == []
    assert (model.folder / rapidocr.FILE).read_bytes() == (models / FILE).read_bytes()
    manifest = Manifest.model_validate_json((model.folder / MANIFEST_NAME).read_bytes())
    assert (manifest.name, manifest.revision) == (NAME, rapidocr.listed(NAME).url)
    sent = hub.sent.total()

    status, output, _ = run("list", "--json")
    assert (status, [row["state"] for row in json.loads(output)]) == (0, ["present"])
    status, output, _ = run("verify")
    assert (status, output) == (0, f"{NAME}: ok\n")
    engine = recognizer(tmp_path)
    async with engine.running():
        assert engine.engine.models["recognition"] == NAME
        assert engine.engine.models["detection"] == "PP-OCRv6_det_small"
        (page,) = await engine.read([written(tmp_path)])
    assert [line.text for line in page.detections] == [TEXT]
    assert run("pull")[:2] == (0, f"{NAME}: already there\n")
    assert hub.sent.total() == sent


async def test_an_engine_for_arabic_letters_has_all_that_it_needs(tmp_path: Path, models: Path) -> None:
    (model,) = rapidocr.recognition("arabic")
    model.folder.mkdir(parents=True)
    shutil.copyfile(models / FILE, model.folder / rapidocr.FILE)
    engine = recognizer(tmp_path, "ar,en")
    async with engine.running():
        assert engine.engine.models["recognition"] == model.name
        (page,) = await engine.read([written(tmp_path)])
    assert [line.text for line in page.detections] == [TEXT]


async def test_an_engine_without_its_network_does_not_start_nor_read_with_another(
    tmp_path: Path, hub: Hub
) -> None:
    with pytest.raises(SettingsError, match=rf"{NAME} \(recognition\) is missing.*bucket-ocr models pull"):
        async with recognizer(tmp_path).running():
            pass
    assert not hub.sent


async def test_a_damaged_network_is_named_by_an_engine_and_fetched_again(
    tmp_path: Path, model: Model, models: Path, hub: Hub
) -> None:
    assert fetched(model, models) == []
    os.truncate(model.folder / rapidocr.FILE, 1000)
    with pytest.raises(SettingsError, match=r"is damaged: inference\.onnx \(1000 bytes instead of"):
        async with recognizer(tmp_path).running():
            pass
    assert fetched(model, models) == []
    assert check(model, hashed=True).is_proved


def test_a_file_of_another_hash_than_rapidocr_lists_is_refused(hub: Hub, home: Path) -> None:
    status, _, errors = run("pull")
    assert status == 1
    assert f"{NAME}: not fetched: modelscope: inference.onnx is not what is listed there" in errors
    assert hub.sent[FILE] > 0
    assert not (home / NAME).exists()
    assert not list(home.rglob("*.onnx*"))


@pytest.mark.parametrize("resumes", [True, False])
def test_a_transfer_that_is_cut_goes_on_or_starts_again(
    model: Model, models: Path, hub: Hub, *, resumes: bool
) -> None:
    hub.cut, hub.resumes = FILE, resumes
    assert fetched(model, models) == []
    assert check(model, hashed=True).is_proved
    size = (models / FILE).stat().st_size
    # Of the piece that was cut, what had come is fetched again.
    assert size <= hub.sent[FILE] < size * 3 // 2 if resumes else hub.sent[FILE] == size + size * 3 // 4
    assert [path.name for path in model.folder.parent.iterdir() if path.is_dir()] == [NAME]


def test_a_killed_pull_leaves_no_final_folder_and_the_next_goes_on(
    model: Model, models: Path, hub: Hub
) -> None:
    hub.held = FILE
    with command("pull") as process:
        assert hub.is_holding.wait(DEADLINE_S)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=DEADLINE_S)
    hub.released.set()
    assert check(model).state is State.MISSING
    assert check(model).problems == ("fetched in part only",)

    assert fetched(model, models) == []
    assert hub.resumed_at["RapidOCR"] > 0
    assert check(model, hashed=True).is_proved


def test_a_transfer_that_ended_before_its_file_had_a_name_is_not_repeated(
    model: Model, models: Path, hub: Hub
) -> None:
    unfinished = model.folder.with_name(f".{NAME}.partial") / "modelscope" / f"{rapidocr.FILE}.incomplete"
    unfinished.parent.mkdir(parents=True)
    shutil.copyfile(models / FILE, unfinished)
    assert fetched(model, models) == []
    assert (check(model, hashed=True).is_proved, hub.sent[FILE]) == (True, 0)


def test_without_the_hub_the_status_is_3_and_the_line_names_the_setting_of_a_mirror() -> None:
    status, _, errors = run("pull", MODELSCOPE_ENDPOINT=NOWHERE)
    assert status == 3
    (line,) = errors.splitlines()
    assert f"modelscope cannot be reached ({NOWHERE})" in line
    assert "set MODELSCOPE_ENDPOINT to a mirror" in line


@pytest.mark.parametrize("name", ["list", "pull", "verify"])
def test_rapidocr_needs_no_files_for_what_it_ships(name: str) -> None:
    status, output, _ = run(name, BUCKET_OCR_LANGUAGES="auto", MODELSCOPE_ENDPOINT=NOWHERE)
    assert (status, output) == (0, "rapidocr: its models come with it; nothing needs to be fetched\n")


def test_languages_that_no_network_reads_are_a_wrong_setting() -> None:
    status, _, errors = run("pull", BUCKET_OCR_LANGUAGES="ru,th")
    assert (status, errors.count("\n")) == (2, 1)
    assert errors.startswith("bucket-ocr: BUCKET_OCR_LANGUAGES='ru,th': no network reads all of that")
