"""Lines by the direction in which they run."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from consumer.domain.geometry import Point, Quad, Rect, angle, bounds

#: A box at least this many times as long as high tells in which direction its text runs; a 1 does not.
_DIRECTED: Final = 3.0

#: Lines of a page that is not flat may differ by so many degrees.
_PARALLEL: Final = 15.0

#: A box that is this many times as long as high, and so many degrees askew, is a word in another direction.
_WORD: Final = 1.5
_ASKEW: Final = 10.0


def by_direction(quads: Sequence[Quad]) -> list[tuple[list[Quad], list[int]]]:
    """Group lines by their direction, that of most of the text first.

    Return for each direction its lines, as on a page turned and straightened so that they are upright, and
    their indices. Short boxes, such as those of single characters, have no direction of their own: they go
    with a line that they prolong, or else with most of the text.
    """
    if not quads:
        return []
    turn = _main_turn(quads)
    groups: dict[int, list[int]] = {}
    main: list[int] = []
    short: list[int] = []
    for n, quad in enumerate(quads):
        off = _difference(angle(quad), turn)
        aspect = _length(quad) / max(_height(quad), 1.0)
        if aspect < _DIRECTED and (aspect < _WORD or abs(_difference(4 * off, 0)) / 4 < _ASKEW):
            short.append(n)
        elif abs(off) < _PARALLEL:
            main.append(n)
        else:
            groups.setdefault(round(off / 90) % 4, []).append(n)
    turned = []
    for group in sorted(groups.values(), key=lambda group: -sum(_length(quads[n]) for n in group)):
        own = _turn([quads[n] for n in group])
        upright = [_turned(quad, own) for quad in quads]
        prolonging = _prolonging(group, short, [bounds(quad) for quad in upright])
        short = [n for n in short if n not in prolonging]
        members = [*group, *prolonging]
        turned.append(([upright[n] for n in members], members))
    main += short
    return [([_turned(quads[n], turn) for n in main], main), *turned] if main else turned


def _main_turn(quads: Sequence[Quad]) -> float:
    """Degrees by which most of the text is turned clockwise."""
    long = [quad for quad in quads if _length(quad) >= _DIRECTED * _height(quad)]
    quarters: dict[int, list[Quad]] = {}
    for quad in long:
        quarters.setdefault(round(angle(quad) / 90) % 4, []).append(quad)
    if not long:
        return _median((_difference(4 * angle(quad), 0) / 4, _length(quad)) for quad in quads)
    return _turn(max(quarters.values(), key=lambda group: sum(map(_length, group))))


def _turn(quads: Sequence[Quad]) -> float:
    """Degrees by which lines of about the same direction are turned: the median, by length."""
    first = angle(max(quads, key=_length))
    return first + _median((_difference(angle(quad), first), _length(quad)) for quad in quads)


def _median(values: Iterable[tuple[float, float]]) -> float:
    """The median of values with weights."""
    ordered = sorted(values)
    half = sum(weight for _, weight in ordered) / 2
    for value, weight in ordered:
        half -= weight
        if half <= 0:
            return value
    return 0.0


def _prolonging(lines: Sequence[int], short: Sequence[int], boxes: Sequence[Rect]) -> list[int]:
    """Which of the short boxes prolong a line, directly or by others."""
    found: list[int] = []
    ends = list(lines)
    while ends:
        line = boxes[ends.pop()]
        height = line.y2 - line.y1
        for n in short:
            box = boxes[n]
            common = min(line.y2, box.y2) - max(line.y1, box.y1)
            gap = max(box.x1 - line.x2, line.x1 - box.x2)
            if (
                n not in found
                and gap < height
                and 2 * common > min(height, box.y2 - box.y1)
                and (max(box.x2 - box.x1, box.y2 - box.y1) < 2 * height)
            ):
                found.append(n)
                ends.append(n)
    return found


def _turned(quad: Quad, degrees: float) -> Quad:
    """Return the quad after turning the page back about the origin."""
    turn = math.radians(degrees)
    cos, sin = math.cos(turn), math.sin(turn)
    a, b, c, d = (Point(x * cos + y * sin, y * cos - x * sin) for x, y in quad)
    return a, b, c, d


def _difference(degrees: float, other: float) -> float:
    """From one angle to another, from -180 to 180."""
    return (degrees - other + 180) % 360 - 180


def _length(quad: Quad) -> float:
    return math.dist(quad[0], quad[1])


def _height(quad: Quad) -> float:
    return math.dist(quad[1], quad[2])
