"""Replies of any size, sent in messages of limited size.

A page of ten thousand lines is one value of megabytes. The lines that do not fit precede it.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from consumer.domain.result import Detection, PageResult
from consumer.protocol import PageLines, PagesRead, Reply

#: Lines and words of a page in one message: each has about 16 values, in 200 bytes.
_LINES_A_MESSAGE: Final = 5000


def parts(reply: Reply) -> Iterator[Reply | PageLines]:
    """Yield a reply in messages that are small enough; `joined` puts it together."""
    if not isinstance(reply, PagesRead):
        yield reply
        return
    for number, page in enumerate(reply.pages, 1):
        lines: list[Detection] = []
        size = 0
        for line in page.detections:
            if size > _LINES_A_MESSAGE:
                yield PageLines(detections=tuple(lines))
                lines, size = [], 0
            lines.append(line)
            size += 1 + len(line.words or ())
        rest = page.model_copy(update={"detections": tuple(lines)})
        yield reply.model_copy(update={"pages": (rest,), "more": number < len(reply.pages)})


def is_part(message: Reply | PageLines) -> bool:
    """Whether more of the reply follows."""
    return isinstance(message, PageLines) or (isinstance(message, PagesRead) and message.more)


def joined(before: Sequence[Reply | PageLines], last: Reply) -> Reply:
    """Put a reply together from its last message and those before it."""
    if not isinstance(last, PagesRead) or not before:
        return last
    pages: list[PageResult] = []
    lines: list[Detection] = []
    for part in (*before, last):
        if isinstance(part, PageLines):
            lines += part.detections
        elif isinstance(part, PagesRead):
            for page in part.pages:
                pages.append(page.model_copy(update={"detections": (*lines, *page.detections)}))
                lines = []
    return last.model_copy(update={"pages": tuple(pages)})
