"""Fetches models, each into a folder beside the final one, which appears only when it is complete."""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Final

import requests

from consumer.domain.errors import DISK_FULL_ERRNOS, BucketOcrError, SettingsError
from consumer.models import rapidocr
from consumer.models.manifest import MANIFEST_NAME, File, Manifest, State, check, partial_folder, remedy
from consumer.models.model import Model
from consumer.models.sources import Files, Listing, Source, sources_of

#: Errors of the folder, not of the network.
_DISK_ERRNOS: Final = DISK_FULL_ERRNOS | {errno.EROFS, errno.EACCES, errno.EPERM}

_PROBE_S: Final = 10.0

#: Files that huggingface_hub leaves of a killed transfer, and never reads again.
_LEFT_BEHIND: Final = re.compile(r"\.[0-9a-f]{8}\.incomplete$")


_say: Final = partial(print, flush=True)


class PullError(BucketOcrError):
    """A model was not fetched; the text gives the reason and the remedy."""


class UnreachableError(PullError):
    """No source of the model can be reached."""


def _is_reachable(endpoint: str) -> bool:
    """Whether the endpoint answers anything at all."""
    try:
        requests.head(endpoint, timeout=_PROBE_S)
    except requests.RequestException:
        return False
    return True


#: An endpoint that did not answer is not waited for again with every model.
_was_reachable: Final = cache(_is_reachable)


def pull(models: Sequence[Model], listing: Listing = rapidocr.listed) -> list[PullError]:
    """Fetch missing and damaged models, one after the other; returns an error for each that failed.

    Prints a line about each. `listing`: gives the address and hash of a network of RapidOCR. Raises
    SettingsError if the configured source is unknown or the folder cannot be written to.
    """
    errors: list[PullError] = []
    sources = {model.folder: sources_of(model, listing) for model in models}
    if not sys.stderr.isatty():
        # The libraries' progress bars; they read this when they are imported.
        os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1", TQDM_DISABLE="1")
    for model in {model.folder: model for model in models}.values():
        try:
            if not model.is_published and not model.folder.is_dir():
                raise PullError(f"{model.name}: {remedy(model)}")  # noqa: TRY301 - as the others
            if model.is_custom:
                _say(f"{model.name}: not fetched, its folder is the configuration's: {model.folder}")
            elif check(model, hashed=True).is_proved:
                # Before taking the lock, which needs a writable folder.
                _say(f"{model.name}: already there")
            else:
                with _locked(model.folder.parent):
                    _ensure(model, sources[model.folder])
        except PullError as error:
            print(f"bucket-ocr: {error}", file=sys.stderr)
            errors.append(error)
        except OSError as error:
            raise SettingsError(f"{model.folder.parent} (see PADDLE_PDX_CACHE_HOME): {error}") from error
    return errors


def _ensure(model: Model, sources: Sequence[Source]) -> None:
    if model.folder.is_dir():
        condition = check(model, hashed=True)
        if condition.is_proved:
            # Another pull fetched it while this one waited for the lock.
            _say(f"{model.name}: already there")
            return
        reason = "without a manifest" if condition.state is State.PRESENT else str(condition)
        _say(f"{model.name}: {reason}: fetched again")
    reasons: list[str] = []
    is_reached = False
    for source in sources:
        if not _was_reachable(source.endpoint):
            reasons.append(f"{source.name} cannot be reached ({source.endpoint})")
            continue
        try:
            _fetch(model, source)
        except Exception as error:  # each library has several errors of its own
            if isinstance(error, OSError) and error.errno in _DISK_ERRNOS:
                # Another source would fail in the same way.
                raise
            # The libraries name a lost network in many ways, so the endpoint is asked again.
            is_reached |= _is_reachable(source.endpoint)
            reasons.append(f"{source.name}: {_one_line(error)}")
        else:
            return
    text = f"{model.name}: not fetched: {'; '.join(reasons)}"
    if is_reached:
        own = f", or set {model.place}.model_dir in BUCKET_OCR_PIPELINE_CONFIG" if model.place else ""
        raise PullError(f"{text}: try again, which goes on from here{own}")
    raise UnreachableError(f"{text}: check the network and proxy, or set {sources[0].setting} to a mirror")


def _fetch(model: Model, source: Source) -> None:
    """Fetch all files, check them, and only then move them to the final folder."""
    unfinished = partial_folder(model)
    folder = unfinished / source.name
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.rglob("*.incomplete"):
        if _LEFT_BEHIND.search(path.name):
            path.unlink()
    _say(f"{model.name}: fetching from {source.name}")
    revision, listed = source.fetch(folder)
    files = _checked(model, folder, listed)
    manifest = Manifest(name=model.name, source=source.name, revision=revision, files=files)
    for path in folder.glob(".*"):
        # The libraries' own records.
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
    # A folder with files cannot be replaced in one step; the damaged one is removed with the partial one.
    if model.folder.exists():
        shutil.rmtree(unfinished / "damaged", ignore_errors=True)
        model.folder.rename(unfinished / "damaged")
    folder.rename(model.folder)
    shutil.rmtree(unfinished)
    size_bytes = sum(file.size_bytes for file in files.values())
    _say(f"{model.name}: done, {size_bytes / 1e6:.1f} MB")


def _checked(model: Model, folder: Path, listed: Files) -> dict[str, File]:
    """Hash the fetched files; raises PullError if one differs from the source's list, or is missing."""
    files = {
        str(path.relative_to(folder)): File.of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    }
    for name, (size_bytes, sha256) in listed.items():
        if name.startswith("."):
            continue
        file = files.get(name)
        if file is None:
            raise PullError(f"{name} did not come")
        if size_bytes not in (None, file.size_bytes) or sha256 not in (None, file.sha256):
            # The library would take it for complete the next time.
            (folder / name).unlink()
            raise PullError(f"{name} is not what is listed there")
    for names in model.files:
        if not files.keys() & set(names):
            raise PullError(f"there is no {' or '.join(names)} among the files of {model.name}")
    return files


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder against other pulls; waits for a running one."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".bucket-ocr.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"waiting for another pull into {folder}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:300] if isinstance(error, PullError) else f"{type(error).__name__}: {text}"[:300]
