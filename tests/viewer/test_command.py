"""`bucket-ocr view` of local files, and what it writes without a browser to look at it."""

import base64
import io
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from PIL import Image

from consumer.domain.errors import Code
from consumer.domain.result import PageResult, failed_page
from consumer.viewer import html
from tests.e2e import in_process
from tests.outputs.documents import head, rich_page
from tests.unit.test_stored_result import as_json
from tests.viewer import documents

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A document of two pages, with its result."""
    path = tmp_path / "two.pdf"
    documents.write_pdf(path, [["First"], ["Second"]])
    write_result(path, documents.read(path))
    return path


def write_result(source: Path, pages: list[PageResult]) -> None:
    documents.write_result(source.with_name(f"{source.name}.ocr.json"), pages, source.stat().st_size)


def call(folder: Path, *arguments: object) -> Done:
    return in_process.bucket_ocr({}, folder, "view", *arguments)


def problem(done: Done, status: int = 1) -> str:
    assert (done.returncode, done.stdout) == (status, "")
    return done.stderr


def data(page: bytes) -> list[dict[str, Any]]:
    found = re.findall(rb'<script type="application/json" class="page-data">(.*?)</script>', page)
    return [json.loads(each) for each in found]


def test_the_page_is_written_here_or_where_it_is_wanted(source: Path, tmp_path: Path) -> None:
    done = call(tmp_path, "two.pdf")
    assert (done.returncode, done.stdout, done.stderr) == (0, "two.pdf.ocr.html\n", "")
    wanted, result = tmp_path / "other.html", tmp_path / "elsewhere.json"
    source.with_name("two.pdf.ocr.json").rename(result)
    assert call(tmp_path, source, "--result", result, "-o", wanted).stdout == f"{wanted}\n"
    # But for the digests, which are those of one template, the same bytes.
    assert wanted.read_bytes() == (tmp_path / "two.pdf.ocr.html").read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "elsewhere.json",
        "other.html",
        "two.pdf",
        "two.pdf.ocr.html",
    ]


def test_a_page_that_was_not_read_has_no_picture_and_says_why(source: Path, tmp_path: Path) -> None:
    pages = documents.read(source)
    write_result(source, [pages[0], failed_page(2, Code.PAGE_UNREADABLE, "torn")])
    page = documents.view(tmp_path, "two.pdf").read_bytes()
    assert page.count(b'class="picture">data:image/webp;base64,') == 1
    assert data(page)[1]["notes"] == ["PAGE_UNREADABLE: torn"]


def test_another_file_than_the_one_that_was_read_is_refused(source: Path, tmp_path: Path) -> None:
    with source.open("ab") as file:
        file.write(b"\n")
    assert "two.pdf is another file" in problem(call(tmp_path, "two.pdf"))
    assert not (tmp_path / "two.pdf.ocr.html").exists()
    assert list(tmp_path.glob(".*.part")) == []


def test_a_failed_document_or_what_is_no_result_is_1_and_says_so(source: Path, tmp_path: Path) -> None:
    result = tmp_path / "two.pdf.ocr.json"
    failure = head(0).model_dump(mode="json")
    failure |= {"status": "FAILURE", "error": {"code": "ENCRYPTED", "message": "locked", "retryable": False}}
    result.write_bytes(as_json(failure))
    assert problem(call(tmp_path, "two.pdf")) == "bucket-ocr: ENCRYPTED: locked\n"
    result.write_bytes(b"{}")
    assert "what should be the result of two.pdf is none" in problem(call(tmp_path, "two.pdf"))
    result.unlink()
    assert "two.pdf.ocr.json" in problem(call(tmp_path, "two.pdf"))


def test_wrong_usage_is_2(source: Path, tmp_path: Path) -> None:
    assert "is no file" in problem(call(tmp_path, "none.pdf"), 2)
    assert "there is no folder" in problem(call(tmp_path, "two.pdf", "-o", "none/page.html"), 2)
    assert "names no object" in problem(call(tmp_path, "s3://inbox/"), 2)


def test_a_flattened_page_is_shown_as_it_was_read(source: Path, tmp_path: Path) -> None:
    image = "data:image/png;base64,iVBORw0KGgo="
    first, second = documents.read(source)
    flat = first.model_copy(update={"page": first.page.model_copy(update={"flattened_image": image})})
    write_result(source, [flat, second])
    assert image.encode() in documents.view(tmp_path, "two.pdf").read_bytes()
    evil = first.page.model_copy(update={"flattened_image": 'data:image/png;base64,"></script><script>'})
    write_result(source, [first.model_copy(update={"page": evil}), second])
    assert "image of page 1" in problem(call(tmp_path, "two.pdf"))


def test_large_pages_become_pictures_of_a_screens_size(tmp_path: Path) -> None:
    source = tmp_path / "plan.pdf"
    with pymupdf.open() as document:
        document.new_page(width=2400, height=1600)
        document.save(source)
    write_result(source, documents.read(source))
    written = documents.view(tmp_path, "plan.pdf").read_bytes()
    (picture,) = re.findall(rb'class="picture">data:image/webp;base64,([^<]*)<', written)
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        width, height = image.size
    assert width * height <= 2_100_000
    assert width / height == pytest.approx(1.5, abs=0.01)


def test_data_of_a_page_has_blocks_of_lines_and_rows_of_tables_and_no_markup() -> None:
    written = html.page(rich_page(1), None, ["</script>"])
    assert b"</script>" not in written.removesuffix(b"</script>\n")
    (page,) = data(written)
    lines = page["lines"]
    assert [line["block"] for line in lines] == [0, 1, 1, 3, 3, 3, 3, 3, None, None, None]
    assert lines[0]["box"] == [100, 100, 300, 100, 300, 140, 100, 140]
    (table,) = page["tables"]
    assert [[cell["text"] for cell in row] for row in table["rows"]] == [
        ["Prices & weights"],
        ["Tea", "1,50"],
        ["=2+3|x"],
        ["Salt coarse", "-3.20"],
    ]
    assert page["notes"] == ["</script>"]
