"""The handler of a process that writes outputs which need the source, each by a function of its own."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import BinaryIO, Final

from consumer import protocol
from consumer.child import files
from consumer.child.overlay import overlay
from consumer.child.rendering import limits
from consumer.child.rendering.opening import open_document, quiet_libraries
from consumer.child.textlayer.interface import Original
from consumer.child.textlayer.searchable import write_searchable_pdf
from consumer.domain.errors import PageError
from consumer.domain.result import PageResult, Status

#: Writes the objects of an output, one after the other, into a file; calls its last argument after each page.
Writer = Callable[[Original, Iterable[PageResult], BinaryIO, Callable[[], None]], protocol.OutputWritten]


def _write_pdf(
    original: Original, pages: Iterable[PageResult], output: BinaryIO, progress: Callable[[], None]
) -> protocol.OutputWritten:
    outcome = write_searchable_pdf(original, pages, output, progress)
    notes = (
        protocol.OutputNote(message=note.message, page_number=note.page_number) for note in outcome.notes
    )
    return protocol.OutputWritten(
        endings=(".ocr.pdf",) * outcome.written,
        sizes_bytes=(output.tell(),) * outcome.written,
        notes=tuple(notes),
    )


def _write_overlays(
    original: Original, pages: Iterable[PageResult], output: BinaryIO, progress: Callable[[], None]
) -> protocol.OutputWritten:
    """Draw the pages that were read; others have no picture, and their result says why."""
    endings: list[str] = []
    sizes: list[int] = []
    notes: list[protocol.OutputNote] = []
    with closing(open_document(*original)) as document:
        for page in pages:
            number = page.page.page_number
            if page.page.status is Status.SUCCESS:
                try:
                    image, _ = document.render(number)
                except PageError as error:
                    notes.append(protocol.OutputNote(message=error.message, page_number=number))
                else:
                    start = output.tell()
                    overlay(image, page).save(output, "PNG")
                    endings.append(f".ocr/page-{number:04}.png")
                    sizes.append(output.tell() - start)
            progress()
    return protocol.OutputWritten(endings=tuple(endings), sizes_bytes=tuple(sizes), notes=tuple(notes))


#: By the names of outputs.
WRITERS: Final[Mapping[str, Writer]] = {"pdf": _write_pdf, "overlay": _write_overlays}


def build(options_json: str, writers: Mapping[str, Writer] = WRITERS) -> "SourceOutputWriter":
    """Build the handler from the JSON of its `RenderOptions`, and limit the harm that the process can do."""
    options = protocol.RenderOptions.model_validate_json(options_json)
    limits.silence_libraries()
    limits.limit_address_space(options.address_space_bytes, options.mapped_bytes)
    quiet_libraries()
    return SourceOutputWriter(options, writers)


class SourceOutputWriter:
    """Writes outputs, one after the other."""

    def __init__(self, options: protocol.RenderOptions, writers: Mapping[str, Writer]) -> None:
        self._options = options
        self._writers = writers

    def ready(self) -> protocol.Reply:
        """Reply at once: there is nothing to warm up."""
        return protocol.RendererReady()

    def handle(self, request: protocol.Request, progress: Callable[[], None]) -> protocol.Reply:
        """Write an output; each page has as much processor time as a rendered one."""
        if not isinstance(request, protocol.WriteOutput):
            raise TypeError(f"a writer of outputs cannot {request.kind}")

        def page_is_done() -> None:
            limits.limit_processor_time(self._options.processor_s)
            progress()

        limits.limit_processor_time(self._options.processor_s)
        original = Original(files.readable(request.path), request.format, self._options)
        with (
            original.file,
            files.readable(request.pages_path) as lines,
            files.writable(request.output_path) as output,
        ):
            pages = map(PageResult.model_validate_json, lines)
            return self._writers[request.output](original, pages, output, page_is_done)
