"""What PP-StructureV3 found on a page, as plain values in the frame of the page.

Its results hold images and arrays, in pixels of the image that it read after turning and flattening it.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, Final, Literal

import cv2
import numpy as np

from consumer import protocol
from consumer.child.text_lines import corners_from_text_start, is_vertical
from consumer.domain.geometry import PageTransform, Quad, Rect, bounds, reading_order
from consumer.domain.result import Block, Formula, Table

#: PaddleX counts counter-clockwise, and says -1 or nothing where it has not looked.
_CLOCKWISE: Final[Mapping[int, Literal[90, 180, 270]]] = {90: 270, 180: 180, 270: 90}

#: A line or a box lies within another if so much of it does.
_WITHIN: Final = 0.5

#: Figures of the markdown: they refer to files that are not stored.
_FIGURE: Final = re.compile(
    r'(<div[^>]*>\s*)?<img [^>]*src="imgs/[^>]*>(?(1)\s*</div>)|!\[[^\]]*\]\(imgs/[^)]*\)'
)

Result = Mapping[str, Any]


def angle(result: Result) -> Literal[0, 90, 180, 270]:
    """Degrees clockwise by which the page was turned before it was read."""
    return _CLOCKWISE.get(int(result["doc_preprocessor_res"].get("angle", -1)), 0)


def page_text(result: Result, reading: PageTransform) -> protocol.PageContent:
    """Convert the result of one page; `reading` says how the page was seen."""
    _give_back_contents(result)
    blocks = [_rect(block.bbox) for block in result["parsing_res_list"]]
    lines = [*_lines_without_seals(result), *_seal_lines(result)]
    return protocol.PageContent(
        lines=tuple(
            protocol.TextLine(text=text, box=_corners(reading.quad(quad)), confidence=score)
            for quad, text, score in (lines[n] for n in _order([quad for quad, _, _ in lines], blocks))
        ),
        angle=reading.angle,
        blocks=tuple(_blocks(result, reading)),
        tables=tuple(_tables(result, reading)),
        formulas=tuple(
            Formula(box=_box(reading, _rect(found["dt_polys"])), latex=str(found["rec_formula"]))
            for found in result["formula_res_list"]
        ),
        markdown=_FIGURE.sub("", result.markdown["markdown_texts"]).strip(),  # type: ignore[attr-defined]
    )


def _lines(ocr: Result, shift: tuple[float, float] = (0.0, 0.0)) -> Iterator[tuple[Quad, str, float]]:
    """Lines of text of an OCR result; `shift`: where the image that it is of begins.

    Layout parsing has edited it: texts are blanked or appended, polygons may be tuples or have more than
    four points, and a formula stands among the lines with a certainty of its own making.
    """
    turned = _upside_down(ocr)
    labels = chain(ocr.get("rec_labels", ()), repeat("text"))
    for polygon, said, score, label in zip(
        ocr["rec_polys"], ocr["rec_texts"], ocr["rec_scores"], labels, strict=False
    ):
        text = str(said).strip()
        if label == "formula" or not text:
            continue
        points = np.asarray(polygon, np.float64).reshape(-1, 2)
        box = points if len(points) == 4 else _smallest_box(points)
        quad = corners_from_text_start(
            box + shift, is_vertical=is_vertical(box), turned=_key(polygon) in turned
        )
        yield quad, text, _confidence(score)


def _upside_down(ocr: Result) -> set[tuple[float, ...]]:
    """Boxes of the lines that were turned half round; angles stand beside boxes, and not beside texts."""
    angles = ocr.get("textline_orientation_angles", ())
    return {_key(box) for box, turned in zip(ocr["dt_polys"], angles, strict=False) if turned == 1}


def _key(polygon: Any) -> tuple[float, ...]:
    return tuple(np.asarray(polygon, np.float64).ravel().tolist())


def _smallest_box(points: "np.ndarray[Any, np.dtype[np.float64]]") -> "np.ndarray[Any, np.dtype[np.float64]]":
    """The smallest box round the polygon of a bent line, clockwise, as detectors have it: top left first."""
    corners = cv2.boxPoints(cv2.minAreaRect(points.astype(np.float32))).astype(np.float64)
    return np.roll(corners, -int(corners.sum(axis=1).argmin()), axis=0)


def _confidence(score: Any) -> float:
    """Between 0 and 1; what half precision has made no number of is no confidence at all."""
    return min(max(float(score), 0.0), 1.0) if math.isfinite(score) else 0.0


def _lines_without_seals(result: Result) -> Iterator[tuple[Quad, str, float]]:
    """The lines of the page but those in a seal that was read: straight pieces of its bent text.

    Where its own reading gave nothing, it may be no seal at all, and the lines are all there is.
    """
    seals = [
        _rect(box["coordinate"])
        for box, ocr in zip(_found(result, "seal"), result["seal_res_list"], strict=False)
        if any(_lines(ocr))
    ]
    for line in _lines(result["overall_ocr_res"]):
        if not any(_share(bounds(line[0]), seal) > _WITHIN for seal in seals):
            yield line


def _seal_lines(result: Result) -> Iterator[tuple[Quad, str, float]]:
    for box, ocr in zip(_found(result, "seal"), result["seal_res_list"], strict=False):
        left, top = (int(value) for value in box["coordinate"][:2])
        yield from _lines(ocr, (left, top))


def _found(result: Result, label: str) -> list[Mapping[str, Any]]:
    """The boxes of a class that the layout network found, in the order in which they were worked on."""
    return [box for box in result["layout_det_res"]["boxes"] if box["label"].lower() == label]


def _give_back_contents(result: Result) -> None:
    """Give blocks the table or seal in their place, in the result itself, which its markdown is made of.

    PaddleX drops blocks that overlap others, and counts tables and seals on as if it had not: every later
    block has the content of the one before.
    """
    contents = {
        "table": [str(table["pred_html"]) for table in result["table_res_list"]],
        "seal": ["\n".join(seal["rec_texts"]) for seal in result["seal_res_list"]],
    }
    for block in result["parsing_res_list"]:
        places = zip(_found(result, block.label), contents.get(block.label, ()), strict=False)
        found = [(_overlap(_rect(block.bbox), _rect(box["coordinate"])), content) for box, content in places]
        if found:
            _, block.content = max(found)


def _blocks(result: Result, reading: PageTransform) -> Iterator[Block]:
    found = [(_rect(box["coordinate"]), box["score"]) for box in result["layout_det_res"]["boxes"]]
    # Where no block was found, every line is made one.
    ocr = result["overall_ocr_res"]
    found += [(_rect(box), score) for box, score in zip(ocr["rec_boxes"], ocr["rec_scores"], strict=False)]
    for block in result["parsing_res_list"]:
        rect = _rect(block.bbox)
        _, score = max(found, key=lambda candidate: _overlap(rect, candidate[0]))
        yield Block(
            label=block.label,
            box=_box(reading, rect),
            order=block.order_index,
            content=str(block.content).strip(),
            confidence=_confidence(score),
        )


def _tables(result: Result, reading: PageTransform) -> Iterator[Table]:
    for box, table in zip(_found(result, "table"), result["table_res_list"], strict=False):
        yield Table(
            box=_box(reading, _rect(box["coordinate"])),
            html=str(table["pred_html"]),
            cells=tuple(_box(reading, _rect(cell)) for cell in table["cell_box_list"]),
        )


def _order(quads: Sequence[Quad], blocks: Sequence[Rect]) -> list[int]:
    """Indices of lines: by the block that they are in, within it as they are read.

    A line in no block follows the one that a reader without blocks would have read before it.
    """
    keys: dict[int, tuple[int, int]] = {}
    last = -1
    for rank, n in enumerate(reading_order(quads)):
        rect = bounds(quads[n])
        shares = [_share(rect, block) for block in blocks]
        if max(shares, default=0.0) > _WITHIN:
            last = shares.index(max(shares))
        keys[n] = (last, rank)
    return sorted(keys, key=keys.__getitem__)


def _share(inner: Rect, outer: Rect) -> float:
    """How much of one box lies in the other, 0 to 1."""
    return _common(inner, outer) / max(_area(inner), 1.0)


def _overlap(one: Rect, other: Rect) -> float:
    """Intersection over union, 0 to 1."""
    common = _common(one, other)
    return common / max(_area(one) + _area(other) - common, 1.0)


def _common(one: Rect, other: Rect) -> float:
    width = min(one.x2, other.x2) - max(one.x1, other.x1)
    height = min(one.y2, other.y2) - max(one.y1, other.y1)
    return max(width, 0.0) * max(height, 0.0)


def _area(rect: Rect) -> float:
    return (rect.x2 - rect.x1) * (rect.y2 - rect.y1)


def _rect(values: Iterable[Any]) -> Rect:
    x1, y1, x2, y2 = (float(value) for value in values)
    return Rect(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


def _box(reading: PageTransform, rect: Rect) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (int(value) for value in reading.rect(rect))
    return x1, y1, x2, y2


def _corners(quad: Quad) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]:
    a, b, c, d = ((int(x), int(y)) for x, y in quad)
    return a, b, c, d
