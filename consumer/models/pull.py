"""Fetches models: into a folder beside the final one, which appears only when all of it is there."""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

import requests

from consumer.domain.errors import DISK_FULL_ERRNOS, BucketOcrError, SettingsError
from consumer.models.config import Model
from consumer.models.manifest import (
    MANIFEST_NAME,
    File,
    Manifest,
    file_problems,
    has_manifest,
    partial_folder,
    remedy,
)

#: What is wrong with the folder, and not with the network.
_DISK_ERRNOS: Final = DISK_FULL_ERRNOS | {errno.EROFS, errno.EACCES, errno.EPERM}

#: The owner of all models, at every source.
_OWNER: Final = "PaddlePaddle"

_PROBE_S: Final = 10.0

#: What new versions of huggingface_hub leave of a transfer that was killed; they never read it again.
_LEFT_BEHIND: Final = re.compile(r"\.[0-9a-f]{8}\.incomplete$")


class PullError(BucketOcrError):
    """A model was not fetched; the text says why, and what to do."""


class UnreachableError(PullError):
    """No source of the model can be reached."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """A file as its source describes it; `sha256` where it is known."""

    size_bytes: int | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class _Snapshot:
    revision: str | None
    files: Mapping[str, _Listed]


@dataclass(frozen=True, slots=True)
class _Source:
    """A site that has the models; `fetch` brings a repository's files into a folder."""

    name: str
    endpoint: str
    fetch: Callable[[str, Path], _Snapshot]


def _answers(endpoint: str) -> bool:
    """Whether there is anybody; what the answer is does not matter."""
    try:
        requests.head(endpoint, timeout=_PROBE_S)
    except requests.RequestException:
        return False
    return True


#: Who did not answer is not waited for again with every model.
_answered: Final = cache(_answers)


def pull(models: Sequence[Model]) -> list[PullError]:
    """Fetch what is missing or damaged, one model after the other; the errors of those that failed.

    Raises SettingsError where the source that is asked for is none, or the folder cannot be written to.
    """
    errors: list[PullError] = []
    sources = _sources()
    _choose_output()
    for model in {model.folder: model for model in models}.values():
        try:
            if not model.is_published and not model.folder.is_dir():
                raise PullError(f"{model.name}: {remedy(model)}")  # noqa: TRY301 - as the others
            if model.is_custom:
                _say(f"{model.name}: not fetched, its folder is the configuration's: {model.folder}")
            elif has_manifest(model) and not file_problems(model, hashed=True):
                # Before the lock, for which the folder must be writable.
                _say(f"{model.name}: already there")
            else:
                with _alone(model.folder.parent):
                    _ensure(model, sources)
        except PullError as error:
            _say(str(error), error=True)
            errors.append(error)
        except OSError as error:
            raise SettingsError(f"{model.folder.parent} (see PADDLE_PDX_CACHE_HOME): {error}") from error
    return errors


def _ensure(model: Model, sources: Sequence[_Source]) -> None:
    if model.folder.is_dir():
        found = file_problems(model, hashed=True)
        if not found and has_manifest(model):
            _say(f"{model.name}: already there")
            return
        why = (
            f"damaged: {', '.join(map(str, found))}" if found else "there, but nothing says that it is whole"
        )
        _say(f"{model.name}: {why}: fetched again")
    reasons: list[str] = []
    is_reached = False
    for source in sources:
        if not _answered(source.endpoint):
            reasons.append(f"{source.name} cannot be reached ({source.endpoint})")
            continue
        try:
            _fetch(model, source)
        except Exception as error:  # each library has errors of its own, and several
            if isinstance(error, OSError) and error.errno in _DISK_ERRNOS:
                # Another source would fare no better.
                raise
            # A network that went away meanwhile has as many names as there are libraries.
            is_reached |= _answers(source.endpoint)
            reasons.append(f"{source.name}: {_one_line(error)}")
        else:
            return
    text = f"{model.name}: not fetched: {'; '.join(reasons)}"
    if is_reached:
        raise PullError(f"{text}: try again, which goes on from here, or give the module a model_dir")
    raise UnreachableError(
        f"{text}: check the network and proxy, or set PADDLE_PDX_HUGGING_FACE_ENDPOINT to a mirror"
    )


def _fetch(model: Model, source: _Source) -> None:
    """Fetch all, look at it, and only then give it its name."""
    unfinished = partial_folder(model)
    folder = unfinished / source.name
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.rglob("*.incomplete"):
        if _LEFT_BEHIND.search(path.name):
            path.unlink()
    _say(f"{model.name}: fetching from {source.name}")
    snapshot = source.fetch(f"{_OWNER}/{model.folder.name}", folder)
    manifest = Manifest(
        name=model.name,
        source=source.name,
        revision=snapshot.revision,
        files=_checked(model, folder, snapshot.files),
    )
    for path in folder.glob(".*"):
        # The bookkeeping of the libraries.
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
    _put_in_place(folder, model.folder, unfinished)
    size_bytes = sum(file.size_bytes for file in manifest.files.values())
    _say(f"{model.name}: done, {size_bytes / 1e6:.1f} MB")


def _checked(model: Model, folder: Path, listed: Mapping[str, _Listed]) -> dict[str, File]:
    """Hash what was fetched; raises PullError where it is not what the source lists, or not enough."""
    files = {
        str(path.relative_to(folder)): File.of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    }
    for name, expected in listed.items():
        if name.startswith("."):
            continue
        file = files.get(name)
        if file is None:
            raise PullError(f"{name} did not come")
        if expected.size_bytes not in (None, file.size_bytes) or expected.sha256 not in (None, file.sha256):
            # The library would take it for whole the next time.
            (folder / name).unlink()
            raise PullError(f"{name} is not what is listed there")
    for names in model.files:
        if not files.keys() & set(names):
            raise PullError(f"there is no {' or '.join(names)} in {_OWNER}/{model.folder.name}")
    return files


def _put_in_place(folder: Path, final: Path, unfinished: Path) -> None:
    # A folder that is not empty cannot be replaced in one step; what is damaged goes with the partial copy.
    if final.exists():
        shutil.rmtree(unfinished / "damaged", ignore_errors=True)
        final.rename(unfinished / "damaged")
    folder.rename(final)
    shutil.rmtree(unfinished)


def _sources() -> list[_Source]:
    """Where models come from, the wanted one first; raises SettingsError."""
    hugging_face = os.environ.get("PADDLE_PDX_HUGGING_FACE_ENDPOINT") or "https://huggingface.co"
    # As its library has it.
    model_scope = os.environ.get("MODELSCOPE_ENDPOINT") or "https://www.modelscope.cn"
    known = {
        "huggingface": _Source("huggingface", hugging_face, partial(_from_hugging_face, hugging_face)),
        "modelscope": _Source("modelscope", model_scope, _from_model_scope),
    }
    wanted = (os.environ.get("PADDLE_PDX_MODEL_SOURCE") or "huggingface").lower()
    if wanted not in known:
        raise SettingsError(
            f"PADDLE_PDX_MODEL_SOURCE={wanted!r}: models are fetched from {' or '.join(known)}"
        )
    return [known.pop(wanted), *known.values()]


def _from_hugging_face(endpoint: str, repository: str, folder: Path) -> _Snapshot:
    from huggingface_hub import HfApi, snapshot_download

    # Without a revision, the library takes whatever lies in the folder for all there is when the hub fails.
    info = HfApi(endpoint=endpoint).model_info(repository, files_metadata=True)
    snapshot_download(repository, revision=info.sha, local_dir=folder, endpoint=endpoint)
    listed = {
        file.rfilename: _Listed(file.size, file.lfs.sha256 if file.lfs else None)
        for file in info.siblings or ()
    }
    return _Snapshot(info.sha, listed)


def _from_model_scope(repository: str, folder: Path) -> _Snapshot:
    from modelscope import snapshot_download

    snapshot_download(repo_id=repository, local_dir=str(folder))
    # It compares each file with the hash that the site lists, by itself.
    return _Snapshot(None, {})


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other pulls from the folder; waits for one that is at work."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".bucket-ocr.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"waiting for another pull into {folder}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _choose_output() -> None:
    """Keep the bars of the libraries for terminals; they look at this when they are imported."""
    if not sys.stderr.isatty():
        os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1", TQDM_DISABLE="1")


def _say(line: str, *, error: bool = False) -> None:
    print(f"bucket-ocr: {line}" if error else line, file=sys.stderr if error else sys.stdout, flush=True)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:300] if isinstance(error, PullError) else f"{type(error).__name__}: {text}"[:300]
