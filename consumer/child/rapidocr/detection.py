"""Finds lines of text on a page of any size, at the size that its print needs."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from consumer.child.rapidocr.networks import STEP_PX, Networks
from consumer.child.text_lines import Image

#: Longest side of what the detector sees at once, and how far two such tiles overlap.
_TILE_PX: Final = 2016
_OVERLAP_PX: Final = 192

#: Sides of a tile are padded to multiples of this, so that few shapes are compiled.
_SHAPE_PX: Final = 2 * STEP_PX

#: A page is looked at no smaller than this, however large.
_LEAST_SCALE: Final = 0.5

#: A page whose shorter side is less is enlarged, up to this many times.
_SHORT_SIDE_PX: Final = 736
_MOST_SCALE: Final = 3.0

#: White round a page, so that text which fills it is found.
_BORDER_PX: Final = 32

#: Binarisation of the text map, and the least mean of a line's map (PP-OCR's 0.3 and 0.5; a line that scores
#: less than the latter must prove itself by being read well).
_TEXT: Final = round(0.3 * 255)
_LEAST_SCORE: Final = 0.3

#: A detected kernel is the line made thinner: it grows by area x ratio / circumference on each side
#: (Liao et al., Real-time scene text detection with differentiable binarization, 2020; PP-OCR's ratio).
_GROWTH: Final = 1.6
_LEAST_KERNEL_PX: Final = 3


Boxes = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Found:
    """Lines of a page: n x 4 corners x 2 in its pixels, clockwise from top left, and the score of each, 0 to 1."""

    boxes: Boxes
    scores: npt.NDArray[np.float32]


def find_lines(page: Image, networks: Networks, progress: Callable[[], None]) -> Found:
    """Find the lines of a page; `progress` is called after each look."""
    height, width = page.shape[:2]
    scale = min(max(_LEAST_SCALE, _TILE_PX / max(height, width)), 1.0)
    if scale == 1.0:
        scale = min(max(1.0, _SHORT_SIDE_PX / min(height, width)), _MOST_SCALE, max(1.0, _TILE_PX / max(height, width)))
    return _found(_text_map(page, scale, networks, progress), scale, (width, height))


def _text_map(page: Image, scale: float, networks: Networks, progress: Callable[[], None]) -> Image:
    """The text map of the page at this scale, put together of tiles; it has a border round the page."""
    height, width = (max(1, round(side * scale)) for side in page.shape[:2])
    whole = np.zeros((height + 2 * _BORDER_PX, width + 2 * _BORDER_PX), np.uint8)
    ground = [int(value) for value in np.median(page[:: max(1, page.shape[0] // 64), :: max(1, page.shape[1] // 64)].reshape(-1, 3), axis=0)]
    for top, bottom, upper, lower in _spans(whole.shape[0]):
        for left, right, inner_left, inner_right in _spans(whole.shape[1]):
            tile = _tile(page, scale, (left, top, right, bottom), ground)
            found = networks.text_map(tile)
            whole[upper:lower, inner_left:inner_right] = found[upper - top : lower - top, inner_left - left : inner_right - left]
            progress()
    return whole


def _spans(length: int) -> Iterator[tuple[int, int, int, int]]:
    """Tiles along one side: start, end, and the part that counts, which ends in the middle of the overlap."""
    count = 1 if length <= _TILE_PX + 2 * _BORDER_PX else math.ceil((length - _OVERLAP_PX) / (_TILE_PX - _OVERLAP_PX))
    size = math.ceil((length + (count - 1) * _OVERLAP_PX) / count)
    for n in range(count):
        start = n * (size - _OVERLAP_PX)
        end = min(start + size, length)
        yield start, end, start + (_OVERLAP_PX // 2 if n else 0), end - (_OVERLAP_PX // 2 if n < count - 1 else 0)


def _tile(page: Image, scale: float, span: tuple[int, int, int, int], ground: list[int]) -> Image:
    """Cut a tile out of the scaled page with its border."""
    left, top, right, bottom = (value - _BORDER_PX for value in span)
    height, width = page.shape[:2]
    x1, y1 = max(0, math.floor(left / scale)), max(0, math.floor(top / scale))
    x2, y2 = min(width, math.ceil(right / scale)), min(height, math.ceil(bottom / scale))
    size = (max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale)))
    part = page[y1:y2, x1:x2]
    if size != (x2 - x1, y2 - y1):
        part = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
    rows, columns = (-(-n // _SHAPE_PX) * _SHAPE_PX for n in (span[3] - span[1], span[2] - span[0]))
    before_x, before_y = max(0, -left), max(0, -top)
    tile = np.empty((rows, columns, 3), np.uint8)
    tile[:] = ground
    tile[before_y : before_y + size[1], before_x : before_x + size[0]] = part[: rows - before_y, : columns - before_x]
    return tile


def _found(whole: Image, scale: float, size: tuple[int, int]) -> Found:
    mask = cv2.dilate(cv2.threshold(whole, _TEXT, 255, cv2.THRESH_BINARY)[1], np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    boxes, scores = [], []
    for contour in contours:
        centre, (a, b), degrees = cv2.minAreaRect(contour)
        if min(a, b) < _LEAST_KERNEL_PX:
            continue
        score = _score(whole, cv2.boxPoints((centre, (a, b), degrees)))
        if score < _LEAST_SCORE:
            continue
        grown = a * b * _GROWTH / (2 * (a + b)) * 2
        boxes.append(cv2.boxPoints((centre, (a + grown, b + grown), degrees)))
        scores.append(score)
    if not boxes:
        return Found(np.empty((0, 4, 2), np.float32), np.empty(0, np.float32))
    joined, kept = _joined(np.stack([_clockwise(box) for box in boxes]), np.array(scores, np.float32))
    corners = np.clip((joined - _BORDER_PX) / scale, 0, np.array(size, np.float32))
    return Found(corners.astype(np.float32), kept)


def _joined(boxes: Boxes, scores: npt.NDArray[np.float32]) -> tuple[Boxes, npt.NDArray[np.float32]]:
    """Join pieces of a line that touch: words that were cut, and small marks such as a minus.

    A gap between columns is wider: boxes are grown by about a third of their height.
    """
    order = np.argsort(boxes[:, :, 1].mean(axis=1))
    boxes, scores = boxes[order], scores[order]
    upper, lower = boxes[:, :2, 1].mean(axis=1), boxes[:, 2:, 1].mean(axis=1)
    middle = (upper + lower) / 2
    alive = np.ones(len(boxes), bool)
    for i in np.argsort(-(boxes[:, 1, 0] - boxes[:, 0, 0])):
        if not alive[i]:
            continue
        height = lower[i] - upper[i]
        width = boxes[i, 1, 0] - boxes[i, 0, 0]
        if width < height * 0.4:
            continue
        near = np.arange(*np.searchsorted(middle, (middle[i] - height, middle[i] + height)))
        again = True
        while again:
            again = False
            for j in near:
                if j == i or not alive[j]:
                    continue
                if _is_piece(boxes[i], boxes[j]):
                    scores[i] = max(scores[i], scores[j])
                    boxes[i] = _around(boxes[i], boxes[j])
                    alive[j] = False
                    again = True
    return boxes[alive], scores[alive]


def _is_piece(line: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> bool:
    """Whether `other` goes on with `line` at its left or right end, without a gap."""
    along = line[1] - line[0]
    along = along / max(float(np.linalg.norm(along)), 1e-6)
    across = np.array([-along[1], along[0]], np.float32)
    xs, ys = (line - line[0]) @ along, (line - line[0]) @ across
    other_xs, other_ys = (other - line[0]) @ along, (other - line[0]) @ across
    top, bottom, start, end = ys[:2].mean(), ys[2:].mean(), xs[[0, 3]].mean(), xs[1:3].mean()
    other_top, other_bottom = other_ys[:2].mean(), other_ys[2:].mean()
    other_start, other_end = other_xs[[0, 3]].mean(), other_xs[1:3].mean()
    height, other_height = bottom - top, other_bottom - other_top
    common = min(bottom, other_bottom) - max(top, other_top)
    overlap = min(end, other_end) - max(start, other_start)
    if overlap < 0:
        return False
    is_mark = other_height < 0.5 * height and common > 0.9 * other_height and other_end - other_start < height
    is_same = common > 0.75 * max(height, other_height) and overlap > 0.1 * height
    return bool(is_mark or is_same)


def _around(line: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return _clockwise(cv2.boxPoints(cv2.minAreaRect(np.concatenate([line, other]))))


def _score(whole: Image, box: npt.NDArray[np.float32]) -> float:
    left, top = np.maximum(np.floor(box.min(axis=0)).astype(int), 0)
    right, bottom = np.ceil(box.max(axis=0)).astype(int) + 1
    part = whole[top:bottom, left:right]
    mask = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(mask, [(box - (left, top)).astype(np.int32)], 1)
    return cv2.mean(part, mask)[0] / 255


def _clockwise(box: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Corners clockwise from the one at the top left."""
    by_x = box[np.argsort(box[:, 0], kind="stable")]
    left, right = by_x[:2], by_x[2:]
    (top_left, bottom_left), (top_right, bottom_right) = (side[np.argsort(side[:, 1])] for side in (left, right))
    return np.stack([top_left, top_right, bottom_right, bottom_left])
