"""Foreign readers find in every format what the result says: text, boxes, order, tables."""

import csv
import gc
import io
import json
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from importlib.metadata import distribution
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from markdown_it import MarkdownIt

from consumer.domain import keys
from consumer.domain.outputs import NAMES, RESULT, SOURCE_FORMATS
from consumer.domain.result import Corners, PageResult, Word
from consumer.outputs import FORMATS
from consumer.outputs.table_csv import as_csv
from consumer.outputs.tables import grid
from consumer.outputs.words import words
from tests.outputs.documents import HTML, ROWS, box, line, pages, plain_page, rich_page, written

ROOT: Final = Path(__file__).parents[2]

PAGE_NAMESPACE: Final = "{http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15}"
ALTO_NAMESPACE: Final = "{http://www.loc.gov/standards/alto/ns-v4#}"

#: Characters that XML has not are replaced.
NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def lines_of(page: PageResult) -> list[str]:
    return [NOT_XML.sub("\ufffd", each.text) for each in page.detections]


def bbox(corners: Corners) -> tuple[int, int, int, int]:
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    assert not list(tmp_path.iterdir())


def test_every_format_may_be_asked_for_and_its_objects_are_known_by_their_names(folder: Path) -> None:
    assert {RESULT, *FORMATS, *SOURCE_FORMATS} == NAMES
    for name, output in FORMATS.items():
        for ending in written(output, pages(), folder):
            assert re.fullmatch(keys.OUTPUT_ENDINGS[name], ending)
            assert keys.is_own_output("scan.PDF" + ending)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_format_is_told_to_those_who_choose(name: str) -> None:
    page = (ROOT / "docs/outputs.md").read_text()
    comment = re.search(r"\n\n([^\n]*\n)+# BUCKET_OCR_OUTPUTS=", (ROOT / ".env.example").read_text())
    assert f"| `{name}` |" in page
    assert comment
    assert re.search(rf"\b{name}\b", comment[0])


@pytest.mark.parametrize("name", FORMATS)
def test_a_long_document_takes_little_memory(name: str) -> None:
    """A page that was written is on disk, but for the name and place of an object of its own."""
    writer, page = FORMATS[name].begin(_Counting), rich_page(1)
    writer.add(page)
    tracemalloc.start()
    for _ in range(30):
        writer.add(page)
    gc.collect()
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes < 30 * 500


class _Counting:
    """A spool that keeps nothing."""

    size_bytes = 0

    def write(self, data: bytes) -> None:
        self.size_bytes += len(data)

    def read(self, offset: int, size_bytes: int) -> bytes:
        return b""


@pytest.mark.parametrize("name", ["hocr", "alto", "page"])
def test_a_carriage_return_is_read_back_as_one(name: str, folder: Path) -> None:
    """S3 takes it in keys."""
    (body,) = written(FORMATS[name], [plain_page(1, "a")], folder, "in/a\rb.pdf").values()
    root = etree.fromstring(body)
    found = {*root.itertext(), *(value for each in root.iter() for value in each.attrib.values())}
    assert "in/a\rb.pdf" in found


class TestHocr:
    @pytest.fixture
    def root(self, folder: Path) -> Any:
        (body,) = written(FORMATS["hocr"], pages(), folder).values()
        return etree.fromstring(body)

    def test_is_valid(self, tmp_path: Path) -> None:
        (body,) = written(FORMATS["hocr"], pages(), tmp_path).values()
        # The validator is old: warnings of its syntax are not ours.
        program = "import sys; sys.argv[0] = 'hocr-spec'; from hocr_spec.cli import main; main()"
        command = [sys.executable, "-W", "ignore", "-c", program, "-"]
        run = subprocess.run(command, input=body, capture_output=True, timeout=300, check=False)
        report = run.stdout.decode() + run.stderr.decode()
        assert "Document is valid" in report
        assert "[ERROR]" not in report

    def test_has_the_lines_and_their_boxes_in_order(self, root: Any) -> None:
        found = root.findall(".//{*}div[@class='ocr_page']")
        assert len(found) == len(pages())
        for element, page in zip(found, pages(), strict=True):
            lines = element.findall(".//{*}span[@class='ocr_line']")
            assert ["".join(each.itertext()) for each in lines] == lines_of(page)
            boxes = [tuple(map(int, re.findall(r"\d+", each.get("title"))[:4])) for each in lines]
            assert boxes == [bbox(each.box) for each in page.detections]

    def test_says_how_lines_slope_and_which_run_down(self, root: Any) -> None:
        titles = [each.get("title") for each in root.findall(".//{*}span[@class='ocr_line']")]
        # The lower edge goes from (99, 230) to (499, 240); the box ends at y 240.
        assert "baseline 0.025 -10;" in titles[1]
        assert "textangle 270" in titles[8]
        assert "baseline" not in titles[8]

    def test_has_no_name_twice(self, root: Any) -> None:
        names = [each.get("id") for each in root.iter() if each.get("id")]
        assert len(names) == len(set(names))


#: Rules of the schema of ALTO 4.2 for the elements that we write: children in their order, attributes that
#: they must have, and others that they may have.
_PLACE = {"HPOS", "VPOS", "WIDTH", "HEIGHT"}
ALTO: Final[dict[str, tuple[str, set[str], set[str]]]] = {
    "alto": ("(Description )?(Styles )?(Tags )?Layout ", set(), {"SCHEMAVERSION"}),
    "Description": ("MeasurementUnit (sourceImageInformation )?(Processing )*", set(), set()),
    "sourceImageInformation": ("(fileName )?(fileIdentifier )*(documentIdentifier )*", set(), set()),
    "Processing": (
        "(processingCategory )?(processingDateTime )?(processingSoftware )?",
        {"ID"},
        set(),
    ),
    "processingSoftware": ("(softwareCreator )?(softwareName )?(softwareVersion )?", set(), set()),
    "Layout": ("(Page )+", set(), set()),
    "Page": ("(PrintSpace )?", {"ID", "PHYSICAL_IMG_NR"}, {"WIDTH", "HEIGHT", "PC"}),
    "PrintSpace": ("((TextBlock|Illustration|ComposedBlock) )*", set(), _PLACE),
    "ComposedBlock": ("((TextBlock|Illustration|ComposedBlock) )*", {"ID"}, _PLACE | {"TYPE"}),
    "TextBlock": ("(TextLine )*", {"ID"}, _PLACE),
    "Illustration": ("", {"ID"}, _PLACE | {"TYPE"}),
    "TextLine": ("(Shape )?(String (SP )?)+", set(), _PLACE | {"ID", "BASELINE"}),
    "Shape": ("Polygon ", set(), set()),
    "Polygon": ("", {"POINTS"}, set()),
    "String": ("", {"CONTENT"}, _PLACE | {"ID", "WC"}),
    "SP": ("", set(), set()),
}


class TestAlto:
    @pytest.fixture
    def root(self, folder: Path) -> Any:
        (body,) = written(FORMATS["alto"], pages(), folder).values()
        return etree.fromstring(body)

    def test_is_valid_by_its_published_schema(self, root: Any) -> None:
        if "ALTO_XSD" not in os.environ:
            pytest.skip("ALTO_XSD does not name a copy of alto-4-2.xsd; no package has one")
        schema = etree.XMLSchema(etree.parse(os.environ["ALTO_XSD"]))
        schema.assertValid(root)

    def test_has_the_structure_that_its_schema_asks_for(self, root: Any) -> None:
        for element in root.iter():
            name = etree.QName(element)
            assert f"{{{name.namespace}}}" == ALTO_NAMESPACE
            if not len(element) and name.localname not in ALTO:
                assert element.text
                continue
            children, needed, allowed = ALTO[name.localname]
            found = "".join(f"{etree.QName(child).localname} " for child in element)
            assert re.fullmatch(children, found), (name.localname, found)
            attributes = {each for each in element.attrib if not each.startswith("{")}
            assert needed <= attributes <= needed | allowed
            for each in attributes & (_PLACE | {"WC", "PC", "PHYSICAL_IMG_NR"}):
                assert float(element.get(each)) >= 0
            for each in attributes & {"WC", "PC"}:
                assert float(element.get(each)) <= 1
        names = [element.get("ID") for element in root.iter() if element.get("ID")]
        assert len(names) == len(set(names))

    def test_has_the_lines_and_their_boxes_in_order(self, root: Any) -> None:
        found = root.findall(f".//{ALTO_NAMESPACE}Page")
        for element, page in zip(found, pages(), strict=True):
            lines = element.findall(f".//{ALTO_NAMESPACE}TextLine")
            texts = [
                "".join(each.get("CONTENT", " ") for each in line if each.tag[-5:] != "Shape")
                for line in lines
            ]
            assert texts == lines_of(page)
            places = [[int(each.get(name)) for name in ("HPOS", "VPOS", "WIDTH", "HEIGHT")] for each in lines]
            boxes = [(x, y, x + width, y + height) for x, y, width, height in places]
            assert boxes == [bbox(each.box) for each in page.detections]
            shapes = [each.find(f".//{ALTO_NAMESPACE}Polygon").get("POINTS") for each in lines]
            corners = [tuple(tuple(map(int, xy.split(","))) for xy in shape.split()) for shape in shapes]
            assert corners == [each.box for each in page.detections]

    def test_has_tables_and_pictures(self, root: Any) -> None:
        assert root.find(f".//{ALTO_NAMESPACE}ComposedBlock").get("TYPE") == "table"
        assert root.find(f".//{ALTO_NAMESPACE}Illustration").get("TYPE") == "image"


@pytest.fixture(scope="module")
def page_schema() -> Any:
    return etree.XMLSchema(etree.parse(str(distribution("ocrd").locate_file("ocrd_validators/page.xsd"))))


class TestPage:
    @pytest.fixture
    def roots(self, folder: Path) -> dict[str, Any]:
        files = written(FORMATS["page"], pages(), folder)
        return {ending: etree.fromstring(body) for ending, body in files.items()}

    def test_is_valid_by_its_published_schema(self, roots: dict[str, Any], page_schema: Any) -> None:
        for root in roots.values():
            page_schema.assertValid(root)

    def test_has_a_file_for_each_page_that_was_rendered(self, roots: dict[str, Any]) -> None:
        assert list(roots) == [f".ocr/page-{number:04}.page.xml" for number in (1, 2, 4, 5)]

    def test_of_a_document_of_one_page_has_a_name_of_its_own(self, folder: Path, page_schema: Any) -> None:
        ((ending, body),) = written(FORMATS["page"], pages()[:1], folder).items()
        assert ending == ".ocr.page.xml"
        page_schema.assertValid(etree.fromstring(body))

    def test_has_the_lines_and_their_corners_in_order(self, roots: dict[str, Any]) -> None:
        read = [page for page in pages() if page.page.width_px]
        for root, page in zip(roots.values(), read, strict=True):
            order = [each.get("regionRef") for each in root.iter(f"{PAGE_NAMESPACE}RegionRefIndexed")]
            names = [each.get("id") for each in root.find(f"{PAGE_NAMESPACE}Page") if each.get("id")]
            assert order == names
            lines = list(root.iter(f"{PAGE_NAMESPACE}TextLine"))
            texts = [each.find(f"{PAGE_NAMESPACE}TextEquiv/{PAGE_NAMESPACE}Unicode").text for each in lines]
            assert texts == lines_of(page)
            points = [each.find(f"{PAGE_NAMESPACE}Coords").get("points") for each in lines]
            corners = [tuple(tuple(map(int, xy.split(","))) for xy in each.split()) for each in points]
            assert corners == [each.box for each in page.detections]


def numbers(text: str) -> list[int]:
    return [int(each) for each in re.findall(r"\d+", text)]


def upright(left: int, top: int, width: int, height: int) -> tuple[int, int, int, int]:
    return left, top, left + width, top + height


def words_in(name: str, body: bytes) -> list[tuple[str, tuple[int, ...], float]]:
    """The words of a page as a format tells them: text, box, confidence of 0 to 1."""
    root: Any = etree.fromstring(body)
    if name == "hocr":
        found = root.findall(".//{*}span[@class='ocrx_word']")
        told = [(each.text, *(numbers(part) for part in each.get("title").split(";"))) for each in found]
        return [(text, tuple(box), wconf / 100) for text, box, (wconf,) in told]
    if name == "alto":
        found = root.iter(f"{ALTO_NAMESPACE}String")
        sides = ("HPOS", "VPOS", "WIDTH", "HEIGHT")
        return [
            (
                each.get("CONTENT"),
                upright(*(int(each.get(side)) for side in sides)),
                float(each.get("WC")),
            )
            for each in found
        ]
    return [
        (
            each.findtext(f".//{PAGE_NAMESPACE}Unicode"),
            tuple(numbers(each.find(f"{PAGE_NAMESPACE}Coords").get("points"))),
            float(each.find(f"{PAGE_NAMESPACE}TextEquiv").get("conf")),
        )
        for each in root.iter(f"{PAGE_NAMESPACE}Word")
    ]


@pytest.mark.parametrize("name", ["hocr", "alto", "page"])
def test_words_have_the_text_box_and_confidence_of_the_result(name: str, folder: Path) -> None:
    (body,) = written(FORMATS[name], [rich_page(1)], folder).values()
    expected = [word for each in rich_page(1).detections for word in words(each)]
    for found, word in zip(words_in(name, body), expected, strict=True):
        # PAGE has all four corners.
        box = tuple(chain.from_iterable(word.box)) if name == "page" else bbox(word.box)
        assert found[:2] == (NOT_XML.sub("\ufffd", word.text), box)
        assert found[2] == pytest.approx(word.confidence, abs=0.005)


class TestTextract:
    @pytest.fixture
    def response(self, folder: Path) -> dict[str, Any]:
        (body,) = written(FORMATS["textract"], pages(), folder).values()
        response: dict[str, Any] = json.loads(body)
        return response

    def test_every_relation_is_to_a_block_of_the_same_page(self, response: dict[str, Any]) -> None:
        blocks = {block["Id"]: block for block in response["Blocks"]}
        assert len(blocks) == len(response["Blocks"])
        for block in blocks.values():
            for relation in block.get("Relationships", ()):
                assert all(blocks[each]["Page"] == block["Page"] for each in relation["Ids"])
            place = block["Geometry"]["BoundingBox"]
            assert all(0 <= value <= 1 for value in place.values())
            assert place["Left"] + place["Width"] <= 1.0000001
            assert place["Top"] + place["Height"] <= 1.0000001

    def test_ids_are_the_same_when_it_is_written_again(self, response: dict[str, Any], folder: Path) -> None:
        (again,) = written(FORMATS["textract"], pages(), folder).values()
        assert json.loads(again) == response

    def test_the_response_parser_finds_lines_and_tables(self, response: dict[str, Any]) -> None:
        import trp  # noqa: PLC0415 - a foreign reader

        document = trp.Document(response)
        assert len(document.pages) == len(pages())
        for found, page in zip(document.pages, pages(), strict=True):
            assert [each.text for each in found.lines] == [each.text for each in page.detections]
            for table, grid_rows in zip(found.tables, [ROWS] * len(page.page.tables), strict=True):
                rows = [[cell.text.strip() for cell in row.cells] for row in table.rows]
                # Of a cell that spans several, the first place has the text.
                assert rows == [[grid_rows[0][0], ""], grid_rows[1], ["", grid_rows[2][1]], grid_rows[3]]

    def test_its_schema_loads_the_blocks(self, response: dict[str, Any]) -> None:
        from trp.trp2 import TDocumentSchema  # noqa: PLC0415 - a foreign reader

        document = TDocumentSchema().load(response)
        for found, page in zip(document.pages, pages(), strict=True):
            assert [each.text for each in document.lines(found)] == [each.text for each in page.detections]

    @pytest.mark.filterwarnings("ignore")
    def test_textractor_finds_lines_words_tables_and_layout(self, response: dict[str, Any]) -> None:
        from textractor.parsers import response_parser  # noqa: PLC0415 - a foreign reader

        document = response_parser.parse(response)
        assert len(document.pages) == len(pages())
        for found, page in zip(document.pages, pages(), strict=True):
            # It makes a line of a word in a table that no line of ours has, `=2+3|x`.
            foreign = ["=2+3|x"] * len(page.page.tables)
            texts = sorted("".join(each.text.split()) for each in found.lines)
            assert texts == sorted("".join(each.split()) for each in [*_texts(page), *foreign])
            for table in found.tables:
                assert (table.row_count, table.column_count) == (len(ROWS), len(ROWS[0]))
            if page.page.blocks:
                layout = [each.layout_type for each in found.layouts]
                # The last one has the lines that are in no block.
                kinds = ("TITLE", "TEXT", "FIGURE", "TABLE", "TEXT")
                assert layout == [f"LAYOUT_{kind}" for kind in kinds]
            for line_found in found.lines:
                matching = [each for each in page.detections if each.text == line_found.text]
                for each in matching[:1]:
                    x1, y1, x2, _ = bbox(each.box)
                    width_px, height_px = page.page.width_px or 0, page.page.height_px or 0
                    place = line_found.bbox
                    assert (place.x * width_px, place.y * height_px) == pytest.approx((x1, y1))
                    assert place.width * width_px == pytest.approx(x2 - x1)

    @pytest.mark.filterwarnings("ignore")
    def test_textractor_tells_every_line_in_its_order(self, response: dict[str, Any]) -> None:
        """Also those of lists, and of no block: it makes its text of the layout, if there is one."""
        from textractor.parsers import response_parser  # noqa: PLC0415 - a foreign reader

        for found, page in zip(response_parser.parse(response).pages, pages(), strict=True):
            rest = squeezed(found.get_text())
            for text in map(squeezed, _texts(page)):
                assert text in rest
                rest = rest.partition(text)[2]

    def test_the_response_parser_finds_the_words_and_their_boxes_in_order(
        self, response: dict[str, Any]
    ) -> None:
        import trp  # noqa: PLC0415 - a foreign reader

        for found, page in zip(trp.Document(response).pages, pages(), strict=True):
            expected = [word for each in page.detections for word in words(each)]
            told = [word for each in found.lines for word in each.words]
            assert [word.text for word in told] == [word.text for word in expected]
            assert [word.confidence for word in told] == [100 * word.confidence for word in expected]
            for each, word in zip(told, expected, strict=True):
                place = each.geometry.boundingBox
                corners = (place.left, place.top, place.left + place.width, place.top + place.height)
                size = 2 * (page.page.width_px or 0, page.page.height_px or 0)
                found_at = [a * b for a, b in zip(corners, size, strict=True)]
                assert found_at == pytest.approx(bbox(word.box))


def _texts(page: PageResult) -> list[str]:
    return [each.text for each in page.detections]


def squeezed(text: str) -> str:
    return "".join(text.split())


class TestTables:
    def test_rows_and_columns_are_those_of_the_html(self, folder: Path) -> None:
        files = written(FORMATS["csv"], pages(), folder)
        assert list(files) == [".ocr/page-0001-table-1.csv", ".ocr/page-0005-table-1.csv"]
        for body in files.values():
            rows = list(csv.reader(io.StringIO(body.decode(), newline="")))
            assert [[cell.removeprefix("'") for cell in row] for row in rows] == ROWS

    @pytest.mark.parametrize(
        ("text", "harmless"),
        [
            ("=1+1", False),
            ("=HYPERLINK(1)", False),
            ("@SUM(A1)", False),
            ("+cmd|' /C calc'!A0", False),
            ("-2+A1", False),
            ("＝1+1", False),  # noqa: RUF001
            ("－A1", False),  # noqa: RUF001
            ("\ufeff=1+1", False),
            ("\x00\x01=1+1", False),
            ("\u200b\u202e@SUM(A1)", False),
            ("－３.２０", True),  # noqa: RUF001
            ("-3.20", True),
            ("+49 (30) 12-34", True),
            ("-", True),
            ("-1,5 %", True),
            ("- €5", True),
            ("a=b", True),
            ("'quoted", True),
            ("", True),
        ],
    )
    def test_a_text_that_spreadsheets_would_take_for_a_formula_is_marked_as_text(
        self, text: str, harmless: bool
    ) -> None:
        ((cell,),) = csv.reader(io.StringIO(as_csv(f"<table><tr><td>{text}</td></tr></table>")))
        assert cell == (text if harmless else f"'{text}")

    def test_a_formula_that_excel_would_find_behind_a_semicolon_is_marked_as_text(self) -> None:
        cells = "a;=1+1", "-5; +49 30; ＝A1"  # noqa: RUF001
        html = "".join(f"<td>{cell}</td>" for cell in cells)
        (row,) = csv.reader(io.StringIO(as_csv(f"<table><tr>{html}</tr></table>")))
        assert row == ["a;'=1+1", "-5; +49 30;' ＝A1"]  # noqa: RUF001

    @pytest.mark.parametrize(
        ("html", "rows"),
        [
            ("", []),
            ("<table></table>", []),
            ("<td>a<td>b<tr><td>c", [["a", "b"], ["c", ""]]),
            ("<table><tr><td rowspan=9>a</td><td>b</td></tr></table>", [["a", "b"]]),
            ("<table><tr><td colspan=x>a</td><td>b</td></tr></table>", [["a", "b"]]),
            ("<tr><td rowspan=2>a<td>b</tr><tr><td colspan=2>c</tr>", [["a", "b", ""], ["a", "c", "c"]]),
            ("<tr><td>1<td rowspan=2>2</tr><tr><td colspan=2>3</tr>", [["1", "2"], ["3", "2"]]),
            ("<tr><td> a\n b&nbsp;c </td></tr>", [["a b c"]]),
        ],
    )
    def test_cells_lie_as_browsers_lay_them(self, html: str, rows: list[list[str]]) -> None:
        assert grid(html).texts() == rows

    @given(st.text(alphabet=st.sampled_from("<>/tdrhable =\"'0129colspanrow&;x"), max_size=80))
    def test_no_html_is_too_broken(self, html: str) -> None:
        found = grid(HTML[:-30] + html)
        assert all(len(row) == found.columns for row in found.texts())
        as_csv(html)

    def test_a_huge_span_costs_nothing(self) -> None:
        found = grid("<tr><td rowspan=1000000000 colspan=999999999>a</td></tr>")
        assert (found.rows, found.columns) == (1, 1000)

    @pytest.mark.parametrize(
        "html",
        [
            "<tr><td rowspan=1000 colspan=1000>a" * 2000,
            "<tr>" + "<td rowspan=1000 colspan=1000>a" * 2000,
            "<tr><td colspan=1000>a" + "<tr>" * 200_000,
            "<td>a" * 200_000,
        ],
    )
    def test_a_table_larger_than_any_page_takes_neither_memory_nor_time(self, html: str) -> None:
        with pytest.raises(ValueError, match="places"):
            grid(html)


class TestWords:
    def test_without_words_the_box_of_a_line_is_cut_by_the_share_of_characters(self) -> None:
        found = list(words(line(1, "ab cdef", box(0, 0, 70, 10))))
        assert [(each.text, each.box, each.is_spaced) for each in found] == [
            ("ab", box(0, 0, 20, 10), True),
            ("cdef", box(30, 0, 70, 10), False),
        ]

    def test_the_words_of_a_slanted_line_slant(self) -> None:
        (_, second) = words(line(1, "ab cd", ((10, 0), (60, 100), (50, 110), (0, 10))))
        assert second.box == ((40, 60), (60, 100), (50, 110), (30, 70))

    def test_a_line_from_right_to_left_begins_at_the_right(self) -> None:
        first, second = words(line(1, "שלום עולם", box(0, 0, 90, 10)))
        assert (first.text, first.box) == ("שלום", box(50, 0, 90, 10))
        assert (second.text, second.box) == ("עולם", box(0, 0, 40, 10))

    @pytest.mark.parametrize(("text", "left"), [("1 שלום abc def", 90), ("abc שלום עולם", 0), ("12 34", 0)])
    def test_the_first_letter_tells_at_which_side_a_line_begins(self, text: str, left: int) -> None:
        """As in the searchable PDF, by the rule of Unicode."""
        first, *_ = words(line(1, text, box(0, 0, 100, 10)))
        assert abs(first.box[0][0] - left) < 5

    @given(st.text(min_size=1, max_size=30))
    def test_words_and_spaces_are_the_line(self, text: str) -> None:
        found = words(line(1, text, box(0, 0, 100, 10)))
        joined = "".join(each.text + " " * each.is_spaced for each in found)
        assert joined == (" ".join(text.split()) or text)

    @pytest.mark.parametrize("told", [(), ("abc",), ("abc", "xyz"), ("def", "abc")])
    def test_words_that_do_not_say_what_the_line_says_take_nothing_from_it(
        self, told: tuple[str, ...], folder: Path
    ) -> None:
        spoken = [Word(text=text, box=box(0, 0, 9, 9), confidence=0.5) for text in told]
        found = list(words(line(1, "abc def", box(0, 0, 70, 10), spoken)))
        assert [(each.text, each.box) for each in found] == [
            ("abc", box(0, 0, 30, 10)),
            ("def", box(40, 0, 70, 10)),
        ]

    @pytest.mark.parametrize("space", [" ", "  ", "\u3000", "\u00a0"])
    def test_words_are_spaced_by_whatever_is_between_them(self, space: str) -> None:
        spoken = [Word(text=text, box=box(0, 0, 9, 9), confidence=0.5) for text in ("東京", "大", "阪")]
        found = words(line(1, f"東京{space}大阪", box(0, 0, 70, 10), spoken))
        assert [each.is_spaced for each in found] == [True, False, False]

    def test_lines_of_an_engine_without_layout_are_one_region(self, folder: Path) -> None:
        (body,) = written(FORMATS["alto"], [plain_page(1, "a", "b", "c")], folder).values()
        assert body.count(b"<TextBlock") == 1


def test_markdown_has_the_pages_with_text(folder: Path) -> None:
    (body,) = written(FORMATS["markdown"], pages(), folder).values()
    assert body.decode() == "# A title\n\npage 1\n\n# A title\n\npage 5\n"


def test_markdown_of_a_page_does_not_run_into_that_of_the_next(folder: Path) -> None:
    """A table ends with its page, and a line is not the heading that the next page would make of it."""
    texts = ("<table><tr><td>1</td></tr></table>", "a line", "---\nanother")
    document = [
        page.model_copy(update={"page": page.page.model_copy(update={"markdown": text})})
        for page, text in zip(map(plain_page, (1, 2, 3)), texts, strict=True)
    ]
    (body,) = written(FORMATS["markdown"], document, folder).values()
    found = [each.type for each in MarkdownIt("commonmark").parse(body.decode()) if each.level == 0]
    paragraph = ["paragraph_open", "paragraph_close"]
    assert found == ["html_block", *paragraph, "hr", *paragraph]
