"""Pipeline files: YAML that is read, checked against the packaged file, and merged over it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import yaml
from pydantic import Field, FiniteFloat, PositiveInt, TypeAdapter, ValidationError

from consumer.domain.errors import SettingsError

SETTING: Final = "BUCKET_OCR_PIPELINE_CONFIG"

#: Backend of a single module, by PaddleX's names.
_ModuleEngine = Literal["paddle", "paddle_static", "paddle_dynamic", "onnxruntime"]
_ENGINES: Final = " or ".join(get_args(_ModuleEngine))

#: Keys that a file may add to pipelines and to modules. For the whole pipeline there are settings.
_PIPELINE_EXTRAS: Final = frozenset({"engine", "engine_config"})
_MODULE_EXTRAS: Final = _PIPELINE_EXTRAS | {"model_dir", "batch_size"}

_ByClass = Annotated[dict[int, float | bool | str | list[Any] | None], Field(min_length=1)]

#: Kinds of values: each a type, checked strictly, and its name in messages.
_Kind = tuple[Any, str]
_BY_KEY: Final[Mapping[str, _Kind]] = {
    "model_dir": (str | None, "a folder"),
    "engine": (_ModuleEngine, _ENGINES),
    "engine_config": (dict[_ModuleEngine, dict[str, Any]], f"settings by engine: {_ENGINES}"),
    "batch_size": (PositiveInt, "a number"),
    "threshold": (FiniteFloat | _ByClass, "a number, or one for each class"),
}
_PER_CLASS: Final[_Kind] = (FiniteFloat | str | _ByClass, "a number, or one for each class")
_NUMBER: Final[_Kind] = (FiniteFloat, "a number")
#: By the type of the packaged value; of others, such as lists, any value is accepted.
_BY_TYPE: Final[Mapping[type, _Kind]] = {
    bool: (bool, "true or false"),
    str: (str, "a text"),
    int: _NUMBER,
    float: _NUMBER,
    dict: (dict[Any, Any], "a mapping"),
}
_ANY: Final[_Kind] = (Any, "any")


def read(path: Path) -> dict[str, Any]:
    """Read a YAML file; raises OSError, ValueError if it is not UTF-8, and SettingsError."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise SettingsError(f"{SETTING}: {path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{SETTING}: {path} is not a mapping of keys to values")
    return content


def merge(base: Mapping[str, Any], changes: Mapping[str, Any], path: Path, at: str = "") -> dict[str, Any]:
    """Merge mappings key by key, and replace other values, values by class as a whole.

    `at`: the place of `base` in the file, with a dot at its end. Raises SettingsError for an unknown key or
    a value of the wrong type.
    """
    merged = dict(base)
    extras = _MODULE_EXTRAS if "model_name" in base else _PIPELINE_EXTRAS if at else frozenset()
    for key, value in changes.items():
        name, default = f"{at}{key}", base.get(key)
        if key not in base.keys() | extras:
            known = ", ".join(map(str, base))
            raise SettingsError(f"{SETTING}: {path} has the unknown key {name}; there are {known}")
        type_, expected = _kind(key, default)
        try:
            TypeAdapter(type_).validate_python(value, strict=True)
        except ValidationError as error:
            raise SettingsError(f"{SETTING}: {path} has {value!r} at {name}, not {expected}") from error
        if isinstance(default, dict) and not _is_by_class(default):
            merged[key] = merge(default, value, path, f"{name}.")
        else:
            merged[key] = value
    return merged


def _kind(key: str, default: Any) -> _Kind:
    if key in _BY_KEY:
        return _BY_KEY[key]
    return _PER_CLASS if _is_by_class(default) else _BY_TYPE.get(type(default), _ANY)


def _is_by_class(value: Any) -> bool:
    """Whether it has a value for each class of a network; another network has other classes."""
    return isinstance(value, dict) and bool(value) and all(isinstance(key, int) for key in value)
