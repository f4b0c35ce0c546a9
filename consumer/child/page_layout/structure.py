"""Reads the structure of a table by SLANet_plus: its cells, in rows and columns, with their spans.

The network's encoder runs on OpenVINO. Its decoder, a loop that writes a token of HTML at a time, is numpy,
because OpenVINO does not convert the loop.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import openvino
from openvino.frontend import FrontEndManager

from consumer.child.inference import IMAGENET_DEVIATION, IMAGENET_MEAN, Floats, run
from consumer.child.pixels import Image
from consumer.domain.geometry import Rect

WEIGHTS: Final = Path(__file__).parent / "weights" / "slanet_plus.onnx"

#: The network sees a table reduced to this on its longer side; it answers nothing at other sizes.
_SIDE_PX: Final = 488

#: It writes no more tokens; progress is told of after so many.
_MOST_TOKENS: Final = 500
_STEP: Final = 100

#: Its tokens. The first one starts the decoder, the last one ends it.
_SPANS: Final = [f' {kind}span="{n}"' for kind in ("col", "row") for n in range(2, 21)]
_TOKENS: Final = (
    *("sos", "<thead>", "</thead>", "<tbody>", "</tbody>", "<tr>", "</tr>", "<td", ">", "</td>"),
    *(*_SPANS, "<td></td>", "eos"),
)
_END: Final = len(_TOKENS) - 1
_ROW: Final = "<tr>"
_CELLS: Final = frozenset({"<td></td>", "<td"})

#: Inputs of the loop in the file: state of the decoder is of `_STATE` values, and what it sees of `_SEEN`.
_LOOP: Final = "Loop.0"
_ENCODED: Final = "transpose_0.tmp_0.0"
_STATE: Final = 256
_SEEN: Final = 96


@dataclass(frozen=True, slots=True)
class StructureCell:
    """A cell: its first row and column, how many of each it spans, and roughly where it is, in pixels."""

    row: int
    column: int
    rows: int
    columns: int
    box: Rect

    def moved(self, x: float, y: float) -> "StructureCell":
        """Return it in an image that begins so much further left and above."""
        x1, y1, x2, y2 = self.box
        return replace(self, box=Rect(x1 + x, y1 + y, x2 + x, y2 + y))


class TableStructure:
    """The compiled network."""

    def __init__(self, core: Any) -> None:
        frontend = FrontEndManager().load_by_framework("onnx")
        graph = frontend.convert_partially(frontend.load(str(WEIGHTS)))
        loop = next(node for node in graph.get_ops() if node.get_friendly_name() == _LOOP)
        inputs = [loop.input_value(n) for n in range(loop.get_input_size())]
        named = {next(iter(each.get_names())): each for each in inputs if each.get_names()}
        encoder = openvino.Model([named[_ENCODED]], graph.get_parameters(), "encoder")
        encoder.reshape([1, 3, _SIDE_PX, _SIDE_PX])
        # With bfloat16 it gives other tokens.
        precise = {"INFERENCE_PRECISION_HINT": "f32"}
        self._encoder = core.compile_model(encoder, "CPU", precise).create_infer_request()
        self._weights = {
            name: np.array(each.get_node().data, np.float32)
            for name, each in named.items()
            if each.get_node().get_type_name() == "Constant" and each.get_element_type() == openvino.Type.f32
        }

    def read(self, table: Image, progress: Callable[[], None]) -> list[StructureCell]:
        """Return the cells of a table that fills the image; none if it sees no table."""
        height, width = table.shape[:2]
        tokens, boxes = self._decoded(run(self._encoder, _prepared(table))[0], progress)
        # Corners of boxes are parts of the longer side.
        boxes = np.clip(boxes * max(height, width), 0, [width, height] * 4)
        return list(_placed(tokens, boxes))

    def _decoded(self, seen: Floats, progress: Callable[[], None]) -> tuple[list[str], Floats]:
        """Write tokens, and the 4 corners of each one, until the end or `_MOST_TOKENS`."""
        w = self._weights
        from_seen, from_state = w["gru_cell_0.w_0"].T, w["gru_cell_0.w_1"].T
        keys = seen @ w["linear_0.w_0"]
        state = np.zeros(_STATE, np.float32)
        tokens: list[str] = []
        boxes: list[Floats] = []
        token = 0
        while len(tokens) < _MOST_TOKENS:
            weight = np.tanh(keys + state @ w["linear_1.w_0"] + w["linear_1.b_0"]) @ w["linear_2.w_0"][:, 0]
            likely = np.exp(weight - weight.max())
            context = likely @ seen / likely.sum()
            # A gated recurrent unit: reset, update, new.
            a = context @ from_seen[:_SEEN] + from_seen[_SEEN + token] + w["gru_cell_0.b_0"]
            b = state @ from_state + w["gru_cell_0.b_1"]
            reset, update = np.split(_sigmoid(a[: 2 * _STATE] + b[: 2 * _STATE]), 2)
            new = np.tanh(a[2 * _STATE :] + reset * b[2 * _STATE :])
            state = (state - new) * update + new
            token = int((_two_layers(state, w, 3)).argmax())
            if token == _END:
                break
            tokens.append(_TOKENS[token])
            boxes.append(_sigmoid(_two_layers(state, w, 5)))
            if len(tokens) % _STEP == 0:
                progress()
        return tokens, np.array(boxes, np.float32).reshape(-1, 8)


def _two_layers(state: Floats, weights: dict[str, Floats], first: int) -> Floats:
    for n in (first, first + 1):
        state = state @ weights[f"linear_{n}.w_0"] + weights[f"linear_{n}.b_0"]
    return state


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-values)), np.float32)


def _prepared(table: Image) -> Floats:
    height, width = table.shape[:2]
    scale = _SIDE_PX / max(height, width)
    size = (max(1, int(width * scale)), max(1, int(height * scale)))
    small = cv2.resize(table, size).astype(np.float32) / 255
    padded = np.zeros((_SIDE_PX, _SIDE_PX, 3), np.float32)
    padded[: size[1], : size[0]] = (small - IMAGENET_MEAN) / IMAGENET_DEVIATION
    return padded.transpose(2, 0, 1)[np.newaxis]


def _placed(tokens: Iterable[str], boxes: Floats) -> Iterable[StructureCell]:
    """Put the cells that were written into rows and columns, as HTML does."""
    cells: list[tuple[int, dict[str, int], Rect]] = []
    row = -1
    for token, corners in zip(tokens, boxes, strict=True):
        if token == _ROW:
            row += 1
        elif token in _CELLS:
            xs, ys = corners[0::2], corners[1::2]
            rect = Rect(float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max()))
            cells.append((max(row, 0), {}, rect))
        elif "span" in token and cells:
            name, number = token.strip(' "').split('="')
            cells[-1][1][name] = int(number)
    taken: set[tuple[int, int]] = set()
    for row, spans, rect in cells:
        column = 0
        while (row, column) in taken:
            column += 1
        rows, columns = spans.get("rowspan", 1), spans.get("colspan", 1)
        taken |= {(row + y, column + x) for y in range(rows) for x in range(columns)}
        yield StructureCell(row, column, rows, columns, rect)
