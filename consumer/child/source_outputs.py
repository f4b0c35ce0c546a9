"""The handler of a process that writes outputs which need the source, each by a function of its own."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from consumer import protocol
from consumer.child.rendering import limits
from consumer.domain.result import PageResult

#: Writes an output into files of a folder, named by numbers from 0; calls its last argument after each page.
Writer = Callable[
    [protocol.WriteOutput, protocol.RenderOptions, Iterable[PageResult], Callable[[], None]],
    protocol.OutputWritten,
]

#: By the names of outputs.
WRITERS: Final[Mapping[str, Writer]] = {}


def build(options_json: str, writers: Mapping[str, Writer] = WRITERS) -> "SourceOutputWriter":
    """Build the handler from the JSON of its `RenderOptions`, and limit the harm that the process can do."""
    options = protocol.RenderOptions.model_validate_json(options_json)
    limits.silence_libraries()
    limits.limit_address_space(options.address_space_bytes)
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
        """Write an output."""
        if not isinstance(request, protocol.WriteOutput):
            raise TypeError(f"a writer of outputs cannot {request.kind}")
        with Path(request.pages_path).open("rb") as lines:
            pages = map(PageResult.model_validate_json, lines)
            return self._writers[request.output](request, self._options, pages, progress)
