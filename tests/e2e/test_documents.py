"""A client uploads a document with the plain AWS client and finds its text with boxes next to it."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.e2e import documents
from tests.e2e.stack import Consumer, Document, Stack, bucket_ocr

SCALE = 2.0
ORIGINAL = "letter.pdf"


@pytest.fixture(scope="module")
def schema(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Any:
    printed = bucket_ocr(stack.environment(), tmp_path_factory.mktemp("schema"), "schema")
    assert printed.returncode == 0, printed.stderr
    return json.loads(printed.stdout)


@pytest.fixture(scope="module")
def truth(samples: Path) -> dict[str, list[list[str]]]:
    texts: dict[str, list[list[str]]] = json.loads((samples / "truth.json").read_text(encoding="utf-8"))
    return texts


class Check:
    """All that is true of every result, of any source."""

    def __init__(self, stack: Stack, schema: Any) -> None:
        self.stack = stack
        self.schema = schema

    def __call__(self, path: Path, key: str, truth: list[list[str]]) -> Document:
        self.stack.aws_cp(path, key)
        result = self.stack.result(key)
        jsonschema.validate(result, self.schema, format_checker=jsonschema.FormatChecker())
        self._is_about_the_source(result, key, path)
        assert result["page_count"] == len(result["pages"]) == len(truth)
        assert [page["page_number"] for page in result["pages"]] == list(range(1, len(truth) + 1))
        for page, lines in zip(result["pages"], truth, strict=True):
            found = _on_page(result, page["page_number"])
            assert documents.share_of_words([line["text"] for line in found], lines) >= 0.95
            for line in found:
                assert all(0 <= x <= page["width_px"] and 0 <= y <= page["height_px"] for x, y in line["box"])
        return result

    def _is_about_the_source(self, result: Document, key: str, path: Path) -> None:
        source, head = self.stack.object(key), self.stack.object(f"{key}.ocr.json")
        assert source is not None
        assert head is not None
        etag = source["ETag"].strip('"')
        assert head["ContentType"] == "application/json"
        assert head["Metadata"] == {
            "ocr-status": "SUCCESS",
            "ocr-source-etag": etag,
            "ocr-fingerprint": result["engine"]["fingerprint"],
            "ocr-schema-version": "1.0",
            "ocr-page-count": str(result["page_count"]),
        }
        assert (result["status"], result["error"], result["warnings"]) == ("SUCCESS", None, [])
        said = result["source"]
        assert (said["bucket"], said["key"], said["etag"]) == (self.stack.bucket, key, etag)
        assert (said["size_bytes"], said["version_id"]) == (path.stat().st_size, None)
        times = [result["timing"][name] for name in ("queued_at", "started_at", "finished_at")]
        assert times == sorted(times)


@pytest.fixture
def check(stack: Stack, consumer: Consumer, schema: Any) -> Check:
    return Check(stack, schema)


def _on_page(result: Document, page_number: int) -> list[Document]:
    return [line for line in result["detections"] if line["page_number"] == page_number]


def test_a_pdf_of_three_pages_has_each_line_where_it_stands(
    check: Check, samples: Path, truth: dict[str, list[list[str]]]
) -> None:
    path = samples / "report.pdf"
    result = check(path, "letters/2026/report.pdf", truth["report.pdf"])
    for page, lines in zip(result["pages"], documents.text_lines(path, SCALE), strict=True):
        assert (page["scale"], page["dpi"]) == (SCALE, 144.0)
        assert (page["width_px"], page["height_px"]) == (1190, 1684)
        assert documents.share_of_lines(_on_page(result, page["page_number"]), lines) >= 0.9
    numbers = [line["page_number"] for line in result["detections"]]
    assert numbers == sorted(numbers)


def test_a_png_is_read_at_its_own_size(
    check: Check, samples: Path, truth: dict[str, list[list[str]]]
) -> None:
    result = check(samples / "scan.png", "scan.PNG", truth["scan.png"])
    (page,) = result["pages"]
    assert (page["scale"], page["dpi"]) == (1.0, None)
    assert result["source"]["content_type"] == "image/png"


def test_a_table_of_a_scan_is_in_its_result(
    check: Check, samples: Path, truth: dict[str, list[list[str]]]
) -> None:
    result = check(samples / "scan.png", "table.png", truth["scan.png"])
    assert {"layout", "table_structure"} <= result["engine"]["models"].keys()
    (page,) = result["pages"]
    (table,) = page["tables"]
    assert "<tr><td>Marbled paper, red</td><td>1</td><td>80</td><td>2.4</td></tr>" in table["html"]
    assert len(table["cells"]) == 20
    assert table["html"] in page["markdown"]
    assert [block["order"] for block in page["blocks"]] == list(range(1, len(page["blocks"]) + 1))


def test_a_jpeg_from_a_camera_held_sideways_is_read_upright(
    check: Check, samples: Path, tmp_path: Path, truth: dict[str, list[list[str]]]
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(documents.photo(samples / ORIGINAL, SCALE))
    result = check(path, "photo.jpg", truth[ORIGINAL])
    (page,) = result["pages"]
    assert (page["width_px"], page["height_px"], page["scale"]) == (1190, 1684, 1.0)
    (lines,) = documents.text_lines(samples / ORIGINAL, SCALE)
    assert documents.share_of_lines(result["detections"], lines) >= 0.9


def test_every_frame_of_a_tiff_is_a_page(
    check: Check, samples: Path, truth: dict[str, list[list[str]]]
) -> None:
    result = check(samples / "fax.tiff", "fax.tiff", truth["fax.tiff"])
    first, second = truth["fax.tiff"]
    on_second = [line["text"] for line in _on_page(result, 2)]
    assert documents.share_of_words(on_second, second) > documents.share_of_words(on_second, first)
