"""Writes the page of a document from files: its result, and its source, which render processes read."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from consumer import settings
from consumer.domain.body import chunks
from consumer.domain.errors import DocumentError, PageError
from consumer.domain.formats import Format
from consumer.domain.result import PageResult, Status
from consumer.domain.stored_result import ResultLostError, StoredResult
from consumer.ports import RenderedDocument
from consumer.processes.layout import picture_renderer
from consumer.processes.renderer import RenderPool
from consumer.processes.slot import Slot
from consumer.service.source_cache import sniffed
from consumer.service.spool import FileBody
from consumer.viewer import html

#: Far above any picture that a render process makes: one that was taken over must not fill the memory.
_MOST_PICTURE_BYTES: Final = 32 * 1024 * 1024

#: Of pages that the engine has flattened. Clients can put any object in the place of a result.
_FLATTENED: Final = re.compile(r"data:image/(?:png|jpeg|webp);base64,[A-Za-z0-9+/]+={0,2}")


class ViewError(Exception):
    """The document cannot be shown; the text says why."""


@dataclass(frozen=True, slots=True)
class ViewedDocument:
    """A document to be shown: its name, its result and its source, as local files."""

    name: str
    result: Path
    source: Path

    def stored(self) -> StoredResult:
        """Open the result; raises ViewError if it is none, or that of a failure, OSError if it is missing."""
        try:
            stored = StoredResult(FileBody(self.result))
        except ResultLostError as error:
            raise self._no_result(error) from error
        if stored.head.error is not None:
            raise ViewError(f"{stored.head.error.code.value}: {stored.head.error.message}")
        return stored

    def _no_result(self, error: ResultLostError) -> ViewError:
        return ViewError(f"what should be the result of {self.name} is none: {error}")

    def _format(self, stored: StoredResult) -> Format:
        """Return the format of the source; raises ViewError if it is another than the result's."""
        size_bytes = self.source.stat().st_size
        if size_bytes != stored.head.source.size_bytes:
            raise ViewError(
                f"{self.name} is another file than the one that was read: it has {size_bytes} bytes, and "
                f"that had {stored.head.source.size_bytes}"
            )
        if (found := sniffed(self.source)) is None:
            raise ViewError(f"{self.name} is of no format that is read")
        return found

    async def write(
        self, stored: StoredResult, folder: Path, file: IO[bytes], on_page: Callable[[], None]
    ) -> None:
        """Write the page to `file`; raises ViewError, ChildError, HostError, OSError.

        `folder`: for pictures in the making. `on_page` is called after each page.
        """
        options = settings.load(settings.PageSettings)
        # It was read, whatever is allowed here.
        options = options.model_copy(update={"max_pages": max(options.max_pages, stored.head.page_count)})
        pool = RenderPool([Slot(picture_renderer(options))], folder, options.max_pages)
        file_format = self._format(stored)
        file.write(html.start(self.name))
        async with pool.running():
            try:
                async with pool.open(self.source, file_format) as document:
                    for page in stored.pages():
                        file.write(await _page(page, document))
                        on_page()
            except ResultLostError as error:
                raise self._no_result(error) from error
            except DocumentError as error:
                raise ViewError(str(error)) from error
        file.write(html.end())


async def _page(result: PageResult, document: RenderedDocument) -> bytes:
    notes = [f"{warning.code.value}: {warning.message}" for warning in result.warnings]
    picture = None
    if result.page.status is Status.SUCCESS:
        picture = result.page.flattened_image
        if picture is None:
            try:
                picture = await _picture(document, result.page.page_number)
            except PageError as error:
                notes.append(str(error))
        elif not _FLATTENED.fullmatch(picture):
            raise ViewError(f"the image of page {result.page.page_number} is none")
    return html.page(result, picture, notes)


async def _picture(document: RenderedDocument, page_number: int) -> str:
    """Return the picture of a page as a data URI; raises PageError."""
    image = await document.render(page_number)
    path = Path(image.path)
    try:
        # Not through a link, which a renderer that was taken over may have made of it.
        body = FileBody(path)
        if body.size_bytes > _MOST_PICTURE_BYTES:
            raise ViewError(f"the picture of page {page_number} has {body.size_bytes} bytes")
        return "data:image/webp;base64," + base64.b64encode(b"".join(chunks(body))).decode()
    finally:
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - a local file
