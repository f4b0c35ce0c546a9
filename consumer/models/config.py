"""The pipeline of PP-StructureV3 as configured, and the models that it loads."""

import copy
import hashlib
import json
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from importlib.util import find_spec
from itertools import accumulate
from operator import getitem
from pathlib import Path
from typing import Any, Final, Literal, Self

from consumer.domain.errors import SettingsError
from consumer.domain.languages import SHIPPED
from consumer.models import pipeline_file
from consumer.models.model import Model, Publisher, home
from consumer.models.pipeline_file import SETTING

_PACKAGED: Final = Path(__file__).parents[1] / "pipelines"
_NO_PRESET: Final = "balanced"
PRESETS: Final = (_NO_PRESET, "fast", "full")

#: Backend that runs the networks; `paddle_fp16` is Paddle in half precision.
Runtime = Literal["paddle", "paddle_fp16", "onnxruntime"]

#: Keys that do not change a result.
_IRRELEVANT: Final = frozenset({"batch_size", "engine", "model_dir"})

_PREPROCESSOR: Final = "SubPipelines.DocPreprocessor.SubModules"
_TEXT: Final = "SubPipelines.GeneralOCR.SubModules"
_RECOGNITION: Final = f"{_TEXT}.TextRecognition"
_TABLE: Final = "SubPipelines.TableRecognition.SubModules"
_SEAL: Final = "SubPipelines.SealRecognition.SubPipelines.SealOCR.SubModules"
_TABLE_SWITCH: Final = "use_table_recognition"

#: By the role of a model in results: the switch without which it is not loaded, and its place in the file.
_ROLES: Final[Mapping[str, tuple[str | None, str]]] = {
    "layout": (None, "SubModules.LayoutDetection"),
    "region": ("use_region_detection", "SubModules.RegionDetection"),
    "chart": ("use_chart_recognition", "SubModules.ChartRecognition"),
    "page_orientation": ("use_doc_orientation_classify", f"{_PREPROCESSOR}.DocOrientationClassify"),
    "unwarping": ("use_doc_unwarping", f"{_PREPROCESSOR}.DocUnwarping"),
    "text_detection": (None, f"{_TEXT}.TextDetection"),
    "line_orientation": ("SubPipelines.GeneralOCR.use_textline_orientation", f"{_TEXT}.TextLineOrientation"),
    "text_recognition": (None, _RECOGNITION),
    "table_class": (_TABLE_SWITCH, f"{_TABLE}.TableClassification"),
    "wired_table": (_TABLE_SWITCH, f"{_TABLE}.WiredTableStructureRecognition"),
    "wireless_table": (_TABLE_SWITCH, f"{_TABLE}.WirelessTableStructureRecognition"),
    "wired_cells": (_TABLE_SWITCH, f"{_TABLE}.WiredTableCellsDetection"),
    "wireless_cells": (_TABLE_SWITCH, f"{_TABLE}.WirelessTableCellsDetection"),
    "seal_detection": ("use_seal_recognition", f"{_SEAL}.TextDetection"),
    "seal_recognition": ("use_seal_recognition", f"{_SEAL}.TextRecognition"),
    "formula": ("use_formula_recognition", "SubPipelines.FormulaRecognition.SubModules.FormulaRecognition"),
}

#: Files of a model; each tuple lists alternatives.
_PADDLE_FILES: Final = (
    ("inference.yml",),
    ("inference.json", "inference.pdmodel", "model.safetensors", "model_state.pdparams"),
    ("inference.pdiparams", "model.safetensors", "model_state.pdparams"),
)
_ONNX_FILES: Final = (("inference.yml",), ("inference.onnx",))

#: Roles whose models have no ONNX package.
_PADDLE_ONLY: Final = frozenset({"formula", "seal_detection", "chart"})

#: Paddle's builds for GPUs are not on PyPI.
GPU_HINT: Final = (
    "install paddlepaddle-gpu for the CUDA version of the driver "
    "(https://www.paddlepaddle.org.cn/en/install/quick), or set BUCKET_OCR_DEVICE=cpu"
)


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """A checked configuration. `config` is PaddleX's, but without folders of models and sizes of batches."""

    config: Mapping[str, Any]
    runtime: Runtime
    models: tuple[Model, ...]

    @classmethod
    def load(
        cls, pipeline: str | None, runtime: Runtime | None, device: str, languages: str = SHIPPED.name
    ) -> Self:
        """Merge the packaged file with `pipeline`: the name of a preset, or the path of a YAML file.

        `runtime`: None for the one that is installed, Paddle first. `languages`: name of the group whose
        network reads the text. Raises SettingsError.
        """
        config = pipeline_file.read(_PACKAGED / "PP-StructureV3.yaml")
        if pipeline is not None and pipeline != _NO_PRESET:
            path = _PACKAGED / f"{pipeline}.yaml" if pipeline in PRESETS else Path(pipeline)
            try:
                changes = pipeline_file.read(path)
            except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a name that no file can have
                presets = ", ".join(PRESETS)
                text = f"{SETTING} is neither a preset ({presets}) nor a file: {error}"
                raise SettingsError(text) from error
            config = pipeline_file.merge(config, changes, path)
            if languages != SHIPPED.name and pipeline not in PRESETS:
                _refuse_second_choice(changes, languages)
        if languages != SHIPPED.name:
            _at(config, _RECOGNITION)["model_name"] = f"{languages}_PP-OCRv5_mobile_rec"
        runtime = runtime or _installed_runtime(device)
        # PaddleX has five switches in two places for this, and takes absent ones for on.
        switches = {
            name: bool(config[name]) for name in ("use_doc_orientation_classify", "use_doc_unwarping")
        }
        config["SubPipelines"]["DocPreprocessor"].update(switches)
        config["use_doc_preprocessor"] = any(switches.values())
        return cls(config, runtime, tuple(_models(config, runtime)))

    def runnable(
        self, batch_pages: int, device: str, engine_config: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Return PaddleX's configuration for batches of `batch_pages`, with which it downloads no model.

        `engine_config`: settings of each module engine, by its name, as the whole pipeline gets them.
        """
        config = copy.deepcopy(dict(self.config))
        _add_engine_config(config, engine_config)
        config["batch_size"] = batch_pages
        for model in self.models:
            module = _at(config, _ROLES[model.role][1])
            module["model_dir"] = str(model.folder)
            # The official layout model in ONNX fails on larger batches. Lines of a batch are padded to the
            # widest, and a processor reads the white too (measured: in batches of 32 a page takes four times
            # as long).
            if (model.role == "layout" and model.is_onnx) or (
                model.role == "text_recognition" and device == "cpu"
            ):
                module["batch_size"] = 1
        return config

    @property
    def digest(self) -> str:
        """Digest of everything that changes a result: not batches, places of models, or module engines.

        A published model counts by its name, a custom one by the content of every file.
        """
        facts = {
            "config": _relevant(self.config),
            "half": self.runtime == "paddle_fp16",
            "own": {model.role: _digest(model.folder) for model in self.models if model.is_custom},
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _installed_runtime(device: str) -> Runtime:
    if find_spec("paddle"):
        return "paddle"
    if device == "cpu" and find_spec("onnxruntime"):
        return "onnxruntime"
    remedy = ": pip install paddlepaddle, or onnxruntime" if device == "cpu" else f" on {device}: {GPU_HINT}"
    raise SettingsError(f"nothing is installed that runs PP-StructureV3{remedy}")


def _models(config: Mapping[str, Any], runtime: Runtime) -> Iterator[Model]:
    for role, (switch, place) in _ROLES.items():
        if switch is not None and not _at(config, switch):
            continue
        # From the module outwards: the engine of the innermost section that names one is the module's.
        sections: list[Any] = list(accumulate(place.split("."), getitem, initial=config))[::-1]
        is_onnx = (ChainMap(*sections).get("engine") or runtime) == "onnxruntime"
        name, custom = sections[0]["model_name"], sections[0].get("model_dir")
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise SettingsError(f"{SETTING}: {name!r} at {place}.model_name is no model's name")
        official = home() / "official_models" / (f"{name}_onnx" if is_onnx else name)
        yield Model(
            role=role,
            name=name,
            folder=Path(custom).expanduser() if custom else official,
            files=_ONNX_FILES if is_onnx else _PADDLE_FILES,
            publisher=Publisher.PADDLE,
            is_onnx=is_onnx,
            place=place,
            is_custom=bool(custom),
            is_published=not (is_onnx and role in _PADDLE_ONLY),
        )


def _refuse_second_choice(changes: Mapping[str, Any], languages: str) -> None:
    """Raise SettingsError if a file of the operator's names another network for text recognition."""
    module: Mapping[str, Any] = reduce(lambda part, key: part.get(key, {}), _RECOGNITION.split("."), changes)
    if keys := sorted({"model_name", "model_dir"} & module.keys()):
        raise SettingsError(
            f"BUCKET_OCR_LANGUAGES={languages} and {_RECOGNITION}.{keys[0]} in {SETTING} both choose the "
            "network for text recognition: remove one of them"
        )


def _at(config: Mapping[str, Any], place: str) -> Any:
    return reduce(getitem, place.split("."), config)


def _digest(folder: Path) -> str:
    """Digest of the names and contents of all files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder)} {content}\n".encode())
    return digest.hexdigest()


def _add_engine_config(section: dict[str, Any], engine_config: Mapping[str, Mapping[str, Any]]) -> None:
    """Add our settings to a section's own, which PaddleX would take in place of ours."""
    if (own := section.get("engine_config")) is not None:
        section["engine_config"] = {name: {**engine_config.get(name, {}), **own[name]} for name in own}
    for value in section.values():
        if isinstance(value, dict) and value is not own:
            _add_engine_config(value, engine_config)


def _relevant(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _relevant(part) for key, part in value.items() if key not in _IRRELEVANT}
    return value
