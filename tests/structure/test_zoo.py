"""The small models do what they say, when PaddleX itself runs them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from paddlex import create_model, create_pipeline

from tests.structure import paddle_zoo, zoo

# PaddleX divides by zero where columns have no width.
pytestmark = pytest.mark.filterwarnings("default")

Image = np.ndarray[Any, np.dtype[np.uint8]]

_ROWS = (("Name", "Price"), ("Apple", "17"), ("Pear", "23"))


@pytest.fixture
def models(tmp_path: Path) -> zoo.Zoo:
    return zoo.Zoo(tmp_path / "home")


def _page() -> Image:
    """Draw a ruled table, 640 x 300 pixels at (80, 200) of a page of 800 x 1000, and a word in red."""
    page = np.full((1000, 800, 3), 255, np.uint8)
    for row, words in enumerate(_ROWS):
        for column, word in enumerate(words):
            x, y = 80 + 320 * column, 200 + 100 * row
            cv2.rectangle(page, (x, y), (x + 320, y + 100), (0, 0, 0), 2)
            cv2.putText(page, word, (x + 60, y + 65), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 0), 3)
    cv2.putText(page, "Approved", (330, 700), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 180), 3)
    return page


def _run(models: zoo.Zoo, name: str, image: Image, **options: Any) -> Any:
    folder = str(models.folder(name))
    model = create_model(model_name=name, model_dir=folder, engine="onnxruntime", device="cpu", **options)
    return next(iter(model.predict(image)))


def _module(models: zoo.Zoo, kind: str, name: str) -> dict[str, Any]:
    return {"module_name": kind, "model_name": name, "model_dir": str(models.folder(name))}


def _modules(models: zoo.Zoo) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "TableClassification", _module(models, "table_classification", zoo.TABLE_KIND)
    for rules, structure, cells in zip(("Wired", "Wireless"), zoo.STRUCTURE, zoo.CELLS, strict=True):
        yield (
            f"{rules}TableStructureRecognition",
            _module(models, "table_structure_recognition", structure),
        )
        yield f"{rules}TableCellsDetection", _module(models, "table_cells_detection", cells)


def _pipeline(models: zoo.Zoo) -> Any:
    text = {
        "pipeline_name": "OCR",
        "text_type": "general",
        "use_doc_preprocessor": False,
        "use_textline_orientation": False,
        "SubModules": {
            "TextDetection": _module(models, "text_detection", zoo.DETECTION),
            "TextRecognition": _module(models, "text_recognition", zoo.RECOGNITION),
        },
    }
    layout = {**_module(models, "layout_detection", zoo.LAYOUT), "threshold": 0.5}
    config = {
        "pipeline_name": "table_recognition_v2",
        "use_layout_detection": True,
        "use_doc_preprocessor": False,
        "use_ocr_model": True,
        "SubModules": {"LayoutDetection": layout, **dict(_modules(models))},
        "SubPipelines": {"GeneralOCR": text},
    }
    return create_pipeline(config=config, engine="onnxruntime", device="cpu")


@pytest.mark.parametrize("wired", [True, False])
def test_a_table_has_its_words_in_its_cells(models: zoo.Zoo, *, wired: bool) -> None:
    models.layout(zoo.Box("table", 80 / 800, 200 / 1000, 720 / 800, 500 / 1000))
    models.tables(3, 2, wired=wired)
    options = {"use_table_orientation_classify": False, "use_e2e_wireless_table_rec_model": True}

    (page,) = _pipeline(models).predict(_page(), **options)

    (table,) = page["table_res_list"]
    rows = "".join(f"<tr>{''.join(f'<td>{word}</td>' for word in row)}</tr>" for row in _ROWS)
    assert f"<tbody>{rows}</tbody>" in table["pred_html"]
    cells = [(80 + 320 * x, 200 + 100 * y, 400 + 320 * x, 300 + 100 * y) for y in range(3) for x in range(2)]
    assert np.array(table["cell_box_list"]) == pytest.approx(np.array(cells), abs=1)


def test_regions(models: zoo.Zoo) -> None:
    models.regions((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))

    boxes = _run(models, zoo.REGION, _page())["boxes"]

    found = sorted([float(side) for side in box["coordinate"]] for box in boxes)
    assert found == [[0, 0, 400, 1000], [400, 0, 800, 1000]]


def test_lettering_in_a_seal_is_a_polygon(models: zoo.Zoo) -> None:
    models.seal((0.25, 0.5, 0.75, 0.75))

    (polygon,) = _run(models, zoo.SEAL, _page(), unclip_ratio=0.01)["dt_polys"]

    assert np.array([polygon.min(axis=0), polygon.max(axis=0)]) == pytest.approx(
        np.array([(200, 500), (600, 750)]), abs=8
    )


def test_a_flattened_page_has_moved(models: zoo.Zoo) -> None:
    models.unwarping(40)
    page = _page()

    # The pipeline turns the channels of it once more.
    flat = _run(models, zoo.UNWARPING, page)["doctr_img"][:, :, ::-1]

    assert (flat[:, 40:] == page[:, :-40]).all()
    assert (flat[:, :40] == 255).all()


def test_a_formula(models: zoo.Zoo) -> None:
    models.formula("x ^ { 2 } + 1")

    assert _run(models, zoo.FORMULA, _page())["rec_formula"] == "x^{2}+1"


def test_paddle_reads_a_page(tmp_path: Path) -> None:
    # Not here: Paddle takes signals for itself.
    paddle_zoo.build(tmp_path)
    program = [sys.executable, "-c", _READ, str(tmp_path / "official_models")]
    said = subprocess.run(program, check=True, capture_output=True, text=True).stdout

    assert said.splitlines()[-2:] == ["text 80 50 720 950", paddle_zoo.WORD]


_READ = """
import sys
import numpy as np
from paddlex import create_model

page = np.full((1000, 800, 3), 255, np.uint8)
page[100:140, 100:300] = 0

def run(name, image):
    model = create_model(model_name=name, model_dir=f"{sys.argv[1]}/{name}", device="cpu",
                         engine_config={"paddle_static": {"run_mode": "paddle"}})
    return next(iter(model.predict(image)))

(block,) = run("PP-DocLayout_plus-L", page)["boxes"]
(line,) = run("PP-OCRv5_server_det", page)["dt_polys"]
(x1, y1), (x2, y2) = line.min(axis=0), line.max(axis=0)
print(block["label"], *(round(float(side)) for side in block["coordinate"]))
print(run("PP-OCRv5_server_rec", page[y1:y2, x1:x2])["rec_text"])
"""
