"""The pipeline of PP-StructureV3 as configured: the packaged file merged with another, and its models."""

import copy
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal, Self

import yaml

from consumer.domain.errors import SettingsError

_PACKAGED: Final = Path(__file__).parents[1] / "pipelines"
_BASE: Final = _PACKAGED / "PP-StructureV3.yaml"
_NO_PRESET: Final = "balanced"
PRESETS: Final = (_NO_PRESET, "fast", "full")

#: What modules may say beyond what the packaged file has, and what their pipelines may. For the whole there
#: are settings.
_EXTRA_OF_PIPELINES: Final = frozenset({"engine", "engine_config"})
_EXTRA_OF_MODULES: Final = _EXTRA_OF_PIPELINES | {"model_dir", "batch_size"}

#: What may run a module of its own.
_ENGINES: Final = ("paddle", "paddle_static", "paddle_dynamic", "onnxruntime")

#: Does not change what is read.
_NO_MATTER: Final = frozenset({"batch_size", "engine", "model_dir"})

#: What runs the networks; `paddle_fp16` is Paddle in half precision.
Runtime = Literal["paddle", "paddle_fp16", "onnxruntime"]

#: Role of a model in results, the switches without which it is not loaded, and where it stands in the file.
_ROLES: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "layout": ((), "SubModules.LayoutDetection"),
    "region": (("use_region_detection",), "SubModules.RegionDetection"),
    "chart": (("use_chart_recognition",), "SubModules.ChartRecognition"),
    "page_orientation": (
        ("use_doc_orientation_classify",),
        "SubPipelines.DocPreprocessor.SubModules.DocOrientationClassify",
    ),
    "unwarping": (("use_doc_unwarping",), "SubPipelines.DocPreprocessor.SubModules.DocUnwarping"),
    "text_detection": ((), "SubPipelines.GeneralOCR.SubModules.TextDetection"),
    "line_orientation": (
        ("SubPipelines.GeneralOCR.use_textline_orientation",),
        "SubPipelines.GeneralOCR.SubModules.TextLineOrientation",
    ),
    "text_recognition": ((), "SubPipelines.GeneralOCR.SubModules.TextRecognition"),
    **{
        role: (("use_table_recognition",), f"SubPipelines.TableRecognition.SubModules.{module}")
        for role, module in {
            "table_class": "TableClassification",
            "wired_table": "WiredTableStructureRecognition",
            "wireless_table": "WirelessTableStructureRecognition",
            "wired_cells": "WiredTableCellsDetection",
            "wireless_cells": "WirelessTableCellsDetection",
        }.items()
    },
    "seal_detection": (
        ("use_seal_recognition",),
        "SubPipelines.SealRecognition.SubPipelines.SealOCR.SubModules.TextDetection",
    ),
    "seal_recognition": (
        ("use_seal_recognition",),
        "SubPipelines.SealRecognition.SubPipelines.SealOCR.SubModules.TextRecognition",
    ),
    "formula": (
        ("use_formula_recognition",),
        "SubPipelines.FormulaRecognition.SubModules.FormulaRecognition",
    ),
}


#: There are no ONNX packages of these.
_PADDLE_ONLY: Final = frozenset({"formula", "seal_detection", "chart"})


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the pipeline loads. `folder`: where its files lie, or are to lie."""

    role: str
    name: str
    folder: Path
    is_onnx: bool
    is_custom: bool

    @property
    def is_published(self) -> bool:
        """Whether there is such a package to fetch."""
        return not (self.is_onnx and self.role in _PADDLE_ONLY)

    @property
    def folder_key(self) -> str:
        """The key of the pipeline's file that names its folder."""
        return f"{_ROLES[self.role][1]}.model_dir"

    @property
    def files(self) -> tuple[tuple[str, ...], ...]:
        """What it needs in its folder; of several names, one."""
        if self.is_onnx:
            return (("inference.yml",), ("inference.onnx",))
        return (
            ("inference.yml",),
            ("inference.json", "inference.pdmodel", "model.safetensors", "model_state.pdparams"),
            ("inference.pdiparams", "model.safetensors", "model_state.pdparams"),
        )


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """A checked configuration. `config` is what PaddleX takes, but for folders and sizes of batches."""

    config: Mapping[str, Any]
    runtime: Runtime
    models: tuple[Model, ...]

    @classmethod
    def load(cls, wanted: str | None, runtime: Runtime | None, device: str) -> Self:
        """Merge the packaged file with what is wanted: the name of a preset, or the path of a YAML file.

        `runtime`: None for the one that is installed, Paddle first. Raises SettingsError.
        """
        config = _read(_BASE)
        if wanted is not None and wanted != _NO_PRESET:
            path = _PACKAGED / f"{wanted}.yaml" if wanted in PRESETS else Path(wanted)
            config = _merged(config, _read(path), str(path))
        runtime = runtime or _installed_runtime(device)
        # Two switches, where PaddleX has five in two places, of which absent ones count as on.
        preprocessor = config["SubPipelines"]["DocPreprocessor"]
        names = ("use_doc_orientation_classify", "use_doc_unwarping")
        preprocessor.update({name: bool(config[name]) for name in names})
        config["use_doc_preprocessor"] = any(preprocessor[name] for name in names)
        return cls(config, runtime, tuple(_models(config, runtime)))

    def runnable(
        self, batch_pages: int, device: str, engine_config: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Give what PaddleX takes for batches of so many pages: it finds every model, and downloads none.

        `engine_config`: settings of what runs the networks, by its name, as the whole pipeline gets them.
        """
        config = copy.deepcopy(dict(self.config))
        _complete(config, engine_config)
        config["batch_size"] = batch_pages
        for model in self.models:
            module = _at(config, _ROLES[model.role][1])
            module["model_dir"] = str(model.folder)
            if model.is_onnx and model.role == "layout":
                # The official one fails on more.
                module["batch_size"] = 1
            if device == "cpu" and model.role == "text_recognition":
                # Lines of a batch are padded to the widest: a processor reads the white too (measured: in
                # batches of 32 a page takes four times as long).
                module["batch_size"] = 1
        return config

    @property
    def digest(self) -> str:
        """Of all that decides what is read; not of batches, of where models lie, or of what runs them.

        Published models are told by their names; of one's own, every file is read.
        """
        facts = {
            "config": _deciding(self.config),
            "half": self.runtime == "paddle_fp16",
            "own": {model.role: _digest(model.folder) for model in self.models if model.is_custom},
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def home() -> Path:
    """Where PaddleX keeps models."""
    return Path(os.environ.get("PADDLE_PDX_CACHE_HOME") or Path.home() / ".paddlex")


def _installed_runtime(device: str) -> Runtime:
    if any(map(_is_installed, ("paddlepaddle", "paddlepaddle-gpu"))):
        return "paddle"
    if device == "cpu" and _is_installed("onnxruntime"):
        return "onnxruntime"
    raise SettingsError(
        "nothing is installed that runs PP-StructureV3"
        + (": pip install paddlepaddle, or onnxruntime" if device == "cpu" else f" on {device}: {GPU_HINT}")
    )


#: Paddle's builds for GPUs are not on PyPI.
GPU_HINT: Final = (
    "install paddlepaddle-gpu for the CUDA version of the driver "
    "(https://www.paddlepaddle.org.cn/en/install/quick), or set BUCKET_OCR_DEVICE=cpu"
)


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _read(path: Path) -> dict[str, Any]:
    setting = "BUCKET_OCR_PIPELINE_CONFIG"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # text that is no UTF-8, a name that no file can have
        presets = ", ".join(PRESETS)
        raise SettingsError(f"{setting} is neither a preset ({presets}) nor a file: {error}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{setting}: {path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{setting}: {path} is not a mapping of keys to values")
    return content


def _merged(base: Mapping[str, Any], over: Mapping[str, Any], path: str, at: str = "") -> dict[str, Any]:
    """Merge key by key; what is no mapping on both sides is replaced."""
    result: dict[str, Any] = dict(base)
    for key, value in over.items():
        name = f"{at}{key}"
        if key not in base and key not in _extra(base, at):
            known = ", ".join(map(str, base))
            raise SettingsError(
                f"BUCKET_OCR_PIPELINE_CONFIG: {path} has the unknown key {name}; there are {known}"
            )
        there = base.get(key)
        if isinstance(there, dict) and isinstance(value, dict) and not _is_by_class(there):
            result[key] = _merged(there, value, path, f"{name}.")
        elif wanted := _misfit(str(key), there, value):
            raise SettingsError(f"BUCKET_OCR_PIPELINE_CONFIG: {path} has {value!r} at {name}, not {wanted}")
        else:
            result[key] = value
    return result


def _extra(part: Mapping[str, Any], at: str) -> frozenset[str]:
    if "model_name" in part:
        return _EXTRA_OF_MODULES
    return _EXTRA_OF_PIPELINES if at else frozenset()


def _is_by_class(value: Any) -> bool:
    """Whether it has a value for each class of a network, of which another network has others."""
    return isinstance(value, dict) and bool(value) and all(isinstance(key, int) for key in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _misfit(key: str, there: Any, value: Any) -> str | None:
    """What should be at a key instead of this value; None where it may be what is meant."""
    fits, wanted = True, ""
    match there:
        case _ if key == "model_dir":
            fits, wanted = value is None or isinstance(value, str), "a folder"
        case _ if key == "engine":
            fits, wanted = value in _ENGINES, " or ".join(_ENGINES)
        case _ if key == "engine_config":
            fits = isinstance(value, dict) and all(
                name in _ENGINES and isinstance(part, dict) for name, part in value.items()
            )
            wanted = f"settings by engine: {' or '.join(_ENGINES)}"
        case _ if key == "batch_size":
            fits, wanted = isinstance(value, int) and not isinstance(value, bool) and value > 0, "a number"
        case _ if key == "threshold" or _is_by_class(there):
            by_class = _is_by_class(value) and not any(isinstance(part, dict) for part in value.values())
            fits, wanted = (
                by_class or _is_number(value) or (isinstance(value, str) and key != "threshold"),
                "a number, or one for each class",
            )
        case bool():
            fits, wanted = isinstance(value, bool), "true or false"
        case str():
            fits, wanted = isinstance(value, str), "a text"
        case int() | float():
            fits, wanted = _is_number(value), "a number"
        case dict() if key[:1].isupper():
            fits, wanted = False, "a mapping"
    return None if fits else wanted


def _models(config: Mapping[str, Any], runtime: Runtime) -> Iterator[Model]:
    for role, (switches, place) in _ROLES.items():
        if not all(_at(config, switch) for switch in switches):
            continue
        module, engine = _at(config, place), _inherited(config, place, "engine")
        is_onnx = (engine or runtime) == "onnxruntime"
        name, own = module["model_name"], module.get("model_dir") or None
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise SettingsError(
                f"BUCKET_OCR_PIPELINE_CONFIG: {name!r} at {place}.model_name is no model's name"
            )
        folder = (
            Path(own).expanduser()
            if own
            else home() / "official_models" / (f"{name}_onnx" if is_onnx else name)
        )
        yield Model(role, name, folder, is_onnx, own is not None)


def _at(config: Mapping[str, Any], place: str) -> Any:
    value: Any = config
    for key in place.split("."):
        value = value[key]
    return value


def _inherited(config: Mapping[str, Any], place: str, name: str) -> Any:
    """The value of the innermost part of the file that has one."""
    found, value = config.get(name), config
    for key in place.split("."):
        value = value[key]
        found = value.get(name, found)
    return found


def _digest(folder: Path) -> str:
    """Of the names and contents of all files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest.update(
                f"{path.relative_to(folder)} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode()
            )
    return digest.hexdigest()


def _complete(part: dict[str, Any], engine_config: Mapping[str, Mapping[str, Any]]) -> None:
    """Add our settings to those that a part has of its own, which would else replace them whole."""
    if (own := part.get("engine_config")) is not None:
        part["engine_config"] = {name: {**engine_config.get(name, {}), **own[name]} for name in own}
    for value in part.values():
        if isinstance(value, dict) and value is not own:
            _complete(value, engine_config)


def _deciding(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _deciding(part) for key, part in value.items() if key not in _NO_MATTER}
    return value
