"""`bucket-ocr models`, with real files, the real libraries, and a hub of our own on this machine."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import pytest

from consumer.domain.errors import SettingsError
from consumer.models import verify
from consumer.models.config import Model, PipelineConfig
from consumer.models.load import READY
from consumer.models.manifest import MANIFEST_NAME, Manifest, require
from tests.structure.hub import REVISION, Hub
from tests.structure.zoo import DETECTION, LAYOUT, RECOGNITION, Box, Zoo

DEADLINE_S = 60
#: Nobody listens there.
NOWHERE = "http://127.0.0.1:9"

PIPELINE = f"""
use_doc_orientation_classify: false
use_table_recognition: false
use_formula_recognition: false
use_region_detection: false
SubPipelines:
  GeneralOCR:
    use_textline_orientation: false
    SubModules:
      TextDetection: {{model_name: {DETECTION}}}
      TextRecognition: {{model_name: {RECOGNITION}}}
"""
NAMES = [LAYOUT, DETECTION, RECOGNITION]
WEIGHTS = f"{RECOGNITION}_onnx/inference.onnx"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    zoo = Zoo(tmp_path_factory.mktemp("zoo"))
    zoo.layout(Box("text", 0.1, 0.1, 0.9, 0.9))
    return zoo


@pytest.fixture
def hub(zoo: Zoo) -> Iterator[Hub]:
    with Hub(zoo.models) as hub:
        yield hub


class Machine:
    """Where the command runs: a home of its own, and a network that ends at the hub."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.models = home / "official_models"
        self.pipeline = home / "pipeline.yaml"
        self.pipeline.write_text(PIPELINE, encoding="utf-8")
        monkeypatch.setenv("PADDLE_PDX_CACHE_HOME", str(home))
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("BUCKET_OCR_", "HF_"))
            },
            "BUCKET_OCR_PIPELINE_CONFIG": str(self.pipeline),
            "BUCKET_OCR_ENGINE_RUNTIME": "onnxruntime",
            "PADDLE_PDX_HUGGING_FACE_ENDPOINT": NOWHERE,
            "MODELSCOPE_ENDPOINT": NOWHERE,
            "NO_PROXY": "127.0.0.1",
            "HOME": str(home),
        }

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "consumer", "models", *arguments],
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        with self.start(*arguments, **environment) as process:
            output, errors = process.communicate(timeout=DEADLINE_S)
            return process.returncode, output, errors

    def pull(self, hub: Hub, **environment: str) -> tuple[int, str, str]:
        return self.run("pull", **{"PADDLE_PDX_HUGGING_FACE_ENDPOINT": hub.endpoint} | environment)

    def listed(self) -> Mapping[str, Mapping[str, object]]:
        status, output, errors = self.run("list", "--json")
        assert status == 0, errors
        return {row["name"]: row for row in json.loads(output)}

    def needed(self) -> Sequence[Model]:
        return PipelineConfig.load(str(self.pipeline), "onnxruntime", "cpu").models

    def file(self, name: str) -> Path:
        return self.models / f"{name}_onnx" / "inference.onnx"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0xFF]))


def states(machine: Machine) -> list[object]:
    return [row["state"] for row in machine.listed().values()]


def test_models_are_fetched_once_with_a_cut_transfer_resumed_and_then_need_no_network(
    machine: Machine, zoo: Zoo, hub: Hub
) -> None:
    assert states(machine) == ["missing"] * len(NAMES)
    with pytest.raises(SettingsError, match=rf"{LAYOUT}.*is not there.*bucket-ocr models pull"):
        require(machine.needed())

    hub.cut = WEIGHTS
    status, output, errors = machine.pull(hub)
    assert (status, [line.split(":")[0] for line in output.splitlines() if "done" in line]) == (0, NAMES), (
        errors
    )
    size = zoo.models.joinpath(WEIGHTS).stat().st_size
    assert hub.resumed_at[f"{RECOGNITION}_onnx"] > 0
    assert size <= hub.sent[WEIGHTS] < size * 3 // 2
    for name in NAMES:
        assert machine.file(name).read_bytes() == zoo.folder(name).joinpath("inference.onnx").read_bytes()
        manifest = Manifest.model_validate_json((machine.file(name).parent / MANIFEST_NAME).read_bytes())
        assert (manifest.name, manifest.source, manifest.revision) == (name, "huggingface", REVISION)
        assert sorted(manifest.files) == ["inference.onnx", "inference.yml"]
    assert {path.name for path in machine.models.iterdir()} == {
        *(f"{name}_onnx" for name in NAMES),
        ".bucket-ocr.lock",
    }

    sent = hub.sent.total()
    assert machine.pull(hub)[0] == 0
    assert hub.sent.total() == sent

    # The hub is unknown to what follows.
    assert states(machine) == ["present"] * len(NAMES)
    require(machine.needed())
    status, output, _ = machine.run("verify")
    assert (status, output.splitlines()) == (0, [f"{name}: ok" for name in NAMES])
    assert machine.run("pull")[0] == 0


def test_a_pull_that_is_killed_leaves_nothing_under_the_final_name_and_the_next_completes_it(
    machine: Machine, hub: Hub
) -> None:
    hub.held = WEIGHTS
    with machine.start("pull", PADDLE_PDX_HUGGING_FACE_ENDPOINT=hub.endpoint) as process:
        assert hub.is_holding.wait(DEADLINE_S)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=DEADLINE_S)
    hub.released.set()
    assert states(machine) == ["present", "present", "missing"]
    with pytest.raises(SettingsError, match=rf"{RECOGNITION}.*in part only.*bucket-ocr models pull"):
        require(machine.needed())
    others = {file: count for file, count in hub.sent.items() if file != WEIGHTS}

    status, output, errors = machine.pull(hub)
    assert status == 0, errors
    assert f"{LAYOUT}: already there" in output
    assert states(machine) == ["present"] * len(NAMES)
    assert {file: hub.sent[file] for file in others} == others
    assert not list(machine.models.glob("**/*.incomplete"))


def test_damage_is_found_named_and_mended(machine: Machine, zoo: Zoo, hub: Hub) -> None:
    assert machine.pull(hub)[0] == 0
    # Of the right size, so that only reading tells.
    flip(machine.file(RECOGNITION), 1_000_000)
    # By somebody else, so without a manifest; and not to be loaded.
    machine.file(LAYOUT).with_name(MANIFEST_NAME).unlink()
    machine.file(LAYOUT).write_bytes(b"no model")
    require(machine.needed())
    status, output, _ = machine.run("verify")
    lines = {line.split(":")[0]: line for line in output.splitlines()}
    assert status == 1
    assert lines[DETECTION] == f"{DETECTION}: ok"
    assert "damaged: inference.onnx" in lines[RECOGNITION]
    assert "run `bucket-ocr models pull`" in lines[RECOGNITION]
    assert "damaged: does not load" in lines[LAYOUT]
    assert f"remove {machine.file(LAYOUT).parent}, then run `bucket-ocr models pull`" in lines[LAYOUT]

    os.truncate(machine.file(DETECTION), 1000)
    with pytest.raises(SettingsError, match=rf"{DETECTION}.*inference\.onnx \(1000 bytes instead of .*pull"):
        require(machine.needed())
    row = machine.listed()[DETECTION]
    assert row["state"] == "damaged"
    assert "inference.onnx" in str(row["faults"])

    status, _, errors = machine.pull(hub)
    assert status == 0, errors
    for name in (DETECTION, RECOGNITION):
        assert machine.file(name).read_bytes() == zoo.folder(name).joinpath("inference.onnx").read_bytes()


def test_what_no_source_has_fails_alone_and_an_own_folder_is_never_fetched(
    machine: Machine, zoo: Zoo, hub: Hub
) -> None:
    own = zoo.folder(LAYOUT)
    machine.pipeline.write_text(
        PIPELINE.replace(RECOGNITION, "en_PP-OCRv5_mobile_rec")
        + f"SubModules: {{LayoutDetection: {{model_dir: {own}}}}}\n",
        encoding="utf-8",
    )
    status, output, errors = machine.pull(hub)
    assert status == 1
    assert f"{LAYOUT}: not fetched, its folder is the configuration's: {own}" in output
    assert f"{DETECTION}: done" in output
    (line,) = errors.splitlines()
    assert "en_PP-OCRv5_mobile_rec: not fetched: huggingface: RepositoryNotFoundError" in line
    assert f"modelscope cannot be reached ({NOWHERE})" in line

    layout = machine.needed()[0]
    gone = Model(layout.role, layout.name, machine.home / "gone", layout.is_onnx, is_custom=True)
    with pytest.raises(SettingsError, match=r"gone: correct SubModules\.LayoutDetection\.model_dir"):
        require([gone])


def test_where_no_source_answers_the_status_is_3_and_the_line_says_what_to_do(machine: Machine) -> None:
    status, _, errors = machine.run("pull")
    assert status == 3
    lines = errors.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == NAMES
    assert f"huggingface cannot be reached ({NOWHERE})" in lines[0]
    assert "check the network" in lines[0]


def test_where_hugging_face_does_not_answer_models_come_from_model_scope(machine: Machine, hub: Hub) -> None:
    status, output, errors = machine.run("pull", MODELSCOPE_ENDPOINT=hub.endpoint)
    assert status == 0, errors
    assert f"{DETECTION}: fetching from modelscope" in output
    assert states(machine) == ["present"] * len(NAMES)
    manifest = Manifest.model_validate_json((machine.file(LAYOUT).parent / MANIFEST_NAME).read_bytes())
    assert (manifest.source, sorted(manifest.files)) == ("modelscope", ["inference.onnx", "inference.yml"])


@pytest.mark.parametrize(
    ("name", "value"),
    [("PADDLE_PDX_MODEL_SOURCE", "bos"), ("BUCKET_OCR_ENGINE_RUNTIME", "tensorrt")],
)
def test_settings_that_are_none_are_named_with_status_2(machine: Machine, name: str, value: str) -> None:
    status, _, errors = machine.run("pull", **{name: value})
    assert status == 2
    (line,) = errors.splitlines()
    assert name in line
    assert value in line


def test_a_model_that_ends_the_process_is_the_one_to_blame_and_the_rest_is_loaded(
    machine: Machine,
) -> None:
    nothing = "print('null')"
    crash = f"print('null', flush=True); import os; os.kill(os.getpid(), {signal.SIGSEGV.value})"

    def start(models: Sequence[Model], _: IO[bytes]) -> "subprocess.Popen[str]":
        program = f"print('{json.dumps(READY)}'); {crash if len(models) == len(NAMES) else nothing}"
        return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)

    errors = {model.name: error for model, error in verify.loaded(machine.needed(), start)}
    assert errors == {
        LAYOUT: None,
        DETECTION: "loading it ended the process (SIGSEGV)",
        RECOGNITION: None,
    }


def test_libraries_that_cannot_be_loaded_are_no_model_s_fault(machine: Machine) -> None:
    def start(_: Sequence[Model], problems: IO[bytes]) -> "subprocess.Popen[str]":
        program = "raise ImportError('libGL.so.1: no such file')"
        command = [sys.executable, "-c", program]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=problems, text=True)

    with pytest.raises(SettingsError, match=r"PaddleX cannot be loaded: ImportError: libGL\.so\.1"):
        list(verify.loaded(machine.needed(), start))


def test_a_manifest_of_another_model_and_a_folder_without_one_vouch_for_nothing(
    machine: Machine, hub: Hub
) -> None:
    assert machine.pull(hub)[0] == 0
    manifest = machine.file(LAYOUT).with_name(MANIFEST_NAME)
    manifest.write_text(manifest.read_text().replace(f'"{LAYOUT}"', '"other"'))
    assert machine.listed()[LAYOUT]["state"] == "damaged"
    machine.file(DETECTION).with_name(MANIFEST_NAME).unlink()
    status, output, _ = machine.pull(hub)
    assert status == 0
    assert f"{LAYOUT}: damaged: {MANIFEST_NAME} (of another model, other): fetched again" in output
    assert f"{DETECTION}: there, but nothing says that it is whole: fetched again" in output
    assert states(machine) == ["present"] * len(NAMES)
