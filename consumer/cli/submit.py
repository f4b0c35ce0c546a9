"""`bucket-ocr submit`: upload documents, and wait for their results."""

import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from consumer.cli.exits import ExitStatus
from consumer.cli.local_files import FoundFiles, LocalFile
from consumer.cli.standard_error import complain, say
from consumer.cli.standard_output import outlive_reader
from consumer.cli.uploads import Upload
from consumer.cli.uris import location, shown
from consumer.domain import formats, keys
from consumer.service.source_cache import sniffed

#: So long no result may come.
_TIMEOUT_S: Final = 600


def submit(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, patterns in quotes ('scans/**/*.pdf'), or - for standard input."
        ),
    ],
    target: Annotated[str, typer.Argument(help="s3://bucket/prefix/, or s3://bucket/key for one file.")],
    wait: Annotated[bool, typer.Option("--wait", help="Print each outcome as it comes.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            help="With --wait: give up if no result comes for so many seconds after the last upload "
            f"(default {_TIMEOUT_S}).",
            min=0,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Outcomes as JSON lines.")] = False,
) -> None:
    """Upload documents; with --wait, wait until each has its result.

    A target that ends with / (or names only a bucket) is a folder. A file keeps its name there, and what is
    found in a folder or by a pattern its path below that. Of these hidden files and what is no document are
    left out. Exit status 1 if a file could not be uploaded, or a document failed: the others go on.
    """
    if timeout is not None and not wait:
        raise typer.BadParameter("--timeout is for --wait")
    outlive_reader()
    bucket, key = location(target)
    is_folder = not key or key.endswith("/")
    with _found(files, target, is_folder=is_folder) as found:
        targets = _targets(found, key, is_folder=is_folder)
        if wait:
            for file, target_key in targets:
                _require_readable(file, target_key)
        for problem in found.problems:
            complain(problem)
        if skipped := ", ".join(f"{count} {what}" for what, count in sorted(found.skipped.items())):
            say(f"skipped: {skipped}")
        if not targets:
            if not found.problems:
                complain(f"there is no document in {shown(', '.join(files))}")
            sys.exit(ExitStatus.FAILED)
        wait_s = (_TIMEOUT_S if timeout is None else timeout) if wait else None
        status = asyncio.run(_uploaded(Upload(bucket, wait_s=wait_s, as_json=as_json), targets))
    sys.exit(status or (ExitStatus.FAILED if found.problems else ExitStatus.DONE))


async def _uploaded(upload: Upload, targets: Sequence[tuple[Path, str]]) -> ExitStatus:
    from consumer.operations import upload_clients

    async with upload_clients(complain) as clients:
        return await upload.run(clients, targets)


@contextlib.contextmanager
def _found(sources: Sequence[str], target: str, *, is_folder: bool) -> Iterator[FoundFiles]:
    """Find the files; what comes by standard input is in a file as long as the context lasts."""
    found = FoundFiles()
    if "-" in sources:
        if len(sources) > 1 or is_folder:
            raise typer.BadParameter(
                "- is one document: its target is a whole key, such as s3://bucket/a.pdf"
            )
        # Not read while requests run: a thread that waits for a terminal cannot be interrupted.
        with tempfile.NamedTemporaryFile(prefix="bucket-ocr-stdin-") as file:
            try:
                if sys.stdin is not None:
                    shutil.copyfileobj(sys.stdin.buffer, file)
                file.flush()
            except OSError as error:
                complain(f"standard input cannot be kept in {tempfile.gettempdir()}: {error.strerror}")
                sys.exit(ExitStatus.FAILED)
            if not file.tell():
                complain("standard input is empty: nothing was uploaded")
                sys.exit(ExitStatus.FAILED)
            found.files.append(LocalFile(Path(file.name), "-"))
            yield found
        return
    for source in sources:
        if not found.add(source):
            raise typer.BadParameter(f"there is no file {shown(source)}")
    if not is_folder and found.files and (len(found.files) > 1 or found.files[0].path != Path(sources[0])):
        raise typer.BadParameter(
            f"{target} names one object: end it with / to upload {len(found.files)} files"
        )
    yield found


def _targets(found: FoundFiles, key: str, *, is_folder: bool) -> list[tuple[Path, str]]:
    """Return each file with its key; one of several that cannot be a source is a problem of its own."""
    targets: dict[str, Path] = {}
    for file in found.files:
        target_key = key + file.name if is_folder else key
        if not _may_be_a_source(target_key):
            problem = f"{shown(target_key)} is not a name that a source may have"
            if len(found.files) == 1:
                raise typer.BadParameter(problem)
            found.problems.append(problem)
            continue
        if target_key in targets:
            raise typer.BadParameter(
                f"{shown(str(file.path))} and {shown(str(targets[target_key]))} have the same name: "
                "upload them to different prefixes"
            )
        targets[target_key] = file.path
    return [(path, target_key) for target_key, path in targets.items()]


def _may_be_a_source(key: str) -> bool:
    try:
        return not keys.is_own_output(key) and not keys.is_too_long(key)
    except UnicodeEncodeError:
        return False


def _require_readable(path: Path, key: str) -> None:
    with contextlib.suppress(OSError):
        if not formats.has_source_extension(key) and sniffed(path) is None:
            raise typer.BadParameter(
                f"{shown(str(path))} is none of the formats that are read: it would get no result"
            )
