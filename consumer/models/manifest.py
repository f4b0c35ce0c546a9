"""Model files on this machine: what a folder must hold, its manifest, and whether all is there."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from consumer.domain.errors import SettingsError
from consumer.models.config import Model

#: Written into every folder that `bucket-ocr models pull` fetched.
MANIFEST_NAME: Final = "bucket-ocr.manifest.json"

_PULL: Final = "bucket-ocr models pull"

#: Files that the libraries were still writing.
_UNFINISHED: Final = "*.incomplete"


class State(StrEnum):
    """What is known of a model without reading its files."""

    PRESENT = "present"
    MISSING = "missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class FileProblem:
    """A file that is not as it must be."""

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file} ({self.what})"


class File(BaseModel):
    """A file as it was fetched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read the file; raises OSError."""
        with path.open("rb") as file:
            return cls(
                size_bytes=path.stat().st_size, sha256=hashlib.file_digest(file, hashlib.sha256).hexdigest()
            )


class Manifest(BaseModel):
    """What was fetched into a folder, and from where; `files` by their path in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    revision: str | None
    files: Mapping[str, File]


def partial_folder(model: Model) -> Path:
    """Where the files of a model lie until all are there."""
    return model.folder.with_name(f".{model.folder.name}.partial")


def has_manifest(model: Model) -> bool:
    """Whether it can be told what the model's files must be."""
    return (model.folder / MANIFEST_NAME).exists()


def state(model: Model) -> State:
    """Look, without reading the files; so that a file of the right size counts as whole."""
    if not model.folder.is_dir():
        return State.MISSING
    return State.DAMAGED if file_problems(model) else State.PRESENT


def facts(model: Model) -> dict[str, Any]:
    """Tell what `bucket-ocr models list` says of a model; its files are not read."""
    found = file_problems(model) if model.folder.is_dir() else []
    return {
        "role": model.role,
        "name": model.name,
        "folder": str(model.folder),
        "size_bytes": sum(path.stat().st_size for path in model.folder.rglob("*") if path.is_file()),
        "state": state(model).value,
        "faults": [str(fault) for fault in found],
    }


def file_problems(model: Model, *, hashed: bool = False) -> list[FileProblem]:
    """Find what is wrong with the files of a folder: what it needs, and what its manifest says.

    `hashed`: read every file too, which takes seconds a gigabyte.
    """
    found = {fault.file: fault for fault in (*_unusable(model), *_unlike_manifest(model, hashed=hashed))}
    return list(found.values())


def require(models: Sequence[Model]) -> None:
    """Check, quickly, that every model is there; raises SettingsError that says which not, and the cure."""
    problems = [problem for model in models if (problem := _problem(model))]
    if problems:
        others = len(problems) - 1
        more = f" (and {others} more: see `bucket-ocr models list`)" if others else ""
        raise SettingsError(problems[0] + more)


def remedy(model: Model) -> str:
    """Say what the operator can do about a model that cannot be used."""
    module = model.folder_key.removesuffix(".model_dir")
    if model.is_custom:
        return f"correct {model.folder_key} in BUCKET_OCR_PIPELINE_CONFIG, or its files"
    if not model.is_published:
        return (
            "there is no ONNX package of it: in BUCKET_OCR_PIPELINE_CONFIG, switch it off or set engine: "
            f"paddle for {module}"
        )
    return f"run `{_PULL}`"


def _problem(model: Model) -> str | None:
    what = f"the model {model.name} ({model.role})"
    match state(model):
        case State.PRESENT:
            return None
        case State.MISSING if partial_folder(model).is_dir() and not model.is_custom:
            return f"{what} was fetched in part only, and is not yet in {model.folder}: {remedy(model)}"
        case State.MISSING:
            return f"{what} is not there: no folder {model.folder}: {remedy(model)}"
        case State.DAMAGED:
            problems = ", ".join(map(str, file_problems(model)))
            return f"{what} is damaged: {model.folder}: {problems}: {remedy(model)}"


def _unusable(model: Model) -> Iterator[FileProblem]:
    for names in model.files:
        there = [name for name in names if (model.folder / name).is_file()]
        if not there:
            yield FileProblem(" or ".join(names), "missing")
        elif not (model.folder / there[0]).stat().st_size:
            yield FileProblem(there[0], "empty")
    for path in model.folder.rglob(_UNFINISHED):
        yield FileProblem(str(path.relative_to(model.folder)), "left by a transfer that was cut")


def _unlike_manifest(model: Model, *, hashed: bool) -> Iterator[FileProblem]:
    path = model.folder / MANIFEST_NAME
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return
    except (OSError, ValidationError) as error:
        yield FileProblem(MANIFEST_NAME, f"unreadable: {str(error).splitlines()[0]}")
        return
    if manifest.name != model.name:
        yield FileProblem(MANIFEST_NAME, f"of another model, {manifest.name}")
    for names in model.files:
        if not manifest.files.keys() & set(names):
            yield FileProblem(MANIFEST_NAME, f"has no {' or '.join(names)}")
    for name, expected in manifest.files.items():
        fault = _unlike(model.folder / name, expected, hashed=hashed)
        if fault:
            yield FileProblem(name, fault)


def _unlike(path: Path, expected: File, *, hashed: bool) -> str | None:
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
