"""Small models under official names, so that the real PP-StructureV3 runs offline and without Paddle.

Text is detected and recognised by the PP-OCRv6 weights in the wheel of rapidocr. The results of the other
networks (blocks, orientation, …) are fixed by the test.
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
ORIENTATION, LINE_ORIENTATION = "PP-LCNet_x1_0_doc_ori", "PP-LCNet_x1_0_textline_ori"

REGION, UNWARPING, SEAL, FORMULA = (
    "PP-DocBlockLayout",
    "UVDoc",
    "PP-OCRv4_server_seal_det",
    "PP-FormulaNet_plus-S",
)
TABLE_KIND = "PP-LCNet_x1_0_table_cls"
#: Models of the structure and of the cells of tables, with rules and without.
STRUCTURE = {"SLANeXt_wired": 512, "SLANet_plus": 488}
CELLS = ("RT-DETR-L_wired_table_cell_det", "RT-DETR-L_wireless_table_cell_det")

_Constants = dict[str, "np.ndarray[Any, Any]"]
_OPSET = 17
LABELS: Sequence[str] = build_inference_meta(LAYOUT)["label_list"]
#: Official models that PaddleX has no description of.
_UNDESCRIBED = (SEAL, FORMULA)
_FORMULA_STEPS: Sequence[Mapping[str, Any]] = (
    {"UniMERNetImgDecode": {"input_size": [384, 384]}},
    {"UniMERNetTestTransform": None},
    {"LatexImageFormat": None},
)
_ANGLES = ("0", "90", "180", "270")
#: The element of HTML that is a whole cell, in words of the readers of tables.
CELL = "<td></td>"
#: Below every threshold: PaddleX needs at least one row.
NO_BLOCK = (2.0, 0.01, 0.0, 0.0, 0.1, 0.1)


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
        self.copied(DETECTION, weights / "PP-OCRv6_det_small.onnx")
        recognizer = weights / "PP-OCRv6_rec_small.onnx"
        characters = _metadata(recognizer)["character"].splitlines()
        self.copied(
            RECOGNITION, recognizer, PostProcess={"name": "CTCLabelDecode", "character_dict": characters}
        )

    def pipeline(self, *, turns_lines: bool = False, score_thresh: float = 0.0, **changes: Any) -> Path:
        """Write a configuration with the text models of the zoo and nothing else; `changes` on top.

        `turns_lines`: with the classifier of lines. `score_thresh`: PaddleX drops lines of a lower score.
        """
        text: dict[str, dict[str, Any]] = {
            "TextDetection": {"model_name": DETECTION},
            "TextRecognition": {"model_name": RECOGNITION},
        }
        off = ("use_table_recognition", "use_formula_recognition", "use_region_detection")
        config: dict[str, Any] = dict.fromkeys((*off, "use_doc_orientation_classify"), False) | changes
        seals = {"SubPipelines": {"SealOCR": {"SubModules": {"TextRecognition": text["TextRecognition"]}}}}
        recognition = text["TextRecognition"] | {"score_thresh": score_thresh}
        general = {
            "use_textline_orientation": turns_lines,
            "SubModules": text | {"TextRecognition": recognition},
        }
        config["SubPipelines"] = {"GeneralOCR": general, "SealRecognition": seals}
        path = self.home / "pipeline.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path

    def folder(self, name: str) -> Path:
        """The folder of the model of this official name."""
        return self.models / f"{name}_onnx"

    def layout(self, *boxes: Box, fails_at_px: int = 0) -> None:
        """Make a layout model that finds these blocks on every page; it fails on pages of this width."""
        rows = [(float(LABELS.index(box.label)), box.score, box.x1, box.y1, box.x2, box.y2) for box in boxes]
        self.add(LAYOUT, fixed_boxes(rows or [NO_BLOCK], 800, fails_at_px))

    def orientation(self, angle: int) -> None:
        """Make a classifier that finds every page turned by this angle."""
        self.add(ORIENTATION, fixed_class(_ANGLES.index(str(angle)), len(_ANGLES), (224, 224)))

    def lines_upside_down(self) -> None:
        """Make a classifier that finds every line upside down."""
        self.add(LINE_ORIENTATION, fixed_class(1, 2, (80, 160)))

    def reads(self, text: str) -> None:
        """Replace the recogniser by one that reads every line as `text`, with certainty."""
        characters = sorted(set(text))
        decode = {"name": "CTCLabelDecode", "character_dict": characters}
        self.add(
            RECOGNITION,
            fixed_text([characters.index(each) for each in text], len(characters)),
            PostProcess=decode,
        )

    def regions(self, *boxes: tuple[float, float, float, float]) -> None:
        """Make a detector that finds these columns on every page; sides as fractions of the page's."""
        rows = [(0.0, 0.9, *box) for box in boxes]
        self.add(REGION, fixed_boxes(rows or [NO_BLOCK], 640))

    def tables(self, rows: int, columns: int, *, wired: bool = True) -> None:
        """Make the models that find in every table a grid of equal cells; `wired`: with rules drawn.

        In a dark table the cells are found as boxes, and the structure has none of them.
        """
        self.add(TABLE_KIND, fixed_class(0 if wired else 1, 2, (224, 224)))
        for name, side_px in STRUCTURE.items():
            self.add(name, fixed_structure(rows, columns, alphabet(name), side_px))
        for name in CELLS:
            self.add(name, fixed_boxes([(0.0, 0.9, *cell) for cell in grid(rows, columns)], 640))

    def seal(self, *boxes: tuple[float, float, float, float]) -> None:
        """Make a detector that finds lettering there in every seal; sides as fractions of the seal's."""
        detection = build_inference_meta(DETECTION)
        self.add(
            SEAL,
            fixed_map(boxes),
            PreProcess=detection["PreProcess"],
            # Lettering in seals is bent: polygons, not boxes.
            PostProcess={**detection["PostProcess"], "box_type": "poly"},
        )

    def unwarping(self, shift_px: int) -> None:
        """Make a dewarping model that moves every page to the right and leaves white at its left."""
        self.add(UNWARPING, shifted(shift_px))

    def formula(self, latex: str) -> None:
        """Make a recogniser that reads every formula as this; words of it are parted by spaces."""
        words = latex.split()
        tokens = ["<s>", "<pad>", "</s>", "<unk>", *dict.fromkeys(words)]
        ids = [tokens.index(word) for word in ("<s>", *words, "</s>")]
        self.add(
            FORMULA,
            fixed_tokens(ids),
            PreProcess={"transform_ops": _FORMULA_STEPS},
            PostProcess={
                "name": "UniMERNetDecode",
                "character_dict": {"fast_tokenizer_file": _tokenizer(tokens), "tokenizer_config_file": {}},
            },
        )

    def add(self, name: str, model: onnx.ModelProto, **changes: Any) -> None:
        """Store a model with the description that PaddleX wants beside it."""
        folder = self.folder(name)
        folder.mkdir(exist_ok=True)
        onnx.save(model, folder / "inference.onnx")
        self._described(name, changes)

    def copied(self, name: str, weights: Path, **changes: Any) -> None:
        """Store a copy of a model, with its description."""
        self.folder(name).mkdir()
        shutil.copyfile(weights, self.folder(name) / "inference.onnx")
        self._described(name, changes)

    def _described(self, name: str, changes: Mapping[str, Any]) -> None:
        known = {} if name in _UNDESCRIBED else build_inference_meta(name)
        meta = {**known, "Global": {"model_name": name}, **changes}
        with (self.folder(name) / "inference.yml").open("w", encoding="utf-8") as file:
            yaml.safe_dump(meta, file, allow_unicode=True)


def fixed_boxes(rows: Sequence[Sequence[float]], side_px: int, fails_at_px: int = 0) -> onnx.ModelProto:
    """Make a detector of the RT-DETR family that finds the same boxes on every image.

    `rows`: class, score, and the box as fractions of the image's sides; `side_px`: its input is as
    wide and as high as this. It fails on images of the width `fails_at_px`.
    """
    nodes = [
        # The scale factor gives the original size of the image.
        helper.make_node("Div", ["side", "scale_factor"], ["height_width"]),
        helper.make_node("Gather", ["height_width", "order"], ["sides"], axis=1),
        # There is only a first trap.
        helper.make_node("Round", ["sides"], ["whole"]),
        helper.make_node("Equal", ["whole", "bad_width"], ["is_bad"]),
        helper.make_node("Cast", ["is_bad"], ["which"], to=TensorProto.INT64),
        helper.make_node("Gather", ["traps", "which"], ["unharmed"]),
        helper.make_node("Mul", ["sides", "unharmed"], ["trapped"]),
        helper.make_node("Unsqueeze", ["trapped", "one"], ["factors"]),
        # The first two columns, class and score, stay.
        helper.make_node("Pad", ["factors", "padding", "filling"], ["multipliers"]),
        helper.make_node("Mul", ["rows", "multipliers"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "as_rows"], ["boxes"]),
        helper.make_node("Shape", ["scale_factor"], ["batch"], start=0, end=1),
        helper.make_node("Expand", ["count", "batch"], ["counts"]),
    ]
    constants: _Constants = {
        "side": np.array(side_px, np.float32),
        "order": np.array([1, 0, 1, 0], np.int64),
        "bad_width": np.array([fails_at_px, -1, -1, -1], np.float32),
        "traps": np.ones(1, np.float32),
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
    constants: _Constants = {"one": np.array([1], np.int64), "scores": scores}
    outputs = {"classes": (TensorProto.FLOAT, ("N", count))}
    return _model(nodes, constants, {"x": ("N", 3, *size_px)}, outputs)


def fixed_text(places: Sequence[int], count: int) -> onnx.ModelProto:
    """Make a recogniser that reads the same of `count` characters in every line, one after the other."""
    # The first class is CTC's blank, the last one the space; a blank between two letters keeps both.
    classes = [n for place in places for n in (place + 1, 0)]
    scores = np.eye(count + 2, dtype=np.float32)[classes][np.newaxis]
    nodes = [
        helper.make_node("Shape", ["x"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "ones"], ["shape"], axis=0),
        helper.make_node("Tile", ["scores", "shape"], ["texts"]),
    ]
    constants: _Constants = {"ones": np.array([1, 1], np.int64), "scores": scores}
    outputs = {"texts": (TensorProto.FLOAT, ("N", *scores.shape[1:]))}
    return _model(nodes, constants, {"x": ("N", 3, 48, "W")}, outputs)


def grid(rows: int, columns: int) -> list[tuple[float, float, float, float]]:
    """Return the cells of a table, row by row; sides as fractions of the table's."""
    return [
        (column / columns, row / rows, (column + 1) / columns, (row + 1) / rows)
        for row in range(rows)
        for column in range(columns)
    ]


def alphabet(name: str) -> list[str]:
    """Words of a reader of tables with this name, in the order of its classes: elements of HTML."""
    words = build_inference_meta(name)["PostProcess"]["character_dict"]
    # PaddleX puts what opens and shuts a cell into one word, the last before the end.
    return ["sos", *(word for word in words if word not in {"<td>", CELL}), CELL, "eos"]


def fixed_structure(rows: int, columns: int, words: Sequence[str], side_px: int) -> onnx.ModelProto:
    """Make a reader of tables that finds a grid of equal cells in every light one, and none in a dark one.

    `words`: the alphabet; its input is as wide and high as `side_px`.
    """
    row = ["<tr>", *[CELL] * columns, "</tr>"]
    sentence = ["sos", "<tbody>", *row * rows, "</tbody>", "eos"]
    sentences = [["sos", *["eos"] * (len(sentence) - 1)], sentence]
    structures = np.eye(len(words), dtype=np.float32)[
        [[words.index(word) for word in each] for each in sentences]
    ]
    corners = np.zeros((1, len(sentence), 8), np.float32)
    places = [place for place, word in enumerate(sentence) if word == CELL]
    corners[0, places] = [(x1, y1, x2, y1, x2, y2, x1, y2) for x1, y1, x2, y2 in grid(rows, columns)]
    nodes = [
        # The image lies in the upper left corner; what is left is zero, as no pixel of it ever is.
        helper.make_node("Abs", ["x"], ["ink"]),
        helper.make_node("ReduceMax", ["ink"], ["by_column"], axes=[1, 2], keepdims=0),
        helper.make_node("ReduceMax", ["ink"], ["by_row"], axes=[1, 3], keepdims=0),
        helper.make_node("Concat", ["by_column", "by_row"], ["lines"], axis=0),
        helper.make_node("Sign", ["lines"], ["filled"]),
        helper.make_node("ReduceMean", ["filled"], ["parts"], axes=[1], keepdims=0),
        helper.make_node("Tile", ["parts", "corners_of_a_cell"], ["factors"]),
        helper.make_node("Mul", ["corners", "factors"], ["boxes"]),
        # Pixels are normalised: of a dark table the mean is below zero.
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Greater", ["mean", "zero"], ["is_light"]),
        helper.make_node("Cast", ["is_light"], ["which"], to=TensorProto.INT64),
        helper.make_node("Gather", ["sentences", "which"], ["sentence"], axis=0),
        helper.make_node("Unsqueeze", ["sentence", "first"], ["structure"]),
    ]
    constants: _Constants = {
        "corners_of_a_cell": np.array([4], np.int64),
        "corners": corners,
        "zero": np.array(0, np.float32),
        "first": np.array([0], np.int64),
        "sentences": structures,
    }
    outputs = {
        "boxes": (TensorProto.FLOAT, corners.shape),
        "structure": (TensorProto.FLOAT, (1, *structures.shape[1:])),
    }
    return _model(nodes, constants, {"x": (1, 3, side_px, side_px)}, outputs)


def fixed_map(boxes: Sequence[Sequence[float]]) -> onnx.ModelProto:
    """Make a detector of text that finds it in the same boxes, fractions of the sides, of every image."""
    fine = 256
    probability = np.zeros((1, 1, fine, fine), np.float32)
    for x1, y1, x2, y2 in boxes:
        probability[..., round(y1 * fine) : round(y2 * fine), round(x1 * fine) : round(x2 * fine)] = 1.0
    nodes = [
        helper.make_node("Shape", ["x"], ["height_width"], start=2),
        helper.make_node("Concat", ["one_image", "height_width"], ["sizes"], axis=0),
        helper.make_node("Resize", ["probability", "", "", "sizes"], ["map"], mode="nearest"),
    ]
    constants: _Constants = {"one_image": np.array([1, 1], np.int64), "probability": probability}
    return _model(nodes, constants, {"x": (1, 3, "H", "W")}, {"map": (TensorProto.FLOAT, (1, 1, "H", "W"))})


def shifted(right_px: int) -> onnx.ModelProto:
    """Make a dewarping model that moves every image to the right by this, and leaves white at its left."""
    nodes = [
        helper.make_node("Pad", ["img", "padding", "white"], ["moved"]),
        helper.make_node("Shape", ["img"], ["width"], start=3),
        helper.make_node("Slice", ["moved", "from", "width", "axis"], ["cut"]),
        # PaddleX cuts off what is behind the decimal point.
        helper.make_node("Add", ["cut", "half"], ["flat"]),
    ]
    constants: _Constants = {
        "padding": np.array([0, 0, 0, right_px, 0, 0, 0, 0], np.int64),
        "white": np.array(1, np.float32),
        "from": np.array([0], np.int64),
        "axis": np.array([3], np.int64),
        "half": np.array(0.5 / 255, np.float32),
    }
    shape = ("N", 3, "H", "W")
    return _model(nodes, constants, {"img": shape}, {"flat": (TensorProto.FLOAT, shape)})


def fixed_tokens(ids: Sequence[int]) -> onnx.ModelProto:
    """Make a recogniser that writes the same tokens for every image."""
    nodes = [
        helper.make_node("Shape", ["x"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "one"], ["shape"], axis=0),
        helper.make_node("Tile", ["sentence", "shape"], ["tokens"]),
    ]
    constants: _Constants = {"one": np.array([1], np.int64), "sentence": np.array([ids], np.int64)}
    outputs = {"tokens": (TensorProto.INT64, ("N", len(ids)))}
    return _model(nodes, constants, {"x": ("N", 1, 384, 384)}, outputs)


def _tokenizer(tokens: Sequence[str]) -> dict[str, Any]:
    """Describe, in the form of Hugging Face's tokenizers, one whose words are these."""
    special = ("<s>", "<pad>", "</s>", "<unk>")
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": tokens.index(token), "content": token, **flags} for token in special],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {token: place for place, token in enumerate(tokens)},
            "unk_token": "<unk>",
        },
    }


def _model(
    nodes: Sequence[onnx.NodeProto],
    constants: _Constants,
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
