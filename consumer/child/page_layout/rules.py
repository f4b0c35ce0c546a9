"""Finds the ruled lines of a page, and the tables that are drawn by them alone."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from consumer.child.pixels import Image
from consumer.domain.geometry import Rect

#: Rules are looked for at a scale at which print is at least this high, on so many pixels at most.
_LINE_PX: Final = 16.0
_LEAST_LINE_PX: Final = 8.0
_MOST_PIXELS: Final = 4_000_000

#: A rule is darker or lighter than its surroundings by at least this.
_CONTRAST: Final = 14

#: In heights of the print: a rule is at least so long, and at most so thick. Its pieces between rules that
#: cross it are longer than strokes of letters.
_LONG: Final = 1.7
_THICK: Final = 0.35

#: Pages have fewer rules, but for hatched drawings and the like.
_MOST_RULES: Final = 1000

#: Gaps in a rule of up to twice so many pixels do not interrupt it.
_GAP_PX: Final = 5

Axis = Literal["horizontal", "vertical"]
Mask = npt.NDArray[np.uint8]

_PIECE: Final[dict[Axis, float]] = {"horizontal": 1.2, "vertical": 0.9}


@dataclass(frozen=True, slots=True)
class Rule:
    """A straight line: it runs from `start` to `end` along its axis, at `at` across it, in pixels."""

    axis: Axis
    at: float
    start: float
    end: float

    @property
    def length(self) -> float:
        """From its start to its end."""
        return self.end - self.start

    def common(self, start: float, end: float) -> float:
        """How much of it lies between two places along its axis."""
        return max(0.0, min(self.end, end) - max(self.start, start))


def find_rules(page: Image, line_px: float) -> list[Rule]:
    """Return the longest rules of an upright page. `line_px`: the usual height of the print on it."""
    height, width = page.shape[:2]
    # By a whole number, because others blur thin rules.
    step = max(1, int(line_px / _LINE_PX), math.ceil(math.sqrt(height * width / _MOST_PIXELS)))
    grey = cv2.cvtColor(page, cv2.COLOR_BGR2GRAY)
    if step > 1:
        size = (max(1, width // step), max(1, height // step))
        grey = cv2.resize(grey[: size[1] * step, : size[0] * step], size, interpolation=cv2.INTER_AREA)
    line_px = max(line_px / step, _LEAST_LINE_PX)
    rules = [
        Rule(axis, rule.at * step, rule.start * step, rule.end * step)
        for axis, mask in _masks(grey, line_px).items()
        for rule in _along(axis, mask, _THICK * line_px)
    ]
    return sorted(rules, key=lambda rule: -rule.length)[:_MOST_RULES]


def _masks(grey: npt.NDArray[Any], line_px: float) -> dict[Axis, Mask]:
    """Pixels of rules in each direction: dark ones, and light ones on dark ground."""
    across = 2 * round(_THICK * line_px) + 1
    masks: dict[Axis, Mask] = {}
    for axis in _PIECE:
        dark, light = (
            _runs(_thin(grey, _shape(axis, across)[::-1], kind), axis, line_px)
            for kind in (cv2.MORPH_BLACKHAT, cv2.MORPH_TOPHAT)
        )
        masks[axis] = dark | light
    return masks


def _thin(grey: npt.NDArray[Any], shape: tuple[int, int], kind: int) -> Mask:
    """Pixels that differ from the ground on both sides."""
    thin = cv2.morphologyEx(grey, kind, np.ones(shape, np.uint8))
    return np.asarray(thin >= _CONTRAST, np.uint8)


def _runs(mask: Mask, axis: Axis, line_px: float) -> Mask:
    """Long runs of pixels along an axis, of pieces between the rules that cross them."""
    pieces = _morph(mask, cv2.MORPH_OPEN, axis, round(_PIECE[axis] * line_px))
    joined = _morph(pieces, cv2.MORPH_CLOSE, axis, _GAP_PX)
    return _morph(joined, cv2.MORPH_OPEN, axis, round(_LONG * line_px))


def _morph(mask: Mask, kind: int, axis: Axis, length: int) -> Mask:
    return np.asarray(cv2.morphologyEx(mask, kind, np.ones(_shape(axis, length), np.uint8)), np.uint8)


def _shape(axis: Axis, length: int) -> tuple[int, int]:
    """Rows and columns of a kernel along an axis."""
    return (1, length) if axis == "horizontal" else (length, 1)


def _along(axis: Axis, mask: Mask, thick_px: float) -> Iterable[Rule]:
    # A rule that is not quite level goes on one pixel beside.
    near = 2 * _GAP_PX + 1
    reach = (3, near) if axis == "horizontal" else (near, 3)
    contours, _ = cv2.findContours(
        cv2.dilate(mask, np.ones(reach, np.uint8)), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    for contour in contours:
        x, y, width, height = (float(value) for value in cv2.boundingRect(contour))
        across, thick = (y, height) if axis == "horizontal" else (x, width)
        start, length = (x, width) if axis == "horizontal" else (y, height)
        # Slanted by at most one in fifty.
        if thick - 2 <= thick_px + length / 50:
            yield Rule(axis, across + thick / 2, start + _GAP_PX, start + length - _GAP_PX)


def ruled_areas(rules: Sequence[Rule], line_px: float) -> list[Rect]:
    """Return the areas that crossing rules divide into at least two rows and two columns."""
    groups: list[set[int]] = []
    for n, one in enumerate(rules):
        if one.axis != "horizontal":
            continue
        touched = {n, *(m for m, other in enumerate(rules) if _touch(one, other, line_px / 2))}
        apart = [group for group in groups if not group & touched]
        groups = [*apart, touched.union(*(group for group in groups if group & touched))]
    return [_bounds([rules[n] for n in group]) for group in groups if _is_grid([rules[n] for n in group])]


def _touch(horizontal: Rule, other: Rule, near: float) -> bool:
    return (
        other.axis == "vertical"
        and horizontal.start - near <= other.at <= horizontal.end + near
        and other.start - near <= horizontal.at <= other.end + near
    )


def _is_grid(rules: Sequence[Rule]) -> bool:
    """Whether there is a rule besides those round it, in one direction, and an edge or rule in the other."""
    counts = {
        axis: len(clusters([rule.at for rule in rules if rule.axis == axis], 8.0))
        for axis in ("horizontal", "vertical")
    }
    return min(counts.values()) >= 2 and max(counts.values()) >= 3


def _bounds(rules: Sequence[Rule]) -> Rect:
    xs = [x for r in rules for x in ((r.start, r.end) if r.axis == "horizontal" else (r.at, r.at))]
    ys = [y for r in rules for y in ((r.start, r.end) if r.axis == "vertical" else (r.at, r.at))]
    return Rect(min(xs), min(ys), max(xs), max(ys))


def clusters(values: Iterable[float], gap: float) -> list[list[float]]:
    """Group numbers; those of a group follow each other by at most `gap`."""
    groups: list[list[float]] = []
    for value in sorted(values):
        if groups and value - groups[-1][-1] <= gap:
            groups[-1].append(value)
        else:
            groups.append([value])
    return groups
