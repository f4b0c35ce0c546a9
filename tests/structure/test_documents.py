"""Upload, and the JSON appears: the real PP-StructureV3 in the real consumer, on LocalStack."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from local_cloud import LocalCloud
from PIL import Image

from consumer.domain.result import json_schema
from tests.e2e.documents import blank_pdf, share_of_lines, share_of_words, text_lines
from tests.e2e.stack import RUN, Consumer, Document, Stack, bucket_ocr
from tests.structure.zoo import Box, Zoo

#: A sheet: a title, and what stands under it.
LAYOUT = (Box("doc_title", 0.0, 0.0, 1.0, 0.09), Box("text", 0.0, 0.09, 1.0, 1.0))
F1_APART = 0.02
PAGES = 6
DEADLINE_S = 600.0


@pytest.fixture(scope="module")
def stack(cloud: LocalCloud) -> Iterator[Stack]:
    with Stack.deployed(cloud, "structure") as stack:
        yield stack


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def consumer(stack: Stack, folder: Path, zoo: Zoo, **settings: object) -> Consumer:
    """A consumer with the engine on the processors, one process of it."""
    fixed: dict[str, object] = {
        "ENGINE": "pp-structurev3",
        "ENGINE_RUNTIME": "onnxruntime",
        "ENGINE_WORKERS": 1,
        "PIPELINE_CONFIG": zoo.pipeline(),
    }
    return Consumer(stack, folder, RUN, **fixed | settings)


@pytest.fixture(scope="module")
def reader(
    stack: Stack, environment: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Consumer]:
    folder = tmp_path_factory.mktemp("structure")
    zoo = Zoo(folder / "zoo")
    zoo.layout(*LAYOUT)
    environment.setenv("PADDLE_PDX_CACHE_HOME", str(zoo.home))
    with consumer(stack, folder / "consumer", zoo) as reader:
        yield reader.wait_ready()
        # Whatever libraries print, standard output has log lines only: `lines` parses every one.
        assert reader.lines
        assert reader.process.poll() is None


def check(result: Document) -> None:
    """Look at what every result must be."""
    jsonschema.validate(result, json_schema())
    assert result["status"] == "SUCCESS"
    assert result["engine"]["name"] == "pp-structurev3"
    assert result["engine"]["models"]["layout"] == "PP-DocLayout_plus-L"
    assert result["engine"]["device"] == "cpu"
    for line in result["detections"]:
        page = result["pages"][line["page_number"] - 1]
        assert all(0 <= x <= page["width_px"] and 0 <= y <= page["height_px"] for x, y in line["box"])


def test_a_pdf_of_several_pages_has_text_layout_order_and_markdown(
    stack: Stack, reader: Consumer, samples: Path
) -> None:
    stack.s3.upload_file(str(samples / "report.pdf"), stack.bucket, "report.pdf")
    result = stack.result("report.pdf", deadline_s=DEADLINE_S)
    check(result)
    truth = text_lines(samples / "report.pdf", 2.0)
    assert result["page_count"] == len(truth) > 1
    for number, (page, lines) in enumerate(zip(result["pages"], truth, strict=True), 1):
        mine = [line for line in result["detections"] if line["page_number"] == number]
        assert share_of_words((line["text"] for line in mine), (said for said, _ in lines)) > 0.9
        # The two blocks of the zoo cut some lines of these pages.
        assert share_of_lines(mine, lines) > 0.75
        assert [block["label"] for block in page["blocks"]] == ["doc_title", "text"]
        assert [block["order"] for block in page["blocks"]] == [1, 2]
        assert re.match(r"# \S", page["markdown"])
        # In a block of text, PaddleX writes numbers that stand side by side as one.
        assert share_of_words([page["markdown"]], (said for said, _ in lines)) > 0.6


@pytest.mark.parametrize("mode", ["L", "RGBA", "1", "CMYK"])
def test_an_image_of_any_kind_is_read(
    stack: Stack, reader: Consumer, samples: Path, tmp_path: Path, mode: str
) -> None:
    name = f"scan-{mode}.{'tiff' if mode == 'CMYK' else 'png'}"
    with Image.open(samples / "scan.png") as scan:
        scan.crop((0, 0, scan.width, scan.height // 2)).convert("RGB").convert(mode).save(tmp_path / name)
    stack.s3.upload_file(str(tmp_path / name), stack.bucket, name)
    result = stack.result(name, deadline_s=DEADLINE_S)
    check(result)
    assert "Lindqvist" in json.dumps(result["detections"])


def test_an_empty_page_is_a_success_without_lines(stack: Stack, reader: Consumer, samples: Path) -> None:
    stack.put("blank.pdf", blank_pdf(400))
    result = stack.result("blank.pdf", deadline_s=DEADLINE_S)
    check(result)
    assert result["detections"] == []


def test_an_engine_asked_for_a_gpu_refuses_where_there_is_none(stack: Stack, tmp_path: Path) -> None:
    environment = stack.environment(ENGINE="pp-structurev3", DEVICE="gpu")
    refused = bucket_ocr(environment, tmp_path, "run")
    assert refused.returncode == 2
    assert "BUCKET_OCR_DEVICE=gpu: there is no GPU" in refused.stderr
    assert "install the NVIDIA driver" in refused.stderr
    assert "paddlepaddle-gpu" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_missing_model_is_named_with_its_remedy(stack: Stack, tmp_path: Path) -> None:
    zoo = Zoo(tmp_path / "zoo")
    settings = {
        "ENGINE": "pp-structurev3",
        "ENGINE_RUNTIME": "onnxruntime",
        "PIPELINE_CONFIG": zoo.pipeline(),
    }
    environment = stack.environment(**settings) | {"PADDLE_PDX_CACHE_HOME": str(zoo.home)}
    refused = bucket_ocr(environment, tmp_path, "run")
    assert refused.returncode == 2
    problem = refused.stderr.splitlines()[-1]
    assert "the model PP-DocLayout_plus-L (layout) is missing" in problem
    assert "run `bucket-ocr models pull`" in problem
    assert "Traceback" not in refused.stderr


@pytest.mark.timeout(1200)
def test_both_engines_read_the_same_words_in_the_same_frame(
    stack: Stack,
    environment: pytest.MonkeyPatch,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with (corpus / "accuracy.tsv").open(encoding="utf-8", newline="") as rows:
        table = list(csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE))
    # Every so many, so that all kinds are among them, but for the few that are very large.
    scored = [
        row
        for row in table
        if row["truth"].endswith((".hocr", ".csv", ".txt"))
        and _pixels(corpus / "accuracy" / row["image"]) < 4e6
    ]
    chosen = scored[:: len(scored) // PAGES][:PAGES]
    truth = tmp_path / "truth.tsv"
    with truth.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, table[0].keys(), delimiter="\t", quoting=csv.QUOTE_NONE)
        writer.writeheader()
        writer.writerows(chosen)
    zoo = Zoo(tmp_path / "zoo")
    zoo.layout()
    environment.setenv("PADDLE_PDX_CACHE_HOME", str(zoo.home))
    f1, results = {}, {}
    for engine in ("rapidocr", "pp-structurev3"):
        folder = tmp_path / engine
        with consumer(stack, folder, zoo, ENGINE=engine, ENGINE_WORKERS="auto") as reader:
            reader.wait_ready()
            for row in chosen:
                key = f"{engine}/{row['image']}"
                stack.s3.upload_file(str(corpus / "accuracy" / row["image"]), stack.bucket, key)
            for row in chosen:
                result = stack.result(f"{engine}/{row['image']}", deadline_s=DEADLINE_S)
                jsonschema.validate(result, json_schema())
                results[engine, row["image"]] = result
                (folder / f"{row['image']}.ocr.json").write_text(json.dumps(result), encoding="utf-8")
        f1[engine] = _f1(corpus, truth, folder)
    with capsys.disabled():
        print(f"\nword F1 on {len(chosen)} pages: {f1}")  # noqa: T201
    assert abs(f1["rapidocr"] - f1["pp-structurev3"]) <= F1_APART
    for row in chosen:
        one, other = (results[engine, row["image"]]["pages"][0] for engine in f1)
        assert [one[name] for name in ("width_px", "height_px", "scale")] == [
            other[name] for name in ("width_px", "height_px", "scale")
        ]


def _pixels(path: Path) -> int:
    with Image.open(path) as image:
        return image.width * image.height


def _f1(corpus: Path, truth: Path, folder: Path) -> float:
    """Word F1 as the scorer of the corpus has it in its last line."""
    score = [sys.executable, corpus.parent / "tools" / "score.py", truth, corpus / "accuracy", folder]
    scored = subprocess.run([*map(str, score)], capture_output=True, text=True, check=False)
    found = re.search(r"F1\D*([0-9.]+)", scored.stdout.splitlines()[-1])
    assert found, scored.stdout + scored.stderr
    return float(found[1])
