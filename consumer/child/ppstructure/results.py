"""Results of PP-StructureV3 as plain values in the frame of the page.

They hold images and arrays, in pixels of the image that it read after turning and dewarping it.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from operator import itemgetter
from typing import Any, Final, Literal

import cv2
import numpy as np

from consumer.child.directions import Turn
from consumer.child.ppstructure.lines import DirectedText, corners_from_text_start, is_turned_by_paddlex
from consumer.child.ppstructure.markdown import page_markdown
from consumer.child.ppstructure.tables import NoTables
from consumer.domain import geometry
from consumer.domain.geometry import PageTransform, Quad, Rect, bounds, common_area
from consumer.domain.legibility import TextLine, TextWord
from consumer.domain.page import PageImage
from consumer.domain.reading_order import reading_order
from consumer.domain.result import Block, Formula, PageResult, Table

#: PaddleX counts counter-clockwise; -1 or nothing: it has not determined the angle.
_CLOCKWISE: Final[Mapping[int, Literal[90, 180, 270]]] = {90: 270, 180: 180, 270: 90}

#: A line or a box lies within another if so much of it does.
_WITHIN: Final = 0.5

#: Several lines that were read as one are so many times as thick as each of them.
_LINES_AS_ONE: Final = 2.0

#: Noise and pictures are found as boxes that are hardly longer than high.
_UNREAD_ASPECT: Final = 3.0

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PageText:
    """Text of a page, in the pixels of the image that was read.

    `lines`: in reading order. `blocks`: the index of the block of each, or of the one before it; -1 if there
    is none. `unread`: the corners of lines that were found and not read.
    """

    lines: Sequence[TextLine]
    blocks: Sequence[int]
    unread: Sequence[Quad]

    @property
    def turn(self) -> Turn:
        """The quarters by which most of the text is turned clockwise."""
        weights: dict[int, float] = defaultdict(float)
        for line in self.lines:
            length = math.dist(line.quad[0], line.quad[1])
            weights[round(geometry.angle(line.quad) / 90) % 4] += length * line.confidence
        turns: tuple[Turn, ...] = (0, 1, 2, 3)
        return max(turns, key=weights.__getitem__)


def angle(result: Result) -> Literal[0, 90, 180, 270]:
    """Degrees clockwise by which PaddleX turned the page before it was read."""
    return _CLOCKWISE.get(int(result["doc_preprocessor_res"].get("angle", -1)), 0)


def page_text(result: Result) -> PageText:
    """Collect the text of one page."""
    ocr, seals = result["overall_ocr_res"], _read_seals(result)
    lines = [line for line in _lines(ocr) if not _is_within(line.quad, seals)]
    lines += _seal_lines(result)
    block_of = _order(lines, [_rect(block.bbox) for block in result["parsing_res_list"]])
    return PageText(
        lines=[lines[n] for n in block_of],
        blocks=tuple(block_of.values()),
        unread=[quad for quad in _unread(ocr) if not _is_within(quad, seals)],
    )


def page_result(
    image: PageImage, result: Result, text: PageText, transform: PageTransform, **content: Any
) -> PageResult:
    """Convert the result of one page; `transform` maps it from model input to page.

    `text`: that of the page. `content`: as in `PageImage.result`.
    """
    _restore_block_contents(result)
    page = image.result(
        [line.mapped(transform.quad) for line in text.lines],
        [transform.quad(quad) for quad in text.unread],
        blocks=tuple(_blocks(result, transform)),
        tables=tuple(_tables(result, transform)),
        formulas=tuple(
            Formula(box=_box(transform, formula["dt_polys"]), latex=str(formula["rec_formula"]))
            for formula in result["formula_res_list"]
        ),
        markdown=page_markdown(result, _shown_lines(result, text)),
        **content,
    )
    tables = result["table_res_list"]
    if not isinstance(tables, NoTables):
        return page
    return page.model_copy(update={"warnings": (*page.warnings, tables.warning(image.page_number))})


def _shown_lines(result: Result, text: PageText) -> Mapping[int, Sequence[str]]:
    """The lines that the markdown of a page is to show, by the block in which they stand or that they follow.

    Those in a block with a label that the configuration leaves out, such as a header, are not among them.
    """
    blocks = result["parsing_res_list"]
    ignored = set(result["model_settings"]["markdown_ignore_labels"])
    lines: dict[int, list[str]] = defaultdict(list)
    for line, n in zip(text.lines, text.blocks, strict=True):
        if n < 0 or blocks[n].label not in ignored or not _is_within(line.quad, [_rect(blocks[n].bbox)]):
            lines[n].append(line.text)
    return lines


def _lines(ocr: Result, shift: tuple[float, float] = (0.0, 0.0)) -> Iterator[TextLine]:
    """Lines of text of an OCR result; `shift`: offset of its image in the page.

    Layout parsing has edited it: texts are blanked or appended, polygons may be tuples or have more than
    four points, and a formula stands among the lines with a confidence that means nothing.
    """
    turned = _upside_down(ocr)
    for polygon, raw_text, score, label in _entries(ocr):
        text = str(raw_text).strip()
        if label == "formula" or not text:
            continue
        points = np.asarray(polygon, np.float64).reshape(-1, 2)
        box = points if len(points) == 4 else _smallest_box(points)
        # Lettering of seals is read by PaddleX itself, which turns high crops.
        turn = raw_text.turn if isinstance(raw_text, DirectedText) else int(is_turned_by_paddlex(box))
        if _key(polygon) in turned:
            turn += 2
        quad = corners_from_text_start(box + shift, turn)
        yield TextLine(quad, text, _confidence(score), _words(raw_text, quad))


def _words(text: str, quad: Quad) -> tuple[TextWord, ...] | None:
    """Return the words of a line that was not edited; its corners begin with the start of the text."""
    if not isinstance(text, DirectedText) or text.words is None:
        return None
    return tuple(
        TextWord(geometry.part_of(quad, *word[2:]), word.text, _confidence(word.confidence))
        for word in text.words
    )


def _entries(ocr: Result) -> Iterator[tuple[Any, str, float, str]]:
    """What was read: polygon, text, score and label of each."""
    labels = chain(ocr.get("rec_labels", ()), repeat("text"))
    return zip(ocr["rec_polys"], ocr["rec_texts"], ocr["rec_scores"], labels, strict=False)


def _unread(ocr: Result) -> Iterator[Quad]:
    """The corners of lines that were found, and whose text is empty or below PaddleX's `score_thresh`.

    Lines that layout parsing cut into pieces, or blanked for a larger piece, were read with these; a formula
    is read by its own network. Of a block without text it reads all lines as one, which reads none of them.
    """
    read = {
        _key(polygon): _bounds(polygon)
        for polygon, text, _, label in _entries(ocr)
        if label == "formula" or text.strip()
    }
    for polygon in ocr["dt_polys"]:
        box = np.asarray(polygon, np.float64)
        if _key(box) in read:
            continue
        width, height = (float(np.linalg.norm(box[n] - box[n - 1])) for n in (1, 2))
        pieces = [rect for rect in read.values() if _thickness(rect) < _LINES_AS_ONE * min(width, height)]
        is_read = sum(_share(_bounds(box), piece) for piece in pieces) > _WITHIN
        if not is_read and max(width, height) > _UNREAD_ASPECT * min(width, height):
            yield corners_from_text_start(box, int(height > width))


def _upside_down(ocr: Result) -> set[tuple[float, ...]]:
    """Boxes of the lines that PaddleX's classifier turned by 180°; angles are listed by box, not by text."""
    angles = ocr.get("textline_orientation_angles", ())
    return {_key(box) for box, turned in zip(ocr["dt_polys"], angles, strict=False) if turned == 1}


def _key(polygon: Any) -> tuple[float, ...]:
    return tuple(np.asarray(polygon, np.float64).ravel().tolist())


def _smallest_box(points: "np.ndarray[Any, np.dtype[np.float64]]") -> "np.ndarray[Any, np.dtype[np.float64]]":
    """The smallest box round the polygon of a bent line, clockwise, as detectors have it: top left first."""
    corners = cv2.boxPoints(cv2.minAreaRect(points.astype(np.float32))).astype(np.float64)
    return np.roll(corners, -int(corners.sum(axis=1).argmin()), axis=0)


def _confidence(score: Any) -> float:
    """Between 0 and 1; NaN, which half precision may give, becomes 0."""
    return min(max(float(score), 0.0), 1.0) if math.isfinite(score) else 0.0


def _read_seals(result: Result) -> list[Rect]:
    """The seals that were read: straight pieces of their bent text are no lines of the page.

    A "seal" without text of its own may be none; its lines stay.
    """
    seals = zip(_detected(result, "seal"), result["seal_res_list"], strict=False)
    return [_rect(box["coordinate"]) for box, ocr in seals if any(_lines(ocr))]


def _seal_lines(result: Result) -> Iterator[TextLine]:
    for box, ocr in zip(_detected(result, "seal"), result["seal_res_list"], strict=False):
        left, top = (int(value) for value in box["coordinate"][:2])
        yield from _lines(ocr, (left, top))


def _detected(result: Result, label: str) -> list[Mapping[str, Any]]:
    """Boxes of a class from the layout network, in the order in which PaddleX processed them."""
    return [box for box in result["layout_det_res"]["boxes"] if box["label"].lower() == label]


def _restore_block_contents(result: Result) -> None:
    """Give blocks the table or seal at their place, in the result itself, because its markdown is made of it.

    PaddleX drops blocks that overlap others, but not their tables and seals: every later block has the
    content of the one before.
    """
    contents = {
        "table": [str(table["pred_html"]) for table in result["table_res_list"]],
        "seal": ["\n".join(seal["rec_texts"]) for seal in result["seal_res_list"]],
    }
    for block in result["parsing_res_list"]:
        places = zip(_detected(result, block.label), contents.get(block.label, ()), strict=False)
        matches = [
            (_overlap(_rect(block.bbox), _rect(box["coordinate"])), content) for box, content in places
        ]
        if matches:
            _, block.content = max(matches)


def _blocks(result: Result, transform: PageTransform) -> Iterator[Block]:
    scored = [(_rect(box["coordinate"]), box["score"]) for box in result["layout_det_res"]["boxes"]]
    # If no block was detected, PaddleX makes one of every line.
    ocr = result["overall_ocr_res"]
    scored += [(_rect(box), score) for box, score in zip(ocr["rec_boxes"], ocr["rec_scores"], strict=False)]
    for block in result["parsing_res_list"]:
        rect = _rect(block.bbox)
        _, score = max(scored, key=lambda candidate: _overlap(rect, candidate[0]))
        yield Block(
            label=block.label,
            box=_box(transform, rect),
            order=block.order_index,
            content=str(block.content).strip(),
            confidence=_confidence(score),
        )


def _tables(result: Result, transform: PageTransform) -> Iterator[Table]:
    for box, table in zip(_detected(result, "table"), result["table_res_list"], strict=False):
        yield Table(
            box=_box(transform, box["coordinate"]),
            html=str(table["pred_html"]),
            cells=tuple(_box(transform, cell) for cell in table["cell_box_list"]),
        )


def _order(lines: Sequence[TextLine], blocks: Sequence[Rect]) -> dict[int, int]:
    """Indices of lines, by their block and within it in reading order, with the indices of their blocks.

    A line in no block follows the line before it in the reading order of the whole page.
    """
    block_of: dict[int, int] = {}
    last = -1
    for n in reading_order([line.quad for line in lines], [line.text for line in lines]):
        shares = [_share(bounds(lines[n].quad), block) for block in blocks]
        if max(shares, default=0.0) > _WITHIN:
            last = shares.index(max(shares))
        block_of[n] = last
    # Lines of the same block stay in reading order.
    return dict(sorted(block_of.items(), key=itemgetter(1)))


def _is_within(quad: Quad, areas: Iterable[Rect]) -> bool:
    return any(_share(bounds(quad), area) > _WITHIN for area in areas)


def _share(inner: Rect, outer: Rect) -> float:
    """Part of one box that lies in the other, 0 to 1."""
    return common_area(inner, outer) / max(_area(inner), 1.0)


def _overlap(one: Rect, other: Rect) -> float:
    """Intersection over union, 0 to 1."""
    common = common_area(one, other)
    return common / max(_area(one) + _area(other) - common, 1.0)


def _thickness(rect: Rect) -> float:
    return min(rect.x2 - rect.x1, rect.y2 - rect.y1)


def _area(rect: Rect) -> float:
    return (rect.x2 - rect.x1) * (rect.y2 - rect.y1)


def _bounds(polygon: Any) -> Rect:
    points = np.asarray(polygon, np.float64).reshape(-1, 2)
    return Rect(*points.min(axis=0).tolist(), *points.max(axis=0).tolist())


def _rect(values: Iterable[Any]) -> Rect:
    x1, y1, x2, y2 = (float(value) for value in values)
    return Rect(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


def _box(transform: PageTransform, values: Iterable[Any]) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (int(value) for value in transform.rect(_rect(values)))
    return x1, y1, x2, y2
