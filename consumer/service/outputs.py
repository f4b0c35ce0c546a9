"""Makes the other outputs of documents: from pages that were just read, or from a stored result."""

import asyncio
import traceback
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from consumer.domain import keys
from consumer.domain.assembly import EncodedResult
from consumer.domain.errors import Code, SourceChangedError, SourceGoneError, TransientError
from consumer.domain.identity import ResultHead
from consumer.domain.outputs import EncodedOutput, MakeSpool, OutputFormat, OutputRecord, OutputWriter
from consumer.domain.result import (
    PageResult,
    ResultDocument,
    Source,
    Warning,  # noqa: A004 - the contract's word
)
from consumer.domain.stored_result import ResultLostError, StoredResult
from consumer.ports import ObjectInfo, ObjectStore
from consumer.service.attempt import Attempt
from consumer.service.disk_space import DiskSpace
from consumer.service.source_outputs import PagesFile, SourceOutputs
from consumer.service.spool import FileBody

#: So many pages are written in one go; then the work can be cancelled.
_BATCH_PAGES: Final = 8

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Written:
    """The outputs of a document, ready to be stored.

    `head`: of the result that goes with them; it names them and has their warnings. `lines`: number of lines
    of all pages. `record`: outputs that could not be written, and those that are left as they are.
    """

    head: ResultDocument
    lines: int
    objects: tuple[EncodedOutput, ...]
    record: OutputRecord


@dataclass(frozen=True, slots=True)
class OutputMaker:
    """Makes the outputs `wanted`.

    `formats`: all that pages suffice for, by name. `from_source` makes others. `folder` is for what does not
    fit into memory.
    """

    store: ObjectStore
    disk_space: DiskSpace
    folder: Path
    formats: Mapping[str, OutputFormat] = field(default_factory=dict)
    wanted: frozenset[str] = frozenset()
    from_source: SourceOutputs | None = None

    @property
    def known(self) -> Collection[str]:
        """Names of the outputs that can be written."""
        return {*self.formats, *(self.from_source.formats if self.from_source else ())}

    async def write(
        self,
        names: Collection[str],
        pages: Iterator[PageResult],
        head: ResultDocument,
        attempt: Attempt,
        left: OutputRecord | None = None,
    ) -> Written:
        """Write the outputs `names` of the pages of a document, whose result has this head so far.

        An output that cannot be written costs a warning. `left`: outputs that are left as they are. Raises
        TransientError if the host fails (a full disk, for example), which is the fault of no output.
        """
        others = [name for name in names if self.from_source and name in self.from_source.formats]
        pages_file = self.from_source.begin(attempt) if self.from_source and others else None
        formats = [self.formats[name] for name in sorted(set(names) - set(others))]
        writing = _Writing(formats, partial(attempt.spool, self.folder), pages_file)
        with attempt.stage("outputs"):
            # In a thread, a few pages at a time: a page of thousands of lines takes a while.
            while await asyncio.to_thread(writing.take, pages):
                attempt.watchdog.mark()
            objects = await asyncio.to_thread(writing.finish, head)
            warnings = [(name, _warning(name)) for name in sorted(writing.failed)]
            if self.from_source and pages_file:
                more, said = await self.from_source.write(others, pages_file, head, attempt)
                objects, warnings = [*objects, *more], [*warnings, *said]
        failed = writing.failed | (set(others) - {each.name for each in objects})
        record = OutputRecord({**(left.digests if left else {}), **dict.fromkeys(failed)})
        written = sorted({*record.written, *names} - failed)
        # An output that is made again says again what it said.
        said_before = set(head.warnings)
        said_of = tuple(warning for _, warning in warnings if warning not in said_before)
        head = head.model_copy(update={"outputs": tuple(written), "warnings": head.warnings + said_of})
        return Written(head, writing.lines, tuple(objects), record)

    async def complete(
        self,
        source: Source,
        existing: ObjectInfo,
        head: ResultHead,
        lacking: Collection[str],
        attempt: Attempt,
    ) -> EncodedResult:
        """Make outputs that a stored result lacks, from that result, which is to be stored again with them.

        It may be the copy of another source's result, copied with that source, so it is now of this `source`.
        Raises ResultLostError if it cannot be read, SourceChangedError if it is another by now.
        """
        path = self.folder / f"{uuid.uuid4().hex}.result"
        attempt.files.callback(path.unlink, missing_ok=True)
        attempt.files.enter_context(self.disk_space.held())
        await self.disk_space.run_when_free(lambda: self._download(existing, path, attempt))
        stored = StoredResult(FileBody(path))
        if not head.is_of(stored.head.source):
            raise ResultLostError("it is of another source than its metadata say")
        digests = head.output_record.digests
        left = OutputRecord({name: value for name, value in digests.items() if name not in lacking})
        names = [name for name in lacking if name in self.known]
        own = stored.head.model_copy(update={"source": source})
        written = await self.write(names, stored.pages(), own, attempt, left)
        timing = written.head.timing.model_copy(update={"finished_at": attempt.clock.now()})
        new = written.head.model_copy(update={"timing": timing})
        return EncodedResult(new, written.lines, stored.with_head(new), written.objects, written.record)

    async def _download(self, existing: ObjectInfo, path: Path, attempt: Attempt) -> None:
        self.disk_space.check_fits(existing.source.size_bytes)
        try:
            await self.store.download(existing.source, path, attempt.watchdog)
        except BaseException as error:
            # Others may wait for the space.
            path.unlink(missing_ok=True)  # noqa: ASYNC240 - a local file
            if isinstance(error, SourceGoneError):
                raise SourceChangedError(existing.source.key) from error
            raise


def _warning(name: str) -> Warning:
    message = f"the output {name} could not be written; the log of the consumer says why"
    return Warning(code=Code.RENDER_CRASH, message=message)


class _Writing:
    """The outputs of one document as they are written; none of them knows of the others."""

    def __init__(
        self, formats: Collection[OutputFormat], spool: MakeSpool, pages_file: PagesFile | None
    ) -> None:
        self._formats = {each.name: each for each in formats}
        self._writers: dict[str, OutputWriter] = {each.name: each.begin(spool) for each in formats}
        self._pages_file = pages_file
        self.failed: set[str] = set()
        self.lines = 0

    def take(self, pages: Iterator[PageResult]) -> bool:
        """Write the next pages; returns whether there were any."""
        batch = list(islice(pages, _BATCH_PAGES))
        self.lines += sum(len(page.detections) for page in batch)
        if self._pages_file is not None:
            for page in batch:
                self._pages_file.add(page)
        for name, writer in list(self._writers.items()):
            with self._guarded(name):
                for page in batch:
                    writer.add(page)
        return bool(batch)

    def finish(self, head: ResultDocument) -> list[EncodedOutput]:
        """Return the objects of all outputs that could be written."""
        objects: list[EncodedOutput] = []
        for name, writer in list(self._writers.items()):
            with self._guarded(name):
                objects += _encoded(self._formats[name], head, writer)
        return objects

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        try:
            yield
        except TransientError:
            raise
        except Exception:  # noqa: BLE001 - a bug of a writer must not cost the text of the document
            # Not by `exception`, which may show the values of variables.
            log.error("output.failed", output=name, traceback=traceback.format_exc())  # noqa: TRY400
            self.failed.add(name)
            del self._writers[name]


def _encoded(output: OutputFormat, head: ResultDocument, writer: OutputWriter) -> list[EncodedOutput]:
    objects = [
        EncodedOutput(output.name, head.source.key + ending, output.content_type, body)
        for ending, body in writer.finish(head)
    ]
    if not all(keys.fits(each.key) for each in objects):
        raise ValueError(f"a key would be longer than {keys.MAX_KEY_BYTES} bytes")
    return objects
