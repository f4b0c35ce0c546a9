"""What a detector makes of a page's lines, and how well an order keeps to that in which they were drawn."""

import bisect
import difflib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from consumer.domain.geometry import Point, Quad
from tests.reading.order.sheet import Box, Line, Sheet

#: Chance that a line is found in two or three pieces.
SPLIT = 0.06


def longest_run(places: Sequence[tuple[int, int]]) -> int:
    """Length of the longest increasing subsequence."""
    ends: list[tuple[int, int]] = []
    for place in places:
        at = bisect.bisect_left(ends, place)
        ends[at : at + 1] = [place]
    return len(ends)


@dataclass(frozen=True)
class Found:
    """A box as a detector finds it, and its place: the number of its line, and of its part of that."""

    quad: Quad
    text: str
    place: tuple[int, int]
    is_aside: bool


def detected(
    sheet: Sheet, rng: random.Random, *, scale: float = 2.0, skew: float = 0.0, merged: float = 0.0
) -> list[Found]:
    """Return boxes in pixels as a detector finds them, shuffled.

    Edges are a little off, heights differ, some lines come in pieces; the page may lie askew. `merged`: the
    chance that a line is found as one with that of the next column.
    """
    lines = dict(enumerate(sheet.lines))
    for number, line in list(lines.items()):
        if rng.random() < merged:
            join(lines, number, line)
    found = [
        Found(quad(line, noisy(line, box, rng), scale, skew), line.text, (number, part), line.is_aside)
        for number, line in lines.items()
        for part, box in enumerate(pieces(line, rng))
    ]
    rng.shuffle(found)
    return found


def join(lines: dict[int, Line], number: int, line: Line) -> None:
    """Join a line with the one that begins close behind it."""
    _, top, right, bottom = line.box
    for other, (x1, y1, x2, _) in [(n, each.box) for n, each in lines.items()]:
        if other > number and abs(y1 - top) < 1 and 0 < x1 - right < 2.5 * (bottom - top):
            lines[number] = replace(line, box=(line.box[0], top, x2, bottom))
            del lines[other]
            return


def pieces(line: Line, rng: random.Random) -> list[Box]:
    x1, y1, x2, y2 = line.box
    height = y2 - y1
    if line.turn or x2 - x1 < 8 * height or rng.random() > SPLIT:
        return [line.box]
    cuts = sorted(rng.uniform(x1 + height, x2 - height) for _ in range(rng.choice((1, 1, 2))))
    edges = [x1, *cuts, x2]
    gap = 0.15 * height
    return [(a + gap, y1, b - gap, y2) for a, b in pairwise(edges) if b - a > height]


def noisy(line: Line, box: Box, rng: random.Random) -> Box:
    x1, y1, x2, y2 = box
    height = x2 - x1 if line.turn else y2 - y1
    # Without ascenders or descenders a line is lower.
    up, down = rng.choice((0.0, 0.0, 0.1)) * height, rng.choice((0.0, 0.0, 0.1)) * height
    left, right = (rng.gauss(0.16, 0.06) * height for _ in range(2))
    over, under = (rng.gauss(0.14, 0.04) * height for _ in range(2))
    if line.turn:
        return x1 + up - over, y1 - left, x2 - down + under, y2 + right
    return x1 - left, y1 + up - over, x2 + right, y2 - down + under


def quad(line: Line, box: Box, scale: float, skew: float) -> Quad:
    x1, y1, x2, y2 = box
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    if line.turn:
        corners = [*corners[3:], *corners[:3]]
    cos, sin = math.cos(math.radians(skew)), math.sin(math.radians(skew))
    a, b, c, d = (
        Point(round(scale * (x * cos - y * sin)), round(scale * (x * sin + y * cos))) for x, y in corners
    )
    return a, b, c, d


def kept_order(found: Sequence[Found]) -> float:
    """Return the share of boxes in the longest run in the right order; matter beside the text is left out."""
    places = [each.place for each in found if not each.is_aside]
    return longest_run(places) / max(1, len(places))


def kept_order_of_texts(lines: Sequence[Line], texts: Sequence[str]) -> float:
    """Return the share of the lines found among `texts` that are in the longest run in the right order.

    A line is found at the same text, or at the most similar one that is no other line; matter beside the text
    is left out.
    """
    wanted = [line.text for line in lines if not line.is_aside]
    free: dict[str, list[int]] = {}
    for place, text in reversed(list(enumerate(texts))):
        free.setdefault(text, []).append(place)
    places: dict[int, int] = {}
    for n, line in enumerate(wanted):
        if free.get(line):
            places[n] = free[line].pop()
    rest = [place for same in free.values() for place in same]
    for n, line in enumerate(wanted):
        if n in places or not rest:
            continue
        likeness, place = max((likeness_of(line, texts[place]), -place) for place in rest)
        if likeness >= 0.75:
            places[n] = -place
            rest.remove(-place)
    found = [(places[n], 0) for n in sorted(places)]
    return longest_run(found) / max(1, len(found))


def likeness_of(text: str, other: str) -> float:
    if abs(len(text) - len(other)) > 0.4 * len(text):
        return 0.0
    matcher = difflib.SequenceMatcher(None, text, other, autojunk=False)
    return matcher.ratio() if matcher.quick_ratio() >= 0.75 else 0.0
