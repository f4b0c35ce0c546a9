"""Boxes of text lines as a detector finds them, and the pieces of a line put together."""

from dataclasses import dataclass
from typing import Any, Final, Self

import cv2
import numpy as np
import numpy.typing as npt

#: Boxes as n x 4 corners x 2, clockwise from the top left, in pixels.
Boxes = npt.NDArray[np.float32]

_Box = npt.NDArray[np.float32]

#: From this score on, a box is most likely text (PP-OCR's threshold).
LIKELY: Final = 0.5

#: A line whose pieces make up less than this part of its length replaces them.
WHOLE: Final = 0.85

#: Boxes of one line overlap along it by this part of its height: they have grown by about a third of it at
#: each end, so the gap between them was less than a space.
_TOUCHING: Final = 0.1

#: Part of the greater height that two pieces of a line have in common.
_LEVEL: Final = 0.75

#: A box is taken for a line that runs down if it is so high against its width.
_UPRIGHT_ASPECT: Final = 1.5

#: A mark, such as a minus, is at most this high against its line, and lies within it.
_MARK: Final = 0.5


@dataclass(frozen=True, slots=True)
class Found:
    """The lines of a page and the detector's score of each, 0 to 1."""

    boxes: Boxes
    scores: npt.NDArray[np.float32]

    @property
    def heights_px(self) -> npt.NDArray[np.float32]:
        """The shorter side of each box."""
        return np.asarray(self.sides_px.min(axis=1, initial=np.inf), np.float32)

    @property
    def lengths_px(self) -> npt.NDArray[np.float32]:
        """The longer side of each box."""
        return np.asarray(self.sides_px.max(axis=1, initial=0), np.float32)

    @property
    def aspects(self) -> npt.NDArray[np.float32]:
        """The longer side of each box against the shorter one."""
        return np.asarray(self.lengths_px / np.maximum(self.heights_px, 1), np.float32)

    @property
    def sides_px(self) -> npt.NDArray[np.float32]:
        """The lengths of the four sides of each box."""
        return np.asarray(np.linalg.norm(self.boxes - np.roll(self.boxes, 1, axis=1), axis=2), np.float32)

    def only(self, which: npt.NDArray[np.bool_]) -> Self:
        """Some of the lines."""
        return type(self)(self.boxes[which], self.scores[which])

    def moved(self, x_px: int, y_px: int) -> Self:
        """The same lines of a part of the page whose top left corner lies there."""
        return type(self)(self.boxes + np.array([x_px, y_px], np.float32), self.scores)

    def with_others(self, others: Self) -> Self:
        """All these lines, and those of `others` that lie elsewhere."""
        taken = np.zeros(len(others.boxes), np.bool_)
        for box in self.boxes:
            taken |= _within(box, others.boxes)
        added = others.only(~taken)
        return type(self)(
            np.concatenate([self.boxes, added.boxes]), np.concatenate([self.scores, added.scores])
        )

    def or_better(self, others: Self) -> Self:
        """All these lines, and likely ones of `others`, also in place of unlikely ones and of pieces."""
        likely = others.only(others.scores >= LIKELY)
        lengths_px = np.where(self.scores >= LIKELY, self.lengths_px, 0)
        kept = np.ones(len(self.boxes), np.bool_)
        better = np.ones(len(likely.boxes), np.bool_)
        for n, (box, length_px) in enumerate(zip(likely.boxes, likely.lengths_px, strict=True)):
            inside = _within(box, self.boxes)
            better[n] = lengths_px[inside].sum() < WHOLE * length_px
            kept[inside] &= not better[n]
        return self.only(kept).with_others(likely.only(better))

    def inside(self, boxes: Boxes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return the number and total length of these lines whose middle lies in each of `boxes`."""
        within = [_within(box, self.boxes) for box in boxes]
        counts = np.array([each.sum() for each in within], np.int64)
        return counts, np.array([self.lengths_px[each].sum() for each in within], np.float32)


def _within(box: _Box, others: Boxes) -> npt.NDArray[np.bool_]:
    """Whether the middle of each of `others` lies in a box: on the inner side of all its edges."""
    edges = np.roll(box, -1, axis=0) - box
    middles = others.mean(axis=1)[:, np.newaxis] - box
    return np.asarray((edges[:, 0] * middles[..., 1] >= edges[:, 1] * middles[..., 0]).all(axis=1))


def clockwise(box: npt.NDArray[Any]) -> _Box:
    """Return the corners clockwise from the one at the top left."""
    by_x = box[np.argsort(box[:, 0], kind="stable")]
    left, right = by_x[:2], by_x[2:]
    (top_left, bottom_left), (top_right, bottom_right) = (
        side[np.argsort(side[:, 1], kind="stable")] for side in (left, right)
    )
    return np.stack([top_left, top_right, bottom_right, bottom_left]).astype(np.float32)


def joined(found: Found) -> Found:
    """Put pieces of a line together that touch: words that were cut, and marks such as a minus."""
    across = _joined_across(found)
    # The same for lines that run down or up, on the page mirrored at its diagonal.
    mirrored = np.array([clockwise(box) for box in across.boxes[..., ::-1]], np.float32)
    down = _joined_across(Found(mirrored.reshape(-1, 4, 2), across.scores), _UPRIGHT_ASPECT)
    boxes = np.array([clockwise(box) for box in down.boxes[..., ::-1]], np.float32)
    return Found(boxes.reshape(-1, 4, 2), down.scores)


def _joined_across(found: Found, least_aspect: float = 0.5) -> Found:
    """Put pieces of lines together that are at least this wide against their height."""
    middles = found.boxes[:, :, 1].mean(axis=1)
    order = np.argsort(middles, kind="stable")
    boxes, scores, middles = found.boxes[order], found.scores[order], middles[order]
    alive = np.ones(len(boxes), np.bool_)
    widths = boxes[:, 1, 0] - boxes[:, 0, 0]
    heights = boxes[:, 2:, 1].mean(axis=1) - boxes[:, :2, 1].mean(axis=1)
    low, high = boxes.min(axis=1), boxes.max(axis=1)
    # The longest first: a piece belongs to its line, and not to another piece.
    for i in np.argsort(-widths, kind="stable"):
        if not alive[i] or widths[i] < least_aspect * heights[i]:
            continue
        reach = max(heights[i], 0.1 * widths[i])
        near = slice(*np.searchsorted(middles, (middles[i] - reach, middles[i] + reach)))
        while True:
            # A short box says little about its direction, so it cannot tell whether a longer one is level.
            touching = alive[near] & (widths[near] <= widths[i])
            touching &= ((low[near] <= high[i] + 1) & (high[near] >= low[i] - 1)).all(axis=1)
            touching[i - near.start] = False
            pieces = [j for j in near.start + np.flatnonzero(touching) if _belongs(boxes[i], boxes[j])]
            if not pieces:
                break
            alive[pieces] = False
            points = np.concatenate([boxes[i], *boxes[pieces]])
            boxes[i] = clockwise(cv2.boxPoints(cv2.minAreaRect(points)))
            low[i], high[i] = boxes[i].min(axis=0), boxes[i].max(axis=0)
            scores[i] = max(scores[i], *scores[pieces])
    return Found(boxes[alive], scores[alive])


def _belongs(line: _Box, other: _Box) -> bool:
    """Whether `other` goes on with `line` at its left or right, without a gap."""
    along = (line[1] - line[0]) / max(float(np.linalg.norm(line[1] - line[0])), 1e-6)
    xs, ys = (line - line[0]) @ along, (line - line[0]) @ np.array([-along[1], along[0]])
    other_xs, other_ys = (other - line[0]) @ along, (other - line[0]) @ np.array([-along[1], along[0]])
    overlap = min(xs[1:3].mean(), other_xs[1:3].mean()) - max(xs[[0, 3]].mean(), other_xs[[0, 3]].mean())
    top, bottom, other_top, other_bottom = (
        ys[:2].mean(),
        ys[2:].mean(),
        other_ys[:2].mean(),
        other_ys[2:].mean(),
    )
    height, other_height = bottom - top, other_bottom - other_top
    common = min(bottom, other_bottom) - max(top, other_top)
    is_mark = other_height < _MARK * height and common > 0.9 * other_height and np.ptp(other_xs) < height
    is_level = common > _LEVEL * max(height, other_height) and overlap > _TOUCHING * height
    return bool(overlap >= 0 and (is_mark or is_level))
