"""Finds the regions of a page by a layout network: a PicoDet of PP-StructureV2, trained on CDLA."""

from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from openvino import Layout, Type
from openvino.preprocess import PrePostProcessor

from consumer.child.inference import IMAGENET_DEVIATION, IMAGENET_MEAN, Floats, infer
from consumer.child.pixels import Image
from consumer.domain.geometry import Rect

WEIGHTS: Final = Path(__file__).parent / "weights" / "layout_cdla.onnx"

#: Its classes, in the vocabulary of PP-StructureV3. It confuses ordinary columns with lists of references.
_LABELS: Final = (
    *("text", "paragraph_title", "image", "figure_title", "table", "figure_title", "header", "footer"),
    *("text", "formula"),
)

#: The network sees a page of this size, whatever its own one.
_WIDTH_PX, _HEIGHT_PX = 608, 800

#: Cells of its four maps, and least certainty of a region. Of regions that overlap by more than `_OVERLAP`
#: (intersection over union) the most certain one counts.
_STRIDES_PX: Final = (8, 16, 32, 64)
_CERTAIN: Final = 0.4
_OVERLAP: Final = 0.5


class Region(NamedTuple):
    """A part of the page, in pixels. `confidence`: 0 to 1, or None if it is not known."""

    label: str
    box: Rect
    confidence: float | None


class Detector:
    """The compiled network."""

    def __init__(self, core: Any) -> None:
        steps = PrePostProcessor(core.read_model(WEIGHTS))
        steps.input().tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
        steps.input().model().set_layout(Layout("NCHW"))
        mean, deviation = (255 * IMAGENET_MEAN).tolist(), (255 * IMAGENET_DEVIATION).tolist()
        steps.input().preprocess().convert_element_type(Type.f32).mean(mean).scale(deviation)
        model = steps.build()
        model.reshape([1, _HEIGHT_PX, _WIDTH_PX, 3])
        self._request = core.compile_model(model, "CPU").create_infer_request()

    def find(self, page: Image) -> list[Region]:
        """Return the regions of an upright page, the most certain ones first."""
        height, width = page.shape[:2]
        seen = cv2.resize(page, (_WIDTH_PX, _HEIGHT_PX), interpolation=cv2.INTER_AREA)
        infer(self._request, np.asarray(seen, np.uint8)[np.newaxis])
        outputs = [np.array(self._request.get_output_tensor(n).data[0], np.float32) for n in range(8)]
        boxes, scores = _decoded(outputs)
        boxes *= np.array([width / _WIDTH_PX, height / _HEIGHT_PX] * 2, np.float32)
        return [
            Region(_LABELS[label], Rect(*map(float, boxes[n])), float(scores[n, label]))
            for n, label in _kept(boxes, scores)
        ]


def _decoded(outputs: list[Floats]) -> tuple[Floats, Floats]:
    """Boxes in pixels of the input, clipped to it, and scores: of each cell, for each class.

    A side of a box is given as a distribution of its distance from the cell's middle, in strides (Li et al.:
    Generalized focal loss, 2020).
    """
    boxes, scores = [], []
    for n, stride in enumerate(_STRIDES_PX):
        score, distribution = outputs[n], outputs[n + 4]
        bins = distribution.shape[-1] // 4
        likely = np.exp(
            distribution.reshape(-1, 4, bins) - distribution.reshape(-1, 4, bins).max(2)[..., None]
        )
        distances = (likely / likely.sum(2, keepdims=True)) @ np.arange(bins, dtype=np.float32) * stride
        columns, rows = -(-_WIDTH_PX // stride), -(-_HEIGHT_PX // stride)
        y, x = np.divmod(np.arange(rows * columns, dtype=np.float32), np.float32(columns))
        middles = (np.stack([x, y], 1) + np.float32(0.5)) * np.float32(stride)
        boxes.append(np.concatenate([middles - distances[:, :2], middles + distances[:, 2:]], 1))
        scores.append(score)
    limits = np.array([_WIDTH_PX, _HEIGHT_PX] * 2, np.float32)
    return np.clip(np.concatenate(boxes), 0, limits).astype(np.float32), np.concatenate(scores)


def _kept(boxes: Floats, scores: Floats) -> list[tuple[int, int]]:
    """The cells and classes that count, the most certain first."""
    cells, labels = np.nonzero(scores > _CERTAIN)
    kept: list[tuple[int, int]] = []
    for n in np.argsort(-scores[cells, labels]):
        box = boxes[cells[n]]
        if all(_overlap(box, boxes[cell]) <= _OVERLAP for cell, _ in kept):
            kept.append((int(cells[n]), int(labels[n])))
    return kept


def _overlap(one: Floats, other: Floats) -> float:
    """Intersection over union, 0 to 1."""
    sides = np.maximum(0, np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]))
    common = float(sides.prod())
    areas = float((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod())
    return common / max(areas - common, 1e-6)
