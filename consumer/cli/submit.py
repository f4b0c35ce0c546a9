"""`bucket-ocr submit`: upload documents, and wait for their results."""

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from consumer.cli.exits import ExitStatus
from consumer.cli.local_files import ChangedError, FileBody, FoundFiles, LocalFile, sniffed
from consumer.cli.progress import counted
from consumer.cli.uris import location, shown
from consumer.domain import formats, keys
from consumer.domain.errors import ServiceError, UnavailableError
from consumer.domain.result import Status
from consumer.ports import NewObject
from consumer.service import inventory

if TYPE_CHECKING:
    from consumer.operations import UploadOffice

#: Shortest pause between two requests for the same result.
_MIN_PAUSE_S: Final = 0.5

#: Files that are open at the same time. So many that are refused, and none that is not: all will be.
_FILES_AT_ONCE: Final = 8

_MB: Final = 1_000_000


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
        float, typer.Option(help="With --wait: give up so many seconds after the last upload.", min=0)
    ] = 600,
    as_json: Annotated[bool, typer.Option("--json", help="Outcomes as JSON lines.")] = False,
) -> None:
    """Upload documents; with --wait, wait until each has its result.

    A target that ends with / (or names only a bucket) is a folder. A file keeps its name there, and what is
    found in a folder or by a pattern its path below that. Of these hidden files and what is no document are
    left out. Exit status 1 if a file could not be uploaded, or a document failed: the others go on.
    """
    bucket, key = location(target)
    is_folder = not key or key.endswith("/")
    with _found(files, target, is_folder=is_folder) as found:
        targets = _targets(found, key, is_folder=is_folder)
        if wait:
            for file, target_key in targets:
                _require_readable(file, target_key)
        for problem in found.problems:
            _complain(problem)
        if skipped := ", ".join(f"{count} {what}" for what, count in sorted(found.skipped.items())):
            typer.echo(f"skipped: {skipped}", err=True)
        if not targets:
            _complain(f"there is no document in {shown(', '.join(files))}")
            sys.exit(ExitStatus.FAILED)
        upload = _Upload(bucket, wait_s=timeout if wait else None, as_json=as_json)
        status = asyncio.run(upload.run(targets))
    sys.exit(status or (ExitStatus.FAILED if found.problems else ExitStatus.DONE))


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
            shutil.copyfileobj(sys.stdin.buffer, file)
            file.flush()
            if not file.tell():
                _complain("standard input is empty: nothing was uploaded")
                sys.exit(ExitStatus.FAILED)
            found.files.append(LocalFile(Path(file.name), "-"))
            yield found
        return
    for source in sources:
        if not found.add(source):
            raise typer.BadParameter(f"there is no file {shown(source)}")
    if not is_folder and (len(found.files) != 1 or found.files[0].path != Path(sources[0])):
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
            problem = f"{shown(_printable(target_key))} is not a name that a source may have"
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


def _printable(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()


def _require_readable(path: Path, key: str) -> None:
    with contextlib.suppress(OSError):
        if not formats.has_source_extension(key) and sniffed(path) is None:
            raise typer.BadParameter(
                f"{shown(str(path))} is none of the formats that are read: it would get no result"
            )


def _complain(problem: str) -> None:
    # To the file itself, so that it stands above a bar.
    typer.echo(f"bucket-ocr: {shown(_printable(problem))}", file=sys.stderr)


@dataclass
class _Upload:
    """Uploads files, and follows their results for `wait_s` seconds after the last (None: not at all)."""

    bucket: str
    wait_s: float | None
    as_json: bool
    _statuses: list[Status] = field(default_factory=list)
    _uploaded: int = 0
    _problems: int = 0
    _refused: list[tuple[Path, ServiceError]] = field(default_factory=list)

    async def run(self, targets: Sequence[tuple[Path, str]]) -> ExitStatus:
        """Do it; raises ServiceError if the service cannot be reached, or refuses all."""
        from consumer.operations import upload_office

        try:
            async with (
                upload_office() as office,
                asyncio.timeout(None) as deadline,
                asyncio.TaskGroup() as followers,
            ):
                await self._upload_all(office, targets, followers)
                if self.wait_s is not None:
                    deadline.reschedule(asyncio.get_running_loop().time() + self.wait_s)
                    await self._count_results()
        except TimeoutError:
            missing = self._uploaded - len(self._statuses)
            typer.echo(f"bucket-ocr: no result of {missing} document(s) after {self.wait_s:g} s", err=True)
            return ExitStatus.TIMED_OUT
        has_failed = self._problems or Status.FAILURE in self._statuses
        return ExitStatus.FAILED if has_failed else ExitStatus.DONE

    async def _count_results(self) -> None:
        """Show how many results have come, until all have."""
        seen = 0
        with counted("documents read", self._uploaded) as add:
            while True:
                add(len(self._statuses) - seen)
                seen = len(self._statuses)
                if seen == self._uploaded:
                    return
                await asyncio.sleep(_MIN_PAUSE_S / 2)

    async def _upload_all(
        self, office: "UploadOffice", targets: Sequence[tuple[Path, str]], followers: asyncio.TaskGroup
    ) -> None:
        waiting = iter(targets)
        total_bytes = sum(_size_bytes(path) for path, _ in targets)
        with counted(f"MB of {len(targets)} file(s) uploaded", max(total_bytes / _MB, 1)) as add:

            def sent(size_bytes: int) -> None:
                add(size_bytes / _MB)

            async def work() -> None:
                for path, key in waiting:
                    etag = await self._tried(office, path, key, sent)
                    if etag is None:
                        continue
                    self._uploaded += 1
                    if self.wait_s is None:
                        self._show(key, etag, "uploaded")
                    else:
                        followers.create_task(self._follow(office, key, etag))

            async with asyncio.TaskGroup() as workers:
                for _ in range(min(_FILES_AT_ONCE, len(targets))):
                    workers.create_task(work())
        self._report_refused()

    async def _tried(
        self, office: "UploadOffice", path: Path, key: str, sent: Callable[[int], None]
    ) -> str | None:
        """Upload a file; a problem of its own is reported, and the others go on. Returns its ETag."""
        try:
            content_type = sniffed(path) or "application/octet-stream"
            with FileBody.opened(path) as body:
                new = NewObject(self.bucket, key, body, {}, content_type)
                try:
                    return await office.uploads.upload(new, body.require_unchanged, sent)
                except ServiceError:
                    # A body that ends early looks like a connection that was cut.
                    body.require_unchanged()
                    raise
        except OSError as error:
            self._report(f"{path}: {error.strerror or error}")
        except ChangedError as error:
            self._report(str(error))
        except UnavailableError:
            raise
        except ServiceError as error:
            self._refused.append((path, error))
            if self._uploaded:
                self._report_refused()
            elif len(self._refused) == _FILES_AT_ONCE:
                raise
        return None

    def _report_refused(self) -> None:
        """Report the files that were refused; raises ServiceError if no other was taken."""
        if self._refused and not self._uploaded:
            raise self._refused[0][1]
        for path, error in self._refused:
            self._report(f"{path}: {error}")
        self._refused.clear()

    def _report(self, problem: str) -> None:
        self._problems += 1
        _complain(problem)

    async def _follow(self, office: "UploadOffice", key: str, etag: str) -> None:
        """Print the outcome of a document when it has come."""
        while True:
            result = await inventory.result_head(office.store, self.bucket, key)
            # Not one of older bytes.
            if result is not None and result.source_etag == etag:
                break
            # With many documents each is asked for less often: about 100 requests a second in all.
            await asyncio.sleep(max(_MIN_PAUSE_S, (self._uploaded - len(self._statuses)) / 100))
        self._statuses.append(result.status)
        self._show(key, etag, result.status.value)

    def _show(self, key: str, etag: str, outcome: str) -> None:
        uri = f"s3://{self.bucket}/{key}"
        facts = {"source": uri, "result": keys.result_key(uri), "etag": etag, "status": outcome}
        line = json.dumps(facts) if self.as_json else f"{outcome:<8} {shown(uri)}"
        # To the file itself, so that it stands above a bar.
        typer.echo(line, file=sys.stdout)


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        # It is gone by now, and reported when its turn comes.
        return 0
