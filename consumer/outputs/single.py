"""An output of one object: something of each page, and a frame that is known at the end."""

from collections.abc import Callable, Iterator

from consumer.domain.body import Body, BytesBody, JoinedBody
from consumer.domain.outputs import MakeSpool, OutputFormat, OutputWriter
from consumer.domain.result import PageResult, ResultDocument


class _SingleWriter:
    def __init__(
        self,
        spool: MakeSpool,
        ending: str,
        write: Callable[[PageResult], str],
        frame: Callable[[ResultDocument], tuple[str, str]],
    ) -> None:
        self._body = spool()
        self._ending = ending
        self._write = write
        self._frame = frame

    def add(self, page: PageResult) -> None:
        self._body.write(self._write(page).encode())

    def finish(self, head: ResultDocument) -> Iterator[tuple[str, Body]]:
        before, after = self._frame(head)
        yield self._ending, JoinedBody((BytesBody(before.encode()), self._body, BytesBody(after.encode())))


def single(
    name: str,
    content_type: str,
    ending: str,
    write: Callable[[PageResult], str],
    frame: Callable[[ResultDocument], tuple[str, str]],
) -> OutputFormat:
    """Make a format of one object.

    `write` writes a page. `frame` returns what stands before and after all pages; it gets the result document
    without its pages and detections.
    """

    def begin(spool: MakeSpool) -> OutputWriter:
        return _SingleWriter(spool, ending, write, frame)

    return OutputFormat(name, content_type, begin)
