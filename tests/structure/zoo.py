"""Small models under official names, so that the real PP-StructureV3 runs offline and without Paddle.

Text is detected and recognised by the PP-OCRv6 weights that the wheel of rapidocr brings. What other
networks would find (blocks, the way up, …) is fixed by whoever builds the zoo.
"""

import importlib.util
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper
from paddlex.modules.base.utils.pdparams2safetensors.inference_meta import build_inference_meta

LAYOUT, DETECTION, RECOGNITION = "PP-DocLayout_plus-L", "PP-OCRv6_small_det", "PP-OCRv6_small_rec"
ORIENTATION = "PP-LCNet_x1_0_doc_ori"

_OPSET = 17
_LABELS: Sequence[str] = build_inference_meta(LAYOUT)["label_list"]
_ANGLES = ("0", "90", "180", "270")
#: Below every threshold, and there because PaddleX cannot do without any row.
_NO_BLOCK = (2.0, 0.01, 0.0, 0.0, 0.1, 0.1)


@dataclass(frozen=True)
class Box:
    """A block that the layout model finds on every page; sides as fractions of the page's."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float
    score: float = 0.9


class Zoo:
    """A folder of models: `home` is for PADDLE_PDX_CACHE_HOME, `models` in it holds a folder for each."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.models = home / "official_models"
        self.models.mkdir(parents=True)
        wheel = importlib.util.find_spec("rapidocr")
        assert wheel is not None
        assert wheel.origin is not None
        weights = Path(wheel.origin).parent / "models"
        self._copied(DETECTION, weights / "PP-OCRv6_det_small.onnx")
        recognizer = weights / "PP-OCRv6_rec_small.onnx"
        characters = _metadata(recognizer)["character"].splitlines()
        self._copied(
            RECOGNITION, recognizer, PostProcess={"name": "CTCLabelDecode", "character_dict": characters}
        )

    def pipeline(self, **changes: Any) -> Path:
        """Write a configuration with the text models of the zoo and nothing else; `changes` on top."""
        text = {"TextDetection": {"model_name": DETECTION}, "TextRecognition": {"model_name": RECOGNITION}}
        off = ("use_table_recognition", "use_formula_recognition", "use_region_detection")
        config = {name: False for name in (*off, "use_doc_orientation_classify")} | changes
        general = {"use_textline_orientation": False, "SubModules": text}
        config["SubPipelines"] = {"GeneralOCR": general} | config.get("SubPipelines", {})
        path = self.home / "pipeline.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path

    @property
    def environment(self) -> dict[str, str]:
        """Variables for a process that shall find the models."""
        return {"PADDLE_PDX_CACHE_HOME": str(self.home)}

    def folder(self, name: str) -> Path:
        """Where the model of this official name lies."""
        return self.models / f"{name}_onnx"

    def layout(self, *boxes: Box, name: str = LAYOUT) -> None:
        """Make a layout model that finds these blocks on every page."""
        rows = [(float(_LABELS.index(box.label)), box.score, box.x1, box.y1, box.x2, box.y2) for box in boxes]
        self.add(name, fixed_boxes(rows or [_NO_BLOCK], 800))

    def orientation(self, angle: int) -> None:
        """Make a classifier that finds every page turned by this angle."""
        self.add(ORIENTATION, fixed_class(_ANGLES.index(str(angle)), len(_ANGLES), (224, 224)))

    def add(self, name: str, model: onnx.ModelProto, **changes: Any) -> None:
        """Store a model with the description that PaddleX wants beside it."""
        folder = self.folder(name)
        folder.mkdir(exist_ok=True)
        onnx.save(model, folder / "inference.onnx")
        self._described(name, changes)

    def _copied(self, name: str, weights: Path, **changes: Any) -> None:
        self.folder(name).mkdir()
        shutil.copyfile(weights, self.folder(name) / "inference.onnx")
        self._described(name, changes)

    def _described(self, name: str, changes: Mapping[str, Any]) -> None:
        meta = {**build_inference_meta(name), "Global": {"model_name": name}, **changes}
        with (self.folder(name) / "inference.yml").open("w", encoding="utf-8") as file:
            yaml.safe_dump(meta, file, allow_unicode=True)


def fixed_boxes(rows: Sequence[Sequence[float]], side_px: int) -> onnx.ModelProto:
    """Make a detector of the RT-DETR family that finds the same boxes on every image.

    `rows`: class, score, and the box as fractions of the image's sides; `side_px`: its input is as
    wide and as high as this.
    """
    nodes = [
        # How much the image was shrunk tells how large it was.
        helper.make_node("Div", ["side", "scale_factor"], ["height_width"]),
        helper.make_node("Gather", ["height_width", "order"], ["sides"], axis=1),
        helper.make_node("Unsqueeze", ["sides", "one"], ["factors"]),
        # The first two columns, class and score, stay.
        helper.make_node("Pad", ["factors", "padding", "filling"], ["multipliers"]),
        helper.make_node("Mul", ["rows", "multipliers"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "as_rows"], ["boxes"]),
        helper.make_node("Shape", ["scale_factor"], ["batch"], start=0, end=1),
        helper.make_node("Expand", ["count", "batch"], ["counts"]),
    ]
    constants = {
        "side": np.array(side_px, np.float32),
        "order": np.array([1, 0, 1, 0], np.int64),
        "one": np.array([1], np.int64),
        "padding": np.array([0, 0, 2, 0, 0, 0], np.int64),
        "filling": np.array(1, np.float32),
        "rows": np.array([rows], np.float32),
        "as_rows": np.array([-1, 6], np.int64),
        "count": np.array([len(rows)], np.int32),
    }
    inputs = {
        "im_shape": ("N", 2),
        "image": ("N", 3, side_px, side_px),
        "scale_factor": ("N", 2),
    }
    outputs = {"boxes": (TensorProto.FLOAT, ("M", 6)), "counts": (TensorProto.INT32, ("N",))}
    return _model(nodes, constants, inputs, outputs)


def fixed_class(index: int, count: int, size_px: tuple[int, int]) -> onnx.ModelProto:
    """Make a classifier that is sure of one of `count` classes, whatever the image."""
    scores = np.zeros((1, count), np.float32)
    scores[0, index] = 1.0
    nodes = [
        helper.make_node("Shape", ["x"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "one"], ["shape"], axis=0),
        helper.make_node("Tile", ["scores", "shape"], ["classes"]),
    ]
    constants = {"one": np.array([1], np.int64), "scores": scores}
    outputs = {"classes": (TensorProto.FLOAT, ("N", count))}
    return _model(nodes, constants, {"x": ("N", 3, *size_px)}, outputs)


def _model(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Any],
    inputs: Mapping[str, Sequence[str | int]],
    outputs: Mapping[str, tuple[int, Sequence[str | int]]],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "fixed",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _metadata(path: Path) -> dict[str, str]:
    model = onnx.load(path, load_external_data=False)
    return {entry.key: entry.value for entry in model.metadata_props}
