"""The order in which a person reads the lines of a page."""

import bisect
import math
from collections.abc import Iterator, Sequence

from consumer.domain.columns import is_level, joined
from consumer.domain.directions import by_direction
from consumer.domain.geometry import Quad
from consumer.domain.gutters import Gutter, gutters
from consumer.domain.page_lines import Line, Part, page_of


def reading_order(quads: Sequence[Quad], texts: Sequence[str] = ()) -> list[int]:
    """Return the indices of text lines in the order in which a person reads the page.

    `quads`: in pixels of the page, each beginning with the corner at the start of the text. `texts`: what
    they say, if that is known; it tells prose, numbers, labels and values.

    Recursive X-Y cut (Nagy, Seth: Hierarchical representation of optically scanned documents, 1984), but cut
    between columns only at gutters: tall white (`gutters`) whose sides are no cells of rows (`columns`). A
    part is cut at white across it that no gutter goes through, or else at its gutters; what has none is read
    row by row. Lines in another direction than most of the text, as of stamps, come last, each direction by
    itself.
    """
    texts = texts or [""] * len(quads)
    order: list[int] = []
    for upright, numbers in by_direction(quads):
        page = page_of(upright, numbers, [texts[n] for n in numbers])
        order.extend(line.number for line in _read(page))
    return order


def _read(page: Part) -> Iterator[Line]:
    # A stack rather than recursion: a page may be nested to any depth.
    parts = [page]
    while parts:
        part = parts.pop()
        pieces = _cut(part)
        if len(pieces) > 1:
            parts.extend(reversed(_divided(part, pieces)))
        else:
            yield from _by_rows(part)


def _divided(part: Part, pieces: list[list[Line]]) -> list[Part]:
    place = {line: n for n, piece in enumerate(pieces) for line in piece}
    parts = [Part(piece, [], [], part.unit) for piece in pieces]
    for left, right in part.pairs:
        if place[left] == place[right]:
            parts[place[left]].pairs.append((left, right))
    for left, right in part.rows:
        if place[left] == place[right]:
            parts[place[left]].rows.append((left, right))
    return parts


def _cut(part: Part) -> list[list[Line]]:
    found = gutters(part)
    if not found:
        return [part.lines]
    top, bottom = min(gutter.top for gutter in found), max(gutter.bottom for gutter in found)
    above = [line for line in part.lines if line.middle < top]
    below = [line for line in part.lines if line.middle > bottom]
    if above or below:
        between = [line for line in part.lines if top <= line.middle <= bottom]
        return [piece for piece in (above, between, below) if piece]
    zones = _zones(part, found)
    return zones if len(zones) > 1 else _columns(part, found)


def _columns(part: Part, found: list[Gutter]) -> list[list[Line]]:
    """Cut at gutters that no line crosses, or else at one; lines that cross it go with where they begin."""
    crossing = [sum(map(gutter.is_crossed_by, part.lines)) for gutter in found]
    fewest = min(crossing)
    places = sorted(gutter.x for gutter, count in zip(found, crossing, strict=True) if count == fewest)
    if fewest:
        del places[1:]
    pieces: list[list[Line]] = [[] for _ in range(len(places) + 1)]
    for line in part.lines:
        pieces[bisect.bisect(places, line.x1)].append(line)
    return [piece for piece in pieces if piece]


def _zones(part: Part, found: list[Gutter]) -> list[list[Line]]:
    """Cut at white across all lines."""
    zones: list[list[Line]] = [[]]
    reach = -math.inf
    for line in sorted(part.lines, key=lambda line: line.top):
        if zones[-1] and line.top > reach and _divides(reach, line.top, part, found):
            zones.append([])
        zones[-1].append(line)
        reach = max(reach, line.bottom)
    return zones


def _divides(top: float, bottom: float, part: Part, found: list[Gutter]) -> bool:
    """Whether white from `top` to `bottom` divides the page, rather than its gutters."""
    across = [gutter for gutter in found if gutter.top < (top + bottom) / 2 < gutter.bottom]
    if not across:
        return True
    white, widest = bottom - top, max(gutter.width for gutter in across)
    if white <= max(part.unit, 0.7 * widest):
        return False
    # A headline over some columns, or a picture over all of them.
    near = 1.5 * part.unit
    beside = [line for line in part.lines if min(abs(line.bottom - top), abs(line.top - bottom)) < near]
    ending = [g for g in found if g.top < bottom + 4 * near and top < g.bottom + 4 * near]
    if any(gutter.is_crossed_by(line) for line in beside for gutter in ending):
        return True
    return white > max(3 * part.unit, widest) and all(_is_even(top, gutter, part) for gutter in across)


def _is_even(top: float, gutter: Gutter, part: Part) -> bool:
    """Whether lines at both sides of a gutter end level above white that begins at `top`, and go on so."""
    above, below = [-math.inf, -math.inf], [math.inf, math.inf]
    for line in part.lines:
        side = line.x1 > gutter.x
        if line.bottom <= top:
            above[side] = max(above[side], line.bottom)
        else:
            below[side] = min(below[side], line.top)
    return abs(above[0] - above[1]) <= part.unit and abs(below[0] - below[1]) <= part.unit


def _by_rows(part: Part) -> Iterator[Line]:
    """Order lines by rows, and those of a row from left to right."""
    rows = joined(part.lines, (pair for pair in part.rows if is_level(*pair))).values()

    def place(row: list[Line]) -> tuple[float, float]:
        # A big initial comes with the first of the lines beside it.
        top = min(min(line.middle, line.middle - line.height / 2 + part.unit) for line in row)
        return top, min(line.x1 for line in row)

    for row in sorted(rows, key=place):
        yield from sorted(row, key=lambda line: line.x1)
