"""Outputs that need the source: it is given to a process of their own, with the finished pages in a file."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import IO

from consumer.domain import formats, keys
from consumer.domain.errors import DISK_FULL_ERRNOS, Code, DiskFullError, DocumentError, HostError, PageError
from consumer.domain.outputs import EncodedOutput, SourceFormat
from consumer.domain.result import PageResult, ResultDocument, Warning  # noqa: A004 - the contract's word
from consumer.ports import SourceJob, SourceOutputWriter
from consumer.service.attempt import Attempt
from consumer.service.source_cache import SourceCache, sniffed
from consumer.service.spool import FileBody


@dataclass(frozen=True, slots=True)
class SourceOutputs:
    """Makes outputs that `writer` writes; `formats`: those that it knows, by name."""

    sources: SourceCache
    writer: SourceOutputWriter
    folder: Path
    formats: Mapping[str, SourceFormat] = field(default_factory=dict)

    def begin(self, attempt: Attempt) -> "PagesFile":
        """Make a file for the finished pages, which lasts as long as the attempt."""
        path = self.folder / f"{uuid.uuid4().hex}.pages"
        attempt.files.callback(path.unlink, missing_ok=True)
        return PagesFile(path, attempt.files.enter_context(closing(path.open("wb", buffering=0))))

    async def write(
        self, names: Collection[str], pages: "PagesFile", head: ResultDocument, attempt: Attempt
    ) -> tuple[list[EncodedOutput], list[tuple[str, Warning]]]:
        """Write outputs; returns their objects, and warnings by the names of outputs."""
        objects: list[EncodedOutput] = []
        warnings: list[tuple[str, Warning]] = []
        try:
            async with self.sources.opened(head.source, attempt) as source:
                for name in sorted(names):
                    written, said = await self._write(name, source, pages.path, head, attempt)
                    objects += written
                    warnings += [(name, warning) for warning in said]
        except DocumentError as error:
            # It was read before, under another limit.
            warnings += [
                (name, Warning(code=error.code, message=f"{name}: {error.message}")) for name in names
            ]
        return objects, warnings

    async def _write(
        self, name: str, source: Path, pages: Path, head: ResultDocument, attempt: Attempt
    ) -> tuple[list[EncodedOutput], Sequence[Warning]]:
        target = self.folder / f"{uuid.uuid4().hex}.output"
        attempt.files.callback(target.unlink, missing_ok=True)
        try:
            job = SourceJob(name, source, _format(source), pages, target)
            made = await self.writer.write(job, attempt.watchdog)
        except PageError as error:
            return [], [Warning(code=error.code, message=f"{name}: {error.message}")]
        content_type, key = self.formats[name].content_type, head.source.key
        starts = accumulate(made.sizes_bytes, initial=0)
        bodies = [
            FileBody(target, start, size) for start, size in zip(starts, made.sizes_bytes, strict=False)
        ]
        objects = [
            EncodedOutput(name, key + ending, content_type, body)
            for ending, body in zip(made.endings, bodies, strict=True)
        ]
        if not all(keys.fits(each.key) for each in objects):
            problem = f"{name}: a key would be longer than {keys.MAX_KEY_BYTES} bytes"
            return [], [Warning(code=Code.RENDER_CRASH, message=problem)]
        if not objects and not made.warnings:
            return [], [Warning(code=Code.RENDER_CRASH, message=f"{name}: it has no page")]
        return objects, made.warnings


@dataclass(frozen=True, slots=True)
class PagesFile:
    """Finished pages, a `PageResult` as JSON in each line."""

    path: Path
    _file: IO[bytes]

    def add(self, page: PageResult) -> None:
        """Append a page; raises HostError if the disk does not take it."""
        left = memoryview(page.model_dump_json().encode() + b"\n")
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            message = f"pages that were read cannot be written: {error}"
            if error.errno in DISK_FULL_ERRNOS:
                raise DiskFullError(message, len(left)) from error
            raise HostError(message) from error


def _format(path: Path) -> formats.Format:
    match = sniffed(path)
    if match is None:
        raise PageError(Code.UNSUPPORTED_TYPE, "the source is of no known format")
    return match
