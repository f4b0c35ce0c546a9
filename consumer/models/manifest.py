"""Model files on this machine: their manifest, and whether all are present and intact."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ValidationError

from consumer.domain.errors import SettingsError
from consumer.models.model import Model

#: Name of the manifest, which `bucket-ocr models pull` writes into every folder.
MANIFEST_NAME: Final = "bucket-ocr.manifest.json"

#: Files that the libraries were still writing.
_UNFINISHED: Final = "*.incomplete"


class State(StrEnum):
    """State of a model's files."""

    PRESENT = "present"
    MISSING = "missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Condition:
    """State of a model's files, and each problem as a short text that names the file.

    `is_proved`: they are present and as their manifest says.
    """

    state: State
    problems: tuple[str, ...] = ()
    is_proved: bool = False

    def __str__(self) -> str:
        return ": ".join(filter(None, [self.state.value, ", ".join(self.problems)]))


class File(BaseModel, frozen=True, extra="forbid"):
    """A file as it was fetched."""

    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read the file; raises OSError."""
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(size_bytes=path.stat().st_size, sha256=sha256)


class Manifest(BaseModel, frozen=True, extra="forbid"):
    """Record of the files that were fetched into a folder, by their path in it, and of their source."""

    name: str
    source: str
    revision: str | None
    files: Mapping[str, File]


def partial_folder(model: Model) -> Path:
    """Folder that holds the files of a model until all are fetched."""
    return model.folder.with_name(f".{model.folder.name}.partial")


def check(model: Model, *, hashed: bool = False) -> Condition:
    """Compare the model's folder with its needs and its manifest.

    `hashed`: read every file too, which takes seconds per gigabyte; otherwise a file of the right size counts
    as intact.
    """
    if not model.folder.is_dir():
        is_partial = partial_folder(model).is_dir() and not model.is_custom
        return Condition(State.MISSING, ("fetched in part only" if is_partial else "no such folder",))
    # One problem for each file.
    problems = dict([*_missing(model), *_unlike_manifest(model, hashed=hashed)])
    if problems:
        return Condition(State.DAMAGED, tuple(f"{file} ({text})" for file, text in problems.items()))
    return Condition(State.PRESENT, is_proved=(model.folder / MANIFEST_NAME).exists())


def unusable(models: Sequence[Model]) -> list[tuple[Model, Condition]]:
    """Return the models that are not present, without reading files."""
    conditions = [(model, check(model)) for model in models]
    return [(model, condition) for model, condition in conditions if condition.state is not State.PRESENT]


def describe(model: Model) -> dict[str, Any]:
    """Return a row of `bucket-ocr models list`, without reading the model's files."""
    condition = check(model)
    return {
        "role": model.role,
        "name": model.name,
        "folder": str(model.folder),
        "size_bytes": sum(path.stat().st_size for path in model.folder.rglob("*") if path.is_file()),
        "state": condition.state.value,
        "problems": list(condition.problems),
    }


def require(models: Sequence[Model]) -> None:
    """Check, without reading files, that all models are present.

    Raises SettingsError, which names the first model that is not, and its remedy.
    """
    if problems := unusable(models):
        (model, condition), *others = problems
        more = f" (and {len(others)} more: see `bucket-ocr models list`)" if others else ""
        text = f"{condition}: {model.folder}: {remedy(model)}{more}"
        raise SettingsError(f"the model {model.name} ({model.role}) is {text}")


def remedy(model: Model) -> str:
    """Return the operator's remedy for a model that cannot be used."""
    if model.is_custom:
        return f"correct {model.place}.model_dir in BUCKET_OCR_PIPELINE_CONFIG, or its files"
    if not model.is_published:
        return (
            "there is no ONNX package of it: in BUCKET_OCR_PIPELINE_CONFIG, switch it off or set engine: "
            f"paddle for {model.place}"
        )
    return "run `bucket-ocr models pull`"


def _missing(model: Model) -> Iterator[tuple[str, str]]:
    """Yield each file that the model lacks, and each that a transfer left behind, with its problem."""
    for names in model.files:
        existing = [name for name in names if (model.folder / name).is_file()]
        if not existing:
            yield " or ".join(names), "missing"
        elif not (model.folder / existing[0]).stat().st_size:
            yield existing[0], "empty"
    for path in model.folder.rglob(_UNFINISHED):
        yield str(path.relative_to(model.folder)), "left by a transfer that was cut"


def _unlike_manifest(model: Model, *, hashed: bool) -> Iterator[tuple[str, str]]:
    """Yield each file that differs from the manifest, if there is one, with its problem."""
    path = model.folder / MANIFEST_NAME
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return
    except (OSError, ValidationError) as error:
        yield MANIFEST_NAME, f"unreadable: {str(error).splitlines()[0]}"
        return
    if manifest.name != model.name:
        yield MANIFEST_NAME, f"of another model, {manifest.name}"
    for names in model.files:
        if not manifest.files.keys() & set(names):
            yield MANIFEST_NAME, f"has no {' or '.join(names)}"
    for name, expected in manifest.files.items():
        if (problem := _difference(model.folder / name, expected, hashed=hashed)) is not None:
            yield name, problem


def _difference(path: Path, expected: File, *, hashed: bool) -> str | None:
    try:
        size_bytes = path.stat().st_size
        if size_bytes != expected.size_bytes:
            return f"{size_bytes} bytes instead of {expected.size_bytes}"
        if hashed and File.of(path).sha256 != expected.sha256:
            return "not the bytes that were fetched: its SHA-256 differs"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"unreadable: {error.strerror}"
    return None
