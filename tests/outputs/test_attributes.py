"""hOCR, ALTO and PAGE say of documents, pages, regions and lines what the result says."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from consumer.outputs import FORMATS
from tests.outputs.documents import head, pages, plain_page, rich_page, written

KEY = head(1).source.key
READ = [page for page in pages() if page.page.width_px]


@pytest.fixture
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Any]]:
    """The documents that a format writes of all pages."""
    yield [etree.fromstring(body) for body in written(FORMATS[request.param], pages(), tmp_path).values()]
    assert not list(tmp_path.iterdir())


def attributes(root: Any, path: str, name: str) -> list[str | None]:
    return [each.get(name) for each in root.iterfind(path)]


@pytest.mark.parametrize("files", ["hocr"], indirect=True)
class TestHocr:
    def test_the_document_tells_its_engine_its_pages_and_its_key(self, files: list[Any]) -> None:
        (root,) = files
        told = {each.get("name"): each.get("content") for each in root.iter("{*}meta")}
        assert told["ocr-number-of-pages"] == str(len(pages()))
        assert told["ocr-system"] == "bucket-ocr fake 1"
        assert root.findtext(".//{*}title") == KEY

    def test_capabilities_are_the_classes_that_occur(self, files: list[Any]) -> None:
        (root,) = files
        (told,) = attributes(root, ".//{*}meta[@name='ocr-capabilities']", "content")
        assert set((told or "").split()) == {each.get("class") for each in root.iter() if each.get("class")}

    def test_a_page_tells_its_size_its_number_and_its_resolution(self, files: list[Any]) -> None:
        (root,) = files
        titles = attributes(root, ".//{*}div[@class='ocr_page']", "title")
        assert titles[0] == "bbox 0 0 1000 1400; ppageno 0; scan_res 144 144"
        # One that was not rendered, and a picture without a resolution.
        assert titles[2:4] == ["bbox 0 0 0 0; ppageno 2", "bbox 0 0 500 700; ppageno 3"]

    def test_lines_have_their_confidence_and_are_in_the_area_of_their_block(self, files: list[Any]) -> None:
        (root,) = files
        lines = attributes(root, ".//{*}span[@class='ocr_line']", "title")
        assert all(re.search(r"; x_wconf 90$", title or "") for title in lines)
        areas = attributes(root, ".//{*}div[@class='ocr_carea']", "title")
        assert areas[:2] == ["bbox 90 90 310 150", "bbox 90 190 510 290"]


@pytest.mark.parametrize("files", ["alto"], indirect=True)
class TestAlto:
    def test_the_document_tells_its_engine_its_time_and_its_source(self, files: list[Any]) -> None:
        (root,) = files
        assert root.findtext(".//{*}fileName") == KEY
        assert root.findtext(".//{*}fileIdentifier") == "e1"
        assert root.findtext(".//{*}softwareName") == "fake"
        assert root.findtext(".//{*}softwareVersion") == "1"
        assert root.findtext(".//{*}processingDateTime") == "2026-11-23T10:00:00+00:00"

    def test_a_page_tells_its_number_its_size_and_its_confidence(self, files: list[Any]) -> None:
        (root,) = files
        assert attributes(root, ".//{*}Page", "PHYSICAL_IMG_NR") == ["1", "2", "3", "4", "5"]
        assert attributes(root, ".//{*}Page", "WIDTH") == ["1000", "500", None, "500", "1000"]
        assert attributes(root, ".//{*}Page", "HEIGHT") == ["1400", "700", None, "700", "1400"]
        assert attributes(root, ".//{*}Page", "PC") == ["0.9000", None, None, None, "0.9000"]
        assert attributes(root, ".//{*}PrintSpace", "WIDTH") == ["1000", "500", "500", "1000"]

    def test_the_base_line_is_the_lower_side_in_the_direction_of_reading(self, files: list[Any]) -> None:
        (root,) = files
        found = attributes(root, ".//{*}TextLine", "BASELINE")
        assert found[1] == "99,230 499,240"
        # Of a line that runs down, the lower side is at the left.
        assert found[8] == "870,300 870,700"

    def test_blocks_have_the_boxes_of_the_layout(self, files: list[Any]) -> None:
        (root,) = files
        places = [
            [int(each.get(name)) for name in ("HPOS", "VPOS", "WIDTH", "HEIGHT")]
            for each in root.iterfind(".//{*}PrintSpace/*")
        ]
        assert places[:4] == [
            [90, 90, 220, 60],
            [90, 190, 420, 100],
            [600, 100, 200, 180],
            [100, 600, 400, 200],
        ]


@pytest.mark.parametrize("files", ["page"], indirect=True)
class TestPage:
    def test_a_page_tells_its_source_its_size_its_resolution_and_its_confidence(
        self, files: list[Any]
    ) -> None:
        for root, page in zip(files, (each.page for each in READ), strict=True):
            (found,) = root.findall("{*}Page")
            assert found.get("imageFilename") == KEY
            assert (found.get("imageWidth"), found.get("imageHeight")) == (
                str(page.width_px),
                str(page.height_px),
            )
            resolution = (None, None) if page.dpi is None else ("144", "PPI")
            assert (found.get("imageXResolution"), found.get("imageResolutionUnit")) == resolution
            assert found.get("conf") == (None if page.confidence is None else "0.9000")

    def test_regions_are_of_the_kinds_and_at_the_places_of_the_layout(self, files: list[Any]) -> None:
        regions = [each for each in files[0].find("{*}Page") if each.get("id")]
        kinds = [(etree.QName(each).localname, each.get("type")) for each in regions]
        assert kinds == [
            ("TextRegion", "heading"),
            ("TextRegion", "paragraph"),
            ("ImageRegion", None),
            ("TableRegion", None),
            ("TextRegion", "paragraph"),
        ]
        assert regions[2].find("{*}Coords").get("points") == "600,100 800,100 800,280 600,280"

    def test_lines_have_their_base_line_and_confidence(self, files: list[Any]) -> None:
        lines = list(files[0].iter("{*}TextLine"))
        assert lines[1].find("{*}Baseline").get("points") == "99,230 499,240"
        assert {each.find("{*}TextEquiv").get("conf") for each in lines} == {"0.9000"}


@pytest.mark.parametrize("name", ["hocr", "alto", "page"])
def test_every_element_has_a_name_of_its_own_however_often_a_block_is_parted(
    name: str, tmp_path: Path
) -> None:
    for body in written(
        FORMATS[name], [rich_page(1), plain_page(2, "a", "b"), rich_page(3)], tmp_path
    ).values():
        root = etree.fromstring(body)
        names = [each.get("id") or each.get("ID") for each in root.iter()]
        known = [each for each in names if each]
        assert len(known) == len(set(known))
