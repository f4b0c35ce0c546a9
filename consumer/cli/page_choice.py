"""Pages of a document that are asked for, such as 1,4,9-."""

import re
from dataclasses import dataclass
from typing import Final, Self

_RANGE: Final = re.compile(r"(\d{1,9})(?:(-)(\d{1,9})?)?")

#: More pages than any document has.
_LAST: Final = 10**9


@dataclass(frozen=True, slots=True)
class PageChoice:
    """Ranges of pages, each by its first and last, in order and apart from each other; by default all."""

    ranges: tuple[tuple[int, int], ...] = ((1, _LAST),)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `3`, `3-7`, `9-` or several of them with commas; raises ValueError."""
        ranges = []
        for part in text.split(","):
            match = _RANGE.fullmatch(part.strip())
            if match is None:
                raise ValueError(f"{part.strip()!r} is no range of pages such as 4, 3-7 or 9-")
            first = int(match[1])
            last = int(match[3]) if match[3] else _LAST if match[2] else first
            if first == 0:
                raise ValueError(f"{part.strip()!r} is no range of pages: they are counted from 1")
            if first > last:
                raise ValueError(f"{part.strip()!r} is no range of pages: it ends before it begins")
            ranges.append((first, last))
        apart: list[tuple[int, int]] = []
        for first, last in sorted(ranges):
            if apart and first <= apart[-1][1]:
                apart[-1] = apart[-1][0], max(apart[-1][1], last)
            else:
                apart.append((first, last))
        return cls(tuple(apart))

    def __contains__(self, page_number: int) -> bool:
        return any(first <= page_number <= last for first, last in self.ranges)

    def count(self, page_count: int) -> int:
        """Return how many of the first `page_count` pages are chosen."""
        return sum(max(min(last, page_count) - first + 1, 0) for first, last in self.ranges)

    @property
    def last(self) -> int:
        """Last page that is chosen."""
        return self.ranges[-1][1]


ALL_PAGES: Final = PageChoice()
