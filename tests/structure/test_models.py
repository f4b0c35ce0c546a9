"""`bucket-ocr models` with real files, the real libraries, and a hub of our own on this machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from consumer.domain.errors import SettingsError
from consumer.models.config import PipelineConfig
from consumer.models.manifest import MANIFEST_NAME, Manifest, require
from consumer.models.model import Model
from tests.structure.engine import Engine, texts, written
from tests.structure.hub import REVISION, Hub
from tests.structure.zoo import DETECTION, LAYOUT, RECOGNITION, Box, Zoo

DEADLINE_S = 300
#: No server listens there.
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
    """An environment for the command: a home of its own, and a network that ends at the hub."""

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


def test_models_are_fetched_once_a_cut_transfer_goes_on_and_then_no_network_is_needed(
    machine: Machine, zoo: Zoo, hub: Hub
) -> None:
    assert states(machine) == ["missing"] * len(NAMES)
    with pytest.raises(SettingsError, match=rf"{LAYOUT}.*is missing.*bucket-ocr models pull"):
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


def test_a_killed_pull_leaves_no_final_folder_and_the_next_completes_it(machine: Machine, hub: Hub) -> None:
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


def test_damage_is_found_named_and_repaired(machine: Machine, zoo: Zoo, hub: Hub) -> None:
    assert machine.pull(hub)[0] == 0
    # The size is right, so that only reading the file shows it.
    flip(machine.file(RECOGNITION), 1_000_000)
    machine.file(LAYOUT).with_name(MANIFEST_NAME).unlink()
    require(machine.needed())
    status, output, _ = machine.run("verify")
    lines = {line.split(":")[0]: line for line in output.splitlines()}
    assert status == 1
    assert lines[DETECTION] == f"{DETECTION}: ok"
    assert "damaged: inference.onnx" in lines[RECOGNITION]
    assert "run `bucket-ocr models pull`" in lines[RECOGNITION]
    assert lines[LAYOUT] == f"{LAYOUT}: unverified: no manifest in {machine.file(LAYOUT).parent}"

    os.truncate(machine.file(DETECTION), 1000)
    with pytest.raises(SettingsError, match=rf"{DETECTION}.*inference\.onnx \(1000 bytes instead of .*pull"):
        require(machine.needed())
    row = machine.listed()[DETECTION]
    assert row["state"] == "damaged"
    assert "inference.onnx" in str(row["problems"])

    status, _, errors = machine.pull(hub)
    assert status == 0, errors
    for name in NAMES:
        assert machine.file(name).read_bytes() == zoo.folder(name).joinpath("inference.onnx").read_bytes()


def test_a_model_that_no_source_has_fails_alone_and_a_custom_folder_is_not_fetched(
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
    gone = replace(layout, folder=machine.home / "gone")
    with pytest.raises(SettingsError, match=r"gone: correct SubModules\.LayoutDetection\.model_dir"):
        require([gone])


def test_without_any_source_the_status_is_3_and_the_line_says_what_to_do(machine: Machine) -> None:
    status, _, errors = machine.run("pull")
    assert status == 3
    lines = errors.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == NAMES
    assert f"huggingface cannot be reached ({NOWHERE})" in lines[0]
    assert "check the network" in lines[0]


def test_models_come_from_model_scope_if_hugging_face_does_not_answer(machine: Machine, hub: Hub) -> None:
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
def test_a_wrong_setting_is_named_with_status_2(machine: Machine, name: str, value: str) -> None:
    status, _, errors = machine.run("pull", **{name: value})
    assert status == 2
    (line,) = errors.splitlines()
    assert name in line
    assert value in line


def test_the_network_of_other_languages_is_fetched_and_reads(
    machine: Machine, zoo: Zoo, hub: Hub, signals: None, tmp_path: Path
) -> None:
    name = "korean_PP-OCRv5_mobile_rec"
    shutil.copytree(zoo.folder(RECOGNITION), zoo.folder(name))
    description = zoo.folder(name) / "inference.yml"
    description.write_text(description.read_text("utf-8").replace(RECOGNITION, name), "utf-8")
    machine.pipeline.write_text(
        PIPELINE.replace(f"TextRecognition: {{model_name: {RECOGNITION}}}", ""), encoding="utf-8"
    )
    status, output, errors = machine.pull(hub, BUCKET_OCR_LANGUAGES="ko")
    assert (status, f"{name}: done" in output) == (0, True), errors
    assert machine.run("verify", BUCKET_OCR_LANGUAGES="ko,en")[0] == 0

    engine = Engine(machine.pipeline, "onnxruntime", 1, tmp_path, languages="korean")
    assert engine.is_ready.models["text_recognition"] == name
    assert texts(engine.read_one(written("order 58213"))) == ["order58213"]


def test_a_folder_is_fetched_again_without_a_manifest_or_with_a_wrong_one(machine: Machine, hub: Hub) -> None:
    assert machine.pull(hub)[0] == 0
    manifest = machine.file(LAYOUT).with_name(MANIFEST_NAME)
    manifest.write_text(manifest.read_text().replace(f'"{LAYOUT}"', '"other"'))
    assert machine.listed()[LAYOUT]["state"] == "damaged"
    machine.file(DETECTION).with_name(MANIFEST_NAME).unlink()
    status, output, _ = machine.pull(hub)
    assert status == 0
    assert f"{LAYOUT}: damaged: {MANIFEST_NAME} (of another model, other): fetched again" in output
    assert f"{DETECTION}: without a manifest: fetched again" in output
    assert states(machine) == ["present"] * len(NAMES)
