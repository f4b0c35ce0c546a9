"""Reads a document: download, open, schedule its pages, assemble."""

import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from consumer.domain import assembly, formats
from consumer.domain.assembly import Assembly, EncodedResult
from consumer.domain.errors import Code, DiskFullError, DocumentError
from consumer.domain.outputs import OutputFormat
from consumer.domain.result import Engine, Source
from consumer.ports import ObjectStore, Renderer
from consumer.service.attempt import Attempt
from consumer.service.disk_space import DiskSpace
from consumer.service.scheduler import PageScheduler


@dataclass(frozen=True, slots=True)
class DocumentReader:
    """Makes results of sources.

    `engine` is written into every result. `work_dir`: folder of the downloads. `outputs`: what is made of
    every document beside its result.
    """

    store: ObjectStore
    renderer: Renderer
    scheduler: PageScheduler
    disk_space: DiskSpace
    _: KW_ONLY
    engine: Engine
    work_dir: Path
    max_file_bytes: int
    outputs: Sequence[OutputFormat] = ()

    async def read(self, source: Source, attempt: Attempt) -> EncodedResult:
        """Read the source; a document that can never be read gets a FAILURE result.

        Its body lasts as long as the attempt. Raises SourceChangedError, SourceGoneError and TransientError.
        """
        pages = Assembly(self.outputs, spool=lambda: attempt.spool(self.work_dir))
        try:
            async with self._downloaded(source, attempt) as path:
                # The document waits for its turn behind others: their progress is its own.
                with attempt.watchdog.following(self.scheduler.watchdog):
                    async with self.renderer.open(path, _format(path)) as document:
                        await self.scheduler.run(document, pages.add)
            # What was read takes disk space until it is stored, and others may wait for that.
            attempt.files.enter_context(self.disk_space.held())
            return pages.finish(source, self.engine, attempt.timing())
        except DocumentError as error:
            return self.failure(source, attempt, error.code, error.message)

    def failure(self, source: Source, attempt: Attempt, code: Code, message: str) -> EncodedResult:
        """Make the result of a source that is not read."""
        return assembly.failure(source, self.engine, code, message, attempt.timing())

    @asynccontextmanager
    async def _downloaded(self, source: Source, attempt: Attempt) -> AsyncIterator[Path]:
        if source.size_bytes == 0:
            raise DocumentError(Code.EMPTY_FILE, "the file has no bytes: upload it again")
        if source.size_bytes > self.max_file_bytes:
            raise DocumentError(
                Code.TOO_LARGE,
                f"the file has {source.size_bytes} bytes and BUCKET_OCR_MAX_FILE_BYTES "
                f"allows {self.max_file_bytes}: raise it or split the document",
            )
        path = self.work_dir / f"{uuid.uuid4().hex}.source"
        with self.disk_space.held():
            try:
                await self.disk_space.run_when_free(lambda: self._download(source, path, attempt))
                yield path
            finally:
                _remove(path)

    async def _download(self, source: Source, path: Path, attempt: Attempt) -> None:
        attempt.watchdog.mark()
        self.disk_space.check_fits(source.size_bytes)
        try:
            with attempt.stage("download"):
                await self.store.download(source, path, attempt.watchdog)
        except DiskFullError:
            # A document that waits for disk space must not take any.
            _remove(path)
            raise


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        # A renderer may keep the file open for a while; truncating frees its space now.
        os.truncate(path, 0)
        path.unlink()


def _format(path: Path) -> formats.Format:
    with path.open("rb") as file:
        match = formats.sniff(file.read(formats.SNIFF_BYTES))
    if match is None:
        raise DocumentError(
            Code.UNSUPPORTED_TYPE, "the file is no PDF, PNG, JPEG, TIFF, BMP or WebP, whatever its name says"
        )
    return match
