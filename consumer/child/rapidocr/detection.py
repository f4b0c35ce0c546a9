"""Finds the lines of a page of any size, at the size that its print needs.

The detector sees tiles that overlap. Their text maps are put together before lines are taken from them, so
that a line across a seam is one line.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from consumer.child.pixels import Image
from consumer.child.rapidocr.boxes import LIKELY, WHOLE, Boxes, Found, clockwise, joined
from consumer.child.rapidocr.networks import STEP_PX, Networks

#: Longest side of a page that is one tile; longest side of the tiles of others, which take as much memory as
#: an A4 page; and how far two of them overlap.
_WHOLE_PX: Final = 2080
_TILE_PX: Final = 1536
_OVERLAP_PX: Final = 192

#: Sides of a tile are padded to multiples of this, so that few shapes are compiled.
_SHAPE_PX: Final = 2 * STEP_PX

#: A page is reduced to `_LOOK_PX`, but not further than by `_LEAST_SCALE`; one whose shorter side is less
#: than `_SHORT_SIDE_PX` is enlarged, up to `_MOST_SCALE` times.
_LOOK_PX: Final = 2016
_LEAST_SCALE: Final = 0.5
_SHORT_SIDE_PX: Final = 736
_MOST_SCALE: Final = 3.0

#: A page is looked at coarsely first, at this part of the scale. That is enough if the smaller lines, all but
#: `_SMALLEST` per cent of them, are as high as `_WELL_SEEN_PX` then. If not, it is looked at again, at the
#: scale at which they are, in steps of 1 / `_SHARES`. A shorter box says little about the height of its line.
_COARSE: Final = 0.5
_SMALLEST: Final = 10
_WELL_SEEN_PX: Final = 17.0
_SHARES: Final = 16
_SURE_ASPECT: Final = 2.0

#: Ground round a page: text that fills an image is not found without it.
_BORDER_PX: Final = 32

#: Threshold of the text map, and the least mean of a line in it (PP-OCR: 0.3 and 0.5).
_TEXT: Final = round(0.3 * 255)
_LEAST_SCORE: Final = 0.3

#: The map shows a line made thinner: it grows by area x this / circumference on each side (Liao et al.:
#: Real-time scene text detection with differentiable binarization, 2020; PP-OCR's ratio).
_GROWTH: Final = 1.6
_LEAST_KERNEL_PX: Final = 3

#: Low lines are thicker in it than high ones, by up to so much for heights between these, so that their boxes
#: would be larger after a coarse look (measured: medians of both looks at 67 pages).
_THICKER_PX: Final = 1.85
_THICK_PX: Final = (7.0, 14.0)

#: Text that was missed shows as marks in no line. A page that was reduced to less than `_REDUCED` is looked
#: at again at full size, in tiles with `_SMALL_MARKS` marks as high as characters that were too small to be
#: seen. Every page is looked at again where there are other marks: the detector misses lines on empty pages,
#: and finds them in a part of the page (measured: scores of 0.2 and 0.7). If such parts make much of a page
#: that was not reduced, as on speckled ones, or still have marks, all of it is looked at again, reduced.
_REDUCED: Final = 0.7
_SMALL_LINE_PX: Final = 11.0
_SMALL_MARKS: Final = 24
_MARKS: Final = 4

#: Parts with marks: at most this share of a page, so far round a mark, of sides that are multiples of
#: `_PART_STEP_PX`, so that few shapes are compiled. They are determined by cells of `_CELL_PX`.
_MOST_PARTS: Final = 0.25
_AROUND_PX: Final = 64
_PART_STEP_PX: Final = 192
_CELL_PX: Final = 8

#: Heights of marks: smaller ones are dots, and no characters that can be read.
_LEAST_MARK_PX: Final = 6
_SMALL_MARK_PX: Final = 8.0
_MOST_MARK_PX: Final = 64.0

#: A box that is less long against its height may be several small lines that were seen as one.
_LINE_ASPECT: Final = 3.0
_SEVERAL: Final = 2


class _Tile(NamedTuple):
    """A tile in the scaled page with its border, and the part of it that counts, in pixels."""

    left: int
    top: int
    right: int
    bottom: int
    inner: tuple[slice, slice]

    @property
    def corner(self) -> npt.NDArray[np.float32]:
        """Its top left corner in the scaled page without border."""
        return np.array([self.left - _BORDER_PX, self.top - _BORDER_PX], np.float32)


@dataclass(frozen=True)
class _Look:
    """A page as the detector sees it: scaled, and with a border in its own colour."""

    page: Image
    scale: float

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width with the border."""
        height, width = (max(1, round(side * self.scale)) + 2 * _BORDER_PX for side in self.page.shape[:2])
        return height, width

    @cached_property
    def _ground(self) -> npt.NDArray[np.uint8]:
        """The commonest colour of the page, roughly: the median of some of its pixels."""
        height, width = self.page.shape[:2]
        some = self.page[:: max(1, height // 64), :: max(1, width // 64)].reshape(-1, 3)
        return np.asarray(np.median(some, axis=0), np.uint8)

    def tiles(self) -> Iterator[_Tile]:
        """Tiles of about the same size, row by row."""
        height, width = self.shape
        for top, bottom, rows in _spans(height):
            for left, right, columns in _spans(width):
                yield _Tile(left, top, right, bottom, (rows, columns))

    def pixels(self, tile: _Tile) -> Image:
        """The pixels of a tile, padded at its right and bottom."""
        height, width = self.page.shape[:2]
        x1, y1 = (max(0, math.floor((start - _BORDER_PX) / self.scale)) for start in (tile.left, tile.top))
        x2 = min(width, math.ceil((tile.right - _BORDER_PX) / self.scale))
        y2 = min(height, math.ceil((tile.bottom - _BORDER_PX) / self.scale))
        part = self.page[y1:y2, x1:x2]
        size = (max(1, round((x2 - x1) * self.scale)), max(1, round((y2 - y1) * self.scale)))
        if size != (x2 - x1, y2 - y1):
            part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        rows, columns = (
            math.ceil(side / _SHAPE_PX) * _SHAPE_PX
            for side in (tile.bottom - tile.top, tile.right - tile.left)
        )
        top, left = max(0, _BORDER_PX - tile.top), max(0, _BORDER_PX - tile.left)
        padded = np.empty((rows, columns, 3), np.uint8)
        padded[:] = self._ground
        padded[top : top + size[1], left : left + size[0]] = part[: rows - top, : columns - left]
        return padded


def find_lines(page: Image, networks: Networks, progress: Callable[[], None]) -> Found:
    """Find the lines of a page; `progress` is called after each tile."""
    short, long = sorted(page.shape[:2])
    full = min(max(_LEAST_SCALE, _LOOK_PX / long), max(1.0, _SHORT_SIDE_PX / short), _MOST_SCALE)
    # Small pages are looked at once: there is little time to save.
    share, coarse = 1.0, None
    if full <= 1:
        coarse = _seen(page, full * _COARSE, networks, progress, _COARSE)
        share = _share_needed(coarse, full)
    scale = full * share
    found = coarse if coarse and share == _COARSE else _seen(page, scale, networks, progress, share)
    if full <= _REDUCED:
        found = _with_small_print(page, found, (full, scale), networks, progress)
    parts = _parts_with_marks(page, found, min(full, 1.0))
    are_few = sum(page[part].size for part in parts) <= _MOST_PARTS * page.size
    if parts and are_few:
        for rows, columns in parts:
            again = _seen(page[rows, columns], full, networks, progress)
            found = found.or_better(again.moved(columns.start, rows.start))
        parts = _parts_with_marks(page, found, min(full, 1.0))
    if parts and not are_few and share < 1:
        found = found.or_better(_seen(page, full, networks, progress))
    elif parts and full > _REDUCED and share > _COARSE:
        coarse = coarse or _seen(page, full * _COARSE, networks, progress, _COARSE)
        found = found.or_better(coarse)
    return found


def _share_needed(found: Found, full: float) -> float:
    """Part of the full scale at which the lines of a coarse look are high enough to be seen well."""
    is_line = (found.scores >= LIKELY) & (found.aspects >= _SURE_ASPECT)
    if not is_line.any():
        return 1.0
    height_px = float(np.percentile(found.heights_px[is_line], _SMALLEST)) * full * _COARSE
    share = math.ceil(_COARSE * _WELL_SEEN_PX / height_px * _SHARES) / _SHARES
    return min(1.0, max(_COARSE, share))


def _seen(
    page: Image, scale: float, networks: Networks, progress: Callable[[], None], share: float = 1.0
) -> Found:
    """Look at the whole page at one scale, which is this part of the full one."""
    look = _Look(page, scale)
    whole = np.zeros(look.shape, np.uint8)
    for tile in look.tiles():
        _fill(whole, tile, look.pixels(tile), networks)
        progress()
    return _found(whole, scale, page, share)


def _with_small_print(
    page: Image, found: Found, scales: tuple[float, float], networks: Networks, progress: Callable[[], None]
) -> Found:
    """Look at the page's own size if there are marks in no line, or lines, too small to be seen well.

    `scales`: the full one, and the one of the last look.
    """
    full, scale = scales
    look = _Look(page, 1.0)
    whole = np.zeros(look.shape, np.uint8)
    is_small = found.heights_px * scale < _SMALL_LINE_PX
    lines = found.boxes[~is_small & (found.aspects >= _LINE_ASPECT)]
    is_looked = False
    for tile in look.tiles():
        pixels = look.pixels(tile)
        grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)
        if len(_marks(grey, lines - tile.corner, _SMALL_MARK_PX / full)) >= _SMALL_MARKS:
            _fill(whole, tile, pixels, networks)
            is_looked = True
        progress()
    if not is_looked:
        return found
    again = _found(whole, 1.0, page, 1.0)
    again = again.only(again.heights_px * scale < 1.5 * _SMALL_LINE_PX)
    inside, length_px = again.inside(found.boxes)
    # Print that was seen both times counts as it was seen at full size, unless its other half was in a tile
    # that was not looked at.
    is_whole = length_px >= WHOLE * found.lengths_px
    return found.only(~is_whole | (~is_small & (inside < _SEVERAL))).with_others(again)


def _marks(grey: Image, lines: Boxes, most_px: float) -> npt.NDArray[np.int32]:
    """Find marks outside these lines that are as large as characters of up to `most_px`.

    Returns the left, top, width and height of each.
    """
    marks = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, 31, 40)
    cv2.fillPoly(marks, list(lines.astype(np.int32)), 0)
    _, _, stats, _ = cv2.connectedComponentsWithStats(marks)
    stats = stats[1:, : cv2.CC_STAT_HEIGHT + 1]
    widths, heights = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    is_mark = (heights >= _LEAST_MARK_PX) & (heights <= most_px) & (widths <= 2 * most_px)
    return np.asarray(stats[is_mark], np.int32)


def _parts_with_marks(page: Image, found: Found, scale: float) -> list[tuple[slice, slice]]:
    """The rows and columns of parts of a page in which text outside likely lines was missed at this scale."""
    lines = found.boxes[found.scores >= LIKELY]
    size = [max(1, round(side * scale)) for side in page.shape[1::-1]]
    grey = cv2.cvtColor(np.ascontiguousarray(page), cv2.COLOR_BGR2GRAY)
    seen = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    marks = _marks(seen, lines * scale, _MOST_MARK_PX)
    centres = (marks[:, :2] + marks[:, 2:] // 2) // _CELL_PX
    cells = np.zeros([side // _CELL_PX + 1 for side in seen.shape[:2]], np.uint8)
    cells[centres[:, 1], centres[:, 0]] = 1
    around = 2 * (_AROUND_PX // _CELL_PX) + 1
    near = cv2.dilate(cells, np.ones((around, around), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(near)
    counts = np.bincount(labels[centres[:, 1], centres[:, 0]], minlength=len(stats))
    # As many as make a short word; on a page without lines, a single one.
    least = _MARKS if len(lines) else 1
    return [
        (_stretch(top, height, page.shape[0], scale), _stretch(left, width, page.shape[1], scale))
        for (left, top, width, height, _), count in zip(stats[1:], counts[1:], strict=True)
        if count >= least
    ]


def _stretch(first: int, count: int, most_px: int, scale: float) -> slice:
    """Cells of a scaled page as pixels of the page; made longer so that few shapes are compiled."""
    length_px = math.ceil(math.ceil(count * _CELL_PX / _PART_STEP_PX) * _PART_STEP_PX / scale)
    middle_px = round((first + count / 2) * _CELL_PX / scale)
    start_px = max(0, min(middle_px - length_px // 2, most_px - length_px))
    return slice(start_px, min(start_px + length_px, most_px))


def _fill(whole: Image, tile: _Tile, pixels: Image, networks: Networks) -> None:
    """Write the text map of a tile into that of the page."""
    rows, columns = tile.inner
    text_map = networks.text_map(pixels)
    whole[rows, columns] = text_map[
        rows.start - tile.top : rows.stop - tile.top, columns.start - tile.left : columns.stop - tile.left
    ]


def _spans(length: int) -> Iterator[tuple[int, int, slice]]:
    """Starts and ends of tiles along one side; the part that counts ends in the middle of an overlap."""
    count = 1 if length <= _WHOLE_PX else math.ceil((length - _OVERLAP_PX) / (_TILE_PX - _OVERLAP_PX))
    size = math.ceil((length + (count - 1) * _OVERLAP_PX) / count)
    for n in range(count):
        start = n * (size - _OVERLAP_PX)
        end = min(start + size, length)
        inner_start = start + (_OVERLAP_PX // 2 if n else 0)
        yield start, end, slice(inner_start, end - (_OVERLAP_PX // 2 if n < count - 1 else 0))


def _found(whole: Image, scale: float, page: Image, share: float) -> Found:
    """Take lines from the text map of a page, which was looked at at this part of the full scale."""
    mask = cv2.dilate(cv2.threshold(whole, _TEXT, 255, cv2.THRESH_BINARY)[1], np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    boxes, scores = [], []
    for contour in contours:
        centre, (a, b), degrees = cv2.minAreaRect(contour)
        if min(a, b) < _LEAST_KERNEL_PX:
            continue
        score = _score(whole, np.asarray(cv2.boxPoints((centre, (a, b), degrees)), np.float32))
        if score >= _LEAST_SCORE:
            excess = (1 - share) * _THICKER_PX * float(np.interp(min(a, b), _THICK_PX, (1, 0)))
            a, b = a - excess, b - excess
            growth = 2 * a * b * _GROWTH / (2 * (a + b))
            boxes.append(clockwise(cv2.boxPoints((centre, (a + growth, b + growth), degrees))))
            scores.append(score)
    found = joined(Found(np.array(boxes, np.float32).reshape(-1, 4, 2), np.array(scores, np.float32)))
    height, width = page.shape[:2]
    corners = np.clip((found.boxes - _BORDER_PX) / scale, 0, [width, height])
    return Found(corners.astype(np.float32), found.scores)


def _score(whole: Image, box: npt.NDArray[np.float32]) -> float:
    """Mean of the text map within a box, 0 to 1."""
    left, top = np.maximum(np.floor(box.min(axis=0)).astype(int), 0)
    right, bottom = np.ceil(box.max(axis=0)).astype(int) + 1
    part = whole[top:bottom, left:right]
    mask = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(mask, [(box - (left, top)).astype(np.int32)], 1)
    return float(cv2.mean(part, mask)[0]) / 255
