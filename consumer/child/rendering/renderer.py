"""The handler of a render process: from a file to one image per page, raw BGR by default."""

import time
from collections import OrderedDict
from collections.abc import Callable

from PIL import Image

from consumer import protocol
from consumer.child import files
from consumer.child.rendering import limits
from consumer.child.rendering.document import Document
from consumer.child.rendering.opening import open_document, quiet_libraries
from consumer.domain.errors import DISK_FULL_ERRNOS, DiskFullError
from consumer.domain.formats import Format
from consumer.domain.page import POINTS_PER_INCH, PageImage


def pixels(image: Image.Image) -> bytes:
    """Return an image as an engine reads it: rows of BGR bytes without padding."""
    return image.tobytes("raw", "BGR")


def build(options_json: str, encode: Callable[[Image.Image], bytes] = pixels) -> "LimitedRenderer":
    """Build the handler of a render process, and limit the harm that the process can do to the host.

    `encode`: what it makes of the image of a page, for the page's file.
    """
    options = protocol.RenderOptions.model_validate_json(options_json)
    limits.silence_libraries()
    limits.limit_address_space(options.address_space_bytes, options.mapped_bytes)
    return LimitedRenderer(options, encode)


class PageRenderer:
    """Opens documents and renders their pages."""

    def __init__(
        self, options: protocol.RenderOptions, encode: Callable[[Image.Image], bytes] = pixels
    ) -> None:
        self._options = options
        self._encode = encode
        self._documents: OrderedDict[str, Document] = OrderedDict()
        quiet_libraries()

    def ready(self) -> protocol.Reply:
        """Reply at once: there is nothing to warm up."""
        return protocol.RendererReady()

    def handle(
        self,
        request: protocol.Request,
        progress: Callable[[], None],  # noqa: ARG002 - a request is one step
    ) -> protocol.Reply:
        """Open a document or render a page."""
        match request:
            case protocol.OpenDocument(path=path, format=file_format):
                return protocol.DocumentOpened(page_count=self._open(path, file_format).page_count)
            case protocol.RenderPage():
                return self._render(request)
            case _:
                raise TypeError(f"a renderer cannot {request.kind}")

    def _render(self, request: protocol.RenderPage) -> PageImage:
        started = time.monotonic()
        document = self._open(request.path, request.format)
        try:
            image, plan = document.render(request.page_number)
            _write(self._encode(image), request.image_path)
        finally:
            if request.page_number == document.page_count:
                del self._documents[request.path]
                document.close()
        return PageImage(
            page_number=request.page_number,
            path=request.image_path,
            width_px=image.width,
            height_px=image.height,
            scale=plan.scale,
            dpi=plan.scale * POINTS_PER_INCH if request.format is Format.PDF else None,
            downscaled=plan.downscaled,
            render_s=time.monotonic() - started,
        )

    def _open(self, path: str, file_format: Format) -> Document:
        document = self._documents.pop(path, None)
        if document is None:
            document = open_document(files.readable(path), file_format, self._options)
        self._documents[path] = document
        if len(self._documents) > self._options.open_documents:
            self._documents.popitem(last=False)[1].close()
        return document


class LimitedRenderer(PageRenderer):
    """A renderer with limited processor time for each request; the kernel ends a process that takes more."""

    def handle(self, request: protocol.Request, progress: Callable[[], None]) -> protocol.Reply:
        """Open a document or render a page within the limit."""
        limits.limit_processor_time(self._options.processor_s)
        return super().handle(request, progress)


def _write(data: bytes, path: str) -> None:
    try:
        with files.writable(path) as file:
            file.write(data)
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise DiskFullError(f"no space for a page image of {len(data)} bytes", len(data)) from error
        raise
