"""Content streams of invisible text (PDF 32000-1, 9.4)."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from consumer.child.rendering.frame import Affine
from consumer.child.textlayer.font import DESCENT, STEP, InvisibleFont
from consumer.child.textlayer.lines import Axis, Letter
from consumer.child.textlayer.steps import middle, nearest_axis, steps
from consumer.domain.geometry import Point

#: The text rendering mode in which text is neither filled nor stroked.
_INVISIBLE: Final = 3


def content(
    lines: Iterable[tuple[Axis, Sequence[Letter]]], to_user: Affine, font: InvisibleFont, font_name: str
) -> bytes:
    """Return a content stream with one text object for each line, most of which show all letters at once.

    `to_user`: from pixels to the page's user space; `font_name`: that of the font among the page's resources.
    The height of a line is one em.
    """
    objects = (_text_object(axis, letters, to_user, font, font_name) for axis, letters in lines)
    return "\n".join(("q", f"{_INVISIBLE} Tr", *objects, "Q\n")).encode()


def _text_object(
    axis: Axis, letters: Sequence[Letter], to_user: Affine, font: InvisibleFont, font_name: str
) -> str:
    along, up = to_user.vector(axis.along), to_user.vector(axis.up)
    # Pixels of an image need not be square.
    size, unit = axis.height * math.hypot(*up), math.hypot(*along)

    def foot(place: float) -> Point:
        return to_user.point(axis.at(place, DESCENT * axis.height))

    shown = [f"BT /{font_name} {number(size)} Tf"]
    for step, is_level in steps(letters, along):
        right, head = (nearest_axis(along), nearest_axis(up)) if is_level else (_unit(along), _unit(up))
        for start, codes in _shown(step, unit / size, font):
            origin = foot(start)
            if is_level:
                origin = _crossing(origin, foot(middle(step)), right, head)
            shown.append(f"{' '.join(map(number, (*right, *head, *origin)))} Tm")
            shown.append(f"<{''.join(map('{:04x}'.format, codes))}> Tj")
    return "\n".join((*shown, "ET"))


def _crossing(start: Point, middle: Point, right: Point, head: Point) -> Point:
    """The point that is as far to the right as `start`, and as far up as `middle`."""
    across = start.x * right.x + start.y * right.y
    above = middle.x * head.x + middle.y * head.y
    return Point(across * right.x + above * head.x, across * right.y + above * head.y)


def _shown(
    letters: Iterable[Letter], em_per_px: float, font: InvisibleFont
) -> Iterator[tuple[float, list[int]]]:
    """Yield letters that adjoin: where they begin, in pixels along the line, and their codes.

    Each letter ends as near as it can to where it should, wherever it begins: errors do not add up.
    """
    start, end = 0.0, math.nan
    codes: list[int] = []
    for letter in letters:
        # The first is at no place yet.
        if not abs(letter.start - end) * em_per_px < 2 * STEP:
            if codes:
                yield start, codes
            start, end, codes = letter.start, letter.start, []
        code, width = font.glyph(letter.text, (letter.end - end) * em_per_px)
        codes.append(code)
        end += width / em_per_px
    if codes:
        yield start, codes


def _unit(vector: Point) -> Point:
    length = math.hypot(*vector)
    return Point(vector.x / length, vector.y / length)


def number(value: float) -> str:
    """Return a number as PDF writes it, which has no exponents."""
    return f"{value:.4f}".rstrip("0").rstrip(".")
