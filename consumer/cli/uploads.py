"""Uploads of files, and the outcomes of those documents."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from consumer.cli.exits import ExitStatus
from consumer.cli.local_files import ChangedError, FileBody
from consumer.cli.progress import counted
from consumer.cli.refusals import Refusals
from consumer.cli.standard_error import complain
from consumer.cli.standard_output import print_done
from consumer.cli.uris import shown
from consumer.domain import keys
from consumer.domain.errors import ServiceError
from consumer.domain.result import Status
from consumer.ports import NewObject
from consumer.service import inventory
from consumer.service.source_cache import sniffed

if TYPE_CHECKING:
    from consumer.operations import UploadClients

#: Shortest pause between two requests for the same result.
_MIN_PAUSE_S: Final = 0.5

#: Files that are open at the same time.
_FILES_AT_ONCE: Final = 8

_MB: Final = 1_000_000


@dataclass
class Upload:
    """Uploads files, and follows their results until none came for `wait_s` seconds (None: not at all)."""

    bucket: str
    wait_s: float | None
    as_json: bool
    _awaited: dict[str, None] = field(default_factory=dict)
    _statuses: list[Status] = field(default_factory=list)
    _uploaded: int = 0
    _problems: int = 0
    _refusals: Refusals = field(init=False)
    _result_came: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._refusals = Refusals(self._report)

    async def run(self, clients: "UploadClients", targets: Sequence[tuple[Path, str]]) -> ExitStatus:
        """Do it; raises ServiceError if the service cannot be reached, or refuses all."""
        try:
            async with asyncio.timeout(None) as deadline, asyncio.TaskGroup() as followers:
                await self._upload_all(clients, targets, followers)
                if self.wait_s is not None:
                    await self._count_results(deadline, self.wait_s)
        except TimeoutError:
            # The last result may have come at that very moment.
            if self._awaited:
                missing, first = len(self._awaited), f"s3://{self.bucket}/{next(iter(self._awaited))}"
                complain(
                    f"{missing} document(s) without a result, such as {first}, and none came for "
                    f"{self.wait_s:g} s: see `bucket-ocr doctor`, or wait with `bucket-ocr status --watch`"
                )
                return ExitStatus.TIMED_OUT
        has_failed = self._problems or Status.FAILURE in self._statuses
        return ExitStatus.FAILED if has_failed else ExitStatus.DONE

    async def _count_results(self, deadline: asyncio.Timeout, wait_s: float) -> None:
        """Show how many results have come, until all have; each begins the deadline anew."""
        seen, loop = 0, asyncio.get_running_loop()
        with counted("documents read", self._uploaded) as add:
            while seen < self._uploaded:
                self._result_came.clear()
                add(len(self._statuses) - seen)
                seen = len(self._statuses)
                deadline.reschedule(loop.time() + wait_s if seen < self._uploaded else None)
                if seen < self._uploaded:
                    await self._result_came.wait()

    async def _upload_all(
        self, clients: "UploadClients", targets: Sequence[tuple[Path, str]], followers: asyncio.TaskGroup
    ) -> None:
        waiting = iter(targets)
        total_bytes = sum(_size_bytes(path) for path, _ in targets)
        # Of a few large files, what matters is how much of them is sent.
        is_by_size = total_bytes > len(targets) * _MB
        what, total = ("MB uploaded", total_bytes / _MB) if is_by_size else ("files uploaded", len(targets))
        with counted(what, total) as add:

            def sent(size_bytes: int) -> None:
                if is_by_size:
                    add(size_bytes / _MB)

            async def work() -> None:
                for path, key in waiting:
                    etag = await self._tried(clients, path, key, sent)
                    if not is_by_size:
                        add(1)
                    if etag is None:
                        continue
                    self._uploaded += 1
                    self._refusals.note_other()
                    if self.wait_s is None:
                        self._show(key, etag, "uploaded")
                    else:
                        self._awaited[key] = None
                        followers.create_task(self._follow(clients, key, etag))

            async with asyncio.TaskGroup() as workers:
                for _ in range(min(_FILES_AT_ONCE, len(targets))):
                    workers.create_task(work())
        self._refusals.end()

    async def _tried(
        self, clients: "UploadClients", path: Path, key: str, sent: Callable[[int], None]
    ) -> str | None:
        """Upload a file; a problem of its own is reported, and the others go on. Returns its ETag."""
        try:
            content_type = sniffed(path) or "application/octet-stream"
            with FileBody.opened(path) as body:
                new = NewObject(self.bucket, key, body, {}, content_type)
                try:
                    return await clients.uploads.upload(new, body.require_unchanged, sent)
                except ServiceError:
                    # A body that ends early looks like a connection that was cut.
                    body.require_unchanged()
                    raise
        except OSError as error:
            self._report(f"{path}: {error.strerror or error}")
        except ChangedError as error:
            self._report(str(error))
        except ServiceError as error:
            self._refusals.add(error, str(path))
        return None

    def _report(self, problem: str) -> None:
        self._problems += 1
        complain(problem)

    async def _follow(self, clients: "UploadClients", key: str, etag: str) -> None:
        """Print the outcome of a document when it has come."""
        while True:
            result = await inventory.result_head(clients.store, self.bucket, key)
            # Not one of older bytes.
            if result is not None and result.source_etag == etag:
                break
            # With many documents each is asked for less often: about 100 requests a second in all.
            await asyncio.sleep(max(_MIN_PAUSE_S, len(self._awaited) / 100))
        del self._awaited[key]
        self._statuses.append(result.status)
        self._show(key, etag, result.status.value)
        self._result_came.set()

    def _show(self, key: str, etag: str, outcome: str) -> None:
        uri = f"s3://{self.bucket}/{key}"
        facts = {"source": uri, "result": keys.result_key(uri), "etag": etag, "status": outcome}
        print_done(json.dumps(facts) if self.as_json else f"{outcome:<8} {shown(uri)}")


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        # It is gone by now, and reported when its turn comes.
        return 0
