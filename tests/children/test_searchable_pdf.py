"""Searchable PDFs, judged by programs that read PDF."""

import shutil
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pymupdf
import pypdfium2
import pytest

from consumer import protocol
from consumer.child.textlayer.font import STEP, InvisibleFont
from consumer.child.textlayer.interface import Note, Original, Outcome
from consumer.child.textlayer.lines import page_lines
from consumer.child.textlayer.own_text import OwnText
from consumer.child.textlayer.searchable import write_searchable_pdf
from consumer.domain.errors import Code, PageError
from consumer.domain.formats import Format
from consumer.domain.result import Detection, PageResult, Word, failed_page
from tests.children.searchable import readers
from tests.children.searchable.sheets import SCALE, Sheet, line, page_result, prose, sheets

OPTIONS = protocol.RenderOptions(
    scale=SCALE,
    max_page_pixels=40_000_000,
    max_pages=100,
    open_documents=1,
    address_space_bytes=2**33,
    processor_s=600,
)
SHEETS = sheets()

#: How far a word may be from where it was read, in pixels at 144 dpi.
TOLERANCE_PX = 3.0

#: What readers do by themselves: lines in an order of their own, …
OTHER_ORDER: Final = {
    # by rows, though the columns were written one after the other
    ("poppler", "two columns"),
    # by heights, which the end of a slanted line shares with the next one
    ("poppler", "small print askew by 2"),
    ("poppler", "print of 11 points askew by 2.5"),
    ("poppler", "small print askew by -1.5"),
    # from the lower edge of the page to the upper one
    ("pdfminer", "upside down"),
    # from left to right, if they begin at one height
    ("pdfminer", "running up"),
    ("poppler", "running up"),
    ("pdfium", "running down"),
    ("pdfium", "vertical Japanese"),
    ("pdfium", "vertical Japanese, turned"),
}
#: … letters from left to right, though the language runs to the left, …
NO_DIRECTION: Final = {
    ("pdfminer", "Hebrew"),
    ("pdfminer", "Hebrew with vowels"),
    ("pdfminer", "Hebrew with numbers"),
    ("pdfminer", "Hebrew in boxes that start at the right"),
    ("pdfminer", "Arabic"),
}
#: … and words cut where the foot of the line rises.
CUT_WORDS: Final = {
    ("poppler", "askew by 2, turned by 0"),
    ("poppler", "askew by -3, turned by 90"),
    ("poppler", "askew by 7, turned by 180"),
    ("poppler", "askew by 30, turned by 0"),
    ("pdfminer", "askew by 30, turned by 0"),
}

#: Spaces at numbers move to the other side of them.
MOVED_SPACES: Final = {("poppler", "Hebrew with numbers")}

READERS: Final[dict[str, readers.Reader]] = {
    "mupdf": readers.mupdf,
    "pdfium": readers.pdfium,
    "pdfminer": readers.pdfminer,
    "poppler": readers.poppler,
}


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "poppler" and shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed: it is in Debian's poppler-utils")
    return name


def searchable(source: Path, *pages: PageResult, file_format: Format = Format.PDF) -> tuple[Path, Outcome]:
    """The searchable PDF beside its source."""
    output = source.with_name(f"{source.name}.ocr.pdf")
    with source.open("rb") as file, output.open("wb") as written:
        original = Original(file, file_format, OPTIONS)
        return output, write_searchable_pdf(original, pages, written, lambda: None)


def of_sheet(sheet: Sheet, folder: Path) -> tuple[Path, Path]:
    """A sheet, and its searchable PDF."""
    source = sheet.write(folder / "sheet.pdf")
    output, outcome = searchable(source, sheet.result(source))
    assert outcome == Outcome(written=True, notes=())
    return source, output


def normalized(words: Iterable[str]) -> list[str]:
    """Words with the marks of each letter in one order."""
    return [unicodedata.normalize("NFC", word) for word in words]


def words_of(lines: Sequence[Detection]) -> list[str]:
    return [word for each in lines for word in each.text.split()]


@pytest.mark.parametrize("name", SHEETS)
def test_every_reader_finds_the_text_in_order(name: str, reader: str, tmp_path: Path) -> None:
    lines = SHEETS[name].lines
    _, output = of_sheet(SHEETS[name], tmp_path)
    if reader == "poppler":
        found = normalized(readers.pdftotext(output))
    else:
        found = normalized(word.text for word in READERS[reader](output))
    if (reader, name) in OTHER_ORDER:
        assert Counter(found) == Counter(words_of(lines))
    elif (reader, name) in NO_DIRECTION:
        # Numbers run to the right.
        assert sorted(normalized(map(as_seen, found))) == sorted(normalized(words_of(lines)))
    elif (reader, name) in CUT_WORDS | MOVED_SPACES:
        assert Counter("".join(found)) == Counter("".join(words_of(lines)))
    else:
        assert found == normalized(words_of(lines))


def as_seen(word: str) -> str:
    return word[::-1] if "\u0590" < word[0] < "\u0700" else word


@pytest.mark.parametrize("name", SHEETS)
def test_words_are_found_where_they_were_read(name: str, reader: str, tmp_path: Path) -> None:
    if (reader, name) in CUT_WORDS:
        pytest.skip("the reader cuts words of slanted lines: see `CUT_WORDS`")
    _, output = of_sheet(SHEETS[name], tmp_path)
    found = list(READERS[reader](output))
    is_seen = reader in ("pdfminer", "poppler")
    for word in (word for each in SHEETS[name].lines for word in each.words or ()):
        expected = readers.bounds(word.box)
        distances = [
            distance(each.box, expected)
            for each in found
            if normalized([as_seen(each.text) if is_seen else each.text]) == normalized([word.text])
        ]
        assert min(distances) <= TOLERANCE_PX, word


def distance(box: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(box, other, strict=True))


def test_there_are_enough_pages_and_words() -> None:
    assert len(SHEETS) >= 30
    assert len({(name, word) for name, sheet in SHEETS.items() for word in words_of(sheet.lines)}) >= 200


@pytest.mark.parametrize("name", SHEETS)
def test_pages_look_the_same_and_their_bytes_are_left(name: str, tmp_path: Path) -> None:
    source, output = of_sheet(SHEETS[name], tmp_path)
    assert output.read_bytes().startswith(source.read_bytes())
    assert pixels(output) == pixels(source)


def pixels(path: Path) -> list[bytes]:
    """All pages as MuPDF and PDFium draw them."""
    with pymupdf.open(path) as document, pypdfium2.PdfDocument(path) as other:
        drawn = [page.get_pixmap(dpi=144).samples for page in document]
        return drawn + [bytes(page.render(scale=SCALE).buffer) for page in other]


def test_what_is_added_is_small_and_says_what_it_is(tmp_path: Path) -> None:
    """PDF/A asks for an embedded font with widths and Unicode values, and for no transparency."""
    source, output = of_sheet(SHEETS["Japanese and Chinese"], tmp_path)
    added = output.read_bytes()[source.stat().st_size :]
    assert len(added) < 5_000
    assert b"/SMask" not in added
    assert b"/ExtGState" not in added
    with pymupdf.open(output) as document:
        ((number, kind, subtype, name, *_),) = document[0].get_fonts()
        assert (kind, subtype, name) == ("ttf", "Type0", "BucketOCR-Invisible")
        assert document.xref_get_key(number, "ToUnicode")[0] == "xref"
        program = pymupdf.Font(fontbuffer=document.extract_font(number)[3])
        assert (program.ascender, program.descender) == pytest.approx((0.8, -0.2))


def test_a_page_that_was_rendered_smaller_has_its_words_in_place(tmp_path: Path) -> None:
    read = prose((40, 45), height=20)
    source = Sheet([]).write(tmp_path / "plan.pdf")
    output, _ = searchable(source, page_result(read, 595, 842, scale=1.0))
    words = [word for each in read for word in each.words or ()]
    for reader in (readers.mupdf, readers.pdfium):
        for found, word in zip(reader(output), words, strict=True):
            expected = [SCALE * side for side in readers.bounds(word.box)]
            assert found.text == word.text
            assert distance(found.box, expected) <= TOLERANCE_PX


def test_letters_for_which_no_code_is_left_cost_no_other_its_own() -> None:
    """There are 65,535 codes."""
    font = InvisibleFont()
    first = font.glyph("a", 0.5)
    for number in range(0x10000):
        font.glyph(chr(0x10000 + number), 1.0)
    assert font.glyph("b", 0.5) == (0, 1.0)
    assert font.glyph("a", 0.5) == first


def test_metadata_and_attachments_stay(tmp_path: Path) -> None:
    source = tmp_path / "archive.pdf"
    with pymupdf.open() as document:
        document.new_page(width=300, height=200)
        document.set_xml_metadata("<x:xmpmeta xmlns:x='adobe:ns:meta/'>PDF/A-2b</x:xmpmeta>")
        document.embfile_add("invoice.xml", b"<invoice/>")
        # PyMuPDF sets this while it saves a PDF with attachments, whether it was so or not.
        document.xref_set_key(document.pdf_catalog(), "PageMode", "/UseNone")
        pymupdf.mupdf.pdf_save_document(
            pymupdf.mupdf.pdf_document_from_fz_document(document),
            str(source),
            pymupdf.mupdf.PdfWriteOptions(),
        )
    output, _ = searchable(source, page_result([line("A word", (20, 20))], 600, 400))
    with pymupdf.open(source) as before, pymupdf.open(output) as after:
        assert after.xref_object(after.pdf_catalog()) == before.xref_object(before.pdf_catalog())
        assert after.get_xml_metadata() == before.get_xml_metadata()
        assert after.embfile_get(0) == b"<invoice/>"
        assert after.metadata == before.metadata


def test_text_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    """A page with a text of its own, a field of a form, and a scanned part."""
    source = tmp_path / "mixed.pdf"
    with pymupdf.open() as document:
        page = document.new_page(width=595, height=842)
        page.insert_text((60, 100), "Printed by a program", fontsize=14)
        page.insert_text((60, 140), "Name:", fontsize=14)
        field = pymupdf.Widget()
        field.field_name, field.field_type = "name", pymupdf.PDF_WIDGET_TYPE_TEXT
        field.field_value, field.rect = "Ada Lovelace", pymupdf.Rect(120, 125, 300, 145)
        page.add_widget(field)
        page.set_rotation(90)
        document.save(source)
        width, height = (round(SCALE * side) for side in page.rect[2:])

    def read(text: str, x: float, y: float) -> Detection:
        """As the page is turned, its text runs down from the upper right corner."""
        length = round(SCALE * pymupdf.get_text_length(text, fontsize=14))
        right, top = round(width - SCALE * (y - 14)), round(SCALE * x)
        box = ((right, top), (right, top + length), (right - 36, top + length), (right - 36, top))
        return Detection(text=text, box=box, confidence=0.9, page_number=1)

    lines = [
        read("Printed by a program", 60, 100),
        read("Name: Ada Lovelace", 60, 140),
        read("Scanned below", 60, 300),
    ]
    output, _ = searchable(source, page_result(lines, width, height))
    found = Counter(word.text for word in readers.mupdf(output))
    assert found == Counter(["Printed", "by", "a", "program", "Name:", "Ada", "Lovelace", "Scanned", "below"])
    assert pixels(output) == pixels(source)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("CropBox", "[1000 1000 1500 1500]"),
        ("CropBox", "[0 0 0 0]"),
        ("CropBox", "[0 0 595 842]"),
        ("Rotate", "45"),
        ("UserUnit", "0"),
        ("UserUnit", "-2"),
    ],
)
def test_text_that_is_there_is_found_on_pages_with_broken_frames(
    key: str, value: str, tmp_path: Path
) -> None:
    """They are shown as if they had none."""
    source = tmp_path / "frame.pdf"
    with pymupdf.open() as document:
        page = document.new_page(width=595, height=842)
        page.insert_text((41, 62), "Total", fontsize=16)
        document.xref_set_key(page.xref, key, value)
        document.save(source)
    output, _ = searchable(source, page_result([line("Total", (80, 90))], 1190, 1684))
    assert output.read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    "text",
    ["a \u2067שלום\u2069 b", "\u2067", "\u202e", "שלום \u0378", "\u0301", "\x00\u2028\ufffe"],  # noqa: RUF001
    ids=ascii,
)
def test_a_line_of_strange_characters_costs_no_other_line(text: str, tmp_path: Path) -> None:
    strange = Detection(
        text=text, box=((80, 800), (400, 800), (400, 840), (80, 840)), confidence=0.5, page_number=1
    )
    _, output = of_sheet(Sheet([*prose(), strange]), tmp_path)
    found = [word.text for word in readers.pdfium(output)]
    assert found[: len(words_of(prose()))] == words_of(prose())


def test_a_long_book_keeps_all_of_its_letters() -> None:
    """Thousands of letters, each in many widths: there are 65,535 codes."""
    font = InvisibleFont()
    for steps in range(15, 45):
        for number in range(4000):
            code, width = font.glyph(chr(0x4E00 + number), 2 * steps * STEP)
            assert code
            # The nearest of those that there are after 50,000 codes.
            assert width == pytest.approx(2 * STEP * min(steps, 26.5), abs=1.1 * STEP)
    assert all(font.glyph(chr(0x3041 + number), 0.9) == (50_001 + number, 0.88) for number in range(80))


def test_words_beside_text_that_is_there_are_written(tmp_path: Path) -> None:
    source = tmp_path / "label.pdf"
    with pymupdf.open() as document:
        document.new_page(width=595, height=842).insert_text((41, 62), "Total", fontsize=16)
        document.save(source)
    read = [line("Total 12.50 €", (80, 90))]
    output, _ = searchable(source, page_result(read, 1190, 1684))
    assert Counter(word.text for word in readers.pdfium(output)) == Counter(["Total", "12.50", "€"])


def test_text_right_above_or_below_a_line_hides_none_of_it(tmp_path: Path) -> None:
    source = tmp_path / "form.pdf"
    with pymupdf.open() as document:
        page = document.new_page(width=595, height=842)
        for y in (62, 96):
            page.insert_text((41, y), "Printed by a program", fontsize=16)
        document.save(source)
    # Its box reaches a little into both.
    read = [line("Scanned between the two", (82, 124))]
    output, _ = searchable(source, page_result(read, 1190, 1684))
    found = Counter(word.text for word in readers.pdfium(output))
    assert found == Counter(2 * ["Printed", "by", "a", "program"] + words_of(read))


def test_a_space_goes_with_the_word_that_is_there(tmp_path: Path) -> None:
    source = tmp_path / "label.pdf"
    with pymupdf.open() as document:
        document.new_page(width=595, height=842).insert_text((41, 62), "Total", fontsize=16)
        document.save(source)
    ((axis, letters),) = page_lines(page_result([line("Total 12.50 €", (80, 90))], 1190, 1684), len)
    with pymupdf.open(source) as document:
        left = OwnText(document[0], SCALE).without(letters, axis)
    assert "".join(letter.text for letter in left) == "12.50 €"


def test_characters_without_spaces_are_one_word_however_far_apart(reader: str, tmp_path: Path) -> None:
    boxes = [((x, 100), (x + 30, 100), (x + 30, 140), (x, 140)) for x in (100, 160, 220)]
    words = tuple(Word(text=text, box=box, confidence=0.9) for text, box in zip("東京都", boxes, strict=True))
    whole = ((100, 100), (250, 100), (250, 140), (100, 140))
    read = Detection(text="東京都", box=whole, confidence=0.9, page_number=1, words=words)
    _, output = of_sheet(Sheet([read]), tmp_path)
    assert [word.text for word in READERS[reader](output)] == ["東京都"]


def test_a_document_that_has_all_of_its_text_stays_as_it_is(tmp_path: Path) -> None:
    """Also if the boxes of lines are so wide that the places of their words are estimated badly."""
    source = tmp_path / "born digital.pdf"
    with pymupdf.open() as document:
        document.new_page(width=595, height=842).insert_text((41, 62), "Page 1 of 3", fontsize=8)
        document.save(source)
    box = ((70, 100), (200, 100), (200, 130), (70, 130))
    read = Detection(text="Page 1 of 3", box=box, confidence=0.9, page_number=1)
    output, outcome = searchable(source, page_result([read], 1190, 1684))
    assert outcome.written
    assert output.read_bytes() == source.read_bytes()


def test_pages_that_share_everything_get_a_text_each(tmp_path: Path) -> None:
    """Contents and resources that two pages share, and a page that is in the document twice."""
    source = tmp_path / "shared.pdf"
    with pymupdf.open() as document:
        for _ in range(2):
            document.new_page(width=300, height=200)
        first, second = document[0], document[1]
        first.draw_rect((10, 10, 50, 50))
        for key in ("Contents", "Resources"):
            document.xref_set_key(second.xref, key, document.xref_get_key(first.xref, key)[1])
        root = document.xref_get_key(document.pdf_catalog(), "Pages")[1].split()[0]
        kids = f"[{first.xref} 0 R {second.xref} 0 R {first.xref} 0 R]"
        document.xref_set_key(int(root), "Kids", kids)
        document.xref_set_key(int(root), "Count", "3")
        document.save(source)
    read = [
        page_result([line(text, (20, top))], 600, 400, number)
        for number, (text, top) in enumerate((("one", 20), ("two", 20), ("three", 200)), 1)
    ]
    output, _ = searchable(source, *read)
    with pymupdf.open(output) as document:
        assert [page.get_text().split() for page in document] == [["one"], ["two"], ["one"]]
    assert pixels(output) == pixels(source)


def test_a_searchable_pdf_can_be_a_source(tmp_path: Path) -> None:
    sheet = Sheet([line("First", (80, 90))])
    _, output = of_sheet(sheet, tmp_path)
    again, _ = searchable(output, page_result([*sheet.lines, line("Second", (80, 200))], 1190, 1684))
    assert [word.text for word in readers.pdfium(again)] == ["Second", "First"]


def test_failed_and_flattened_pages_get_no_text(tmp_path: Path) -> None:
    source = Sheet(prose()).write(tmp_path / "sheet.pdf")
    whole = Sheet(prose()).result(source)
    flattened = whole.model_copy(update={"page": whole.page.model_copy(update={"flattened_image": "data:"})})
    for page in (failed_page(1, Code.ENGINE_TIMEOUT, "hung"), flattened):
        output, _ = searchable(source, page)
        assert output.read_bytes() == source.read_bytes()


def test_an_encrypted_pdf_stays_encrypted(tmp_path: Path) -> None:
    source = tmp_path / "encrypted.pdf"
    with pymupdf.open() as document:
        document.new_page(width=595, height=842)
        document.save(source, encryption=pymupdf.PDF_ENCRYPT_AES_256, owner_pw="owner", permissions=4)
    output, _ = searchable(source, page_result(prose(), 1190, 1684))
    assert output.read_bytes().startswith(source.read_bytes())
    assert [word.text for word in readers.pdfium(output)] == words_of(prose())
    with pymupdf.open(output) as document:
        assert document.metadata["encryption"]
        assert document.permissions == pymupdf.open(source).permissions


def test_a_damaged_pdf_is_written_anew(tmp_path: Path) -> None:
    source = Sheet(prose()).write(tmp_path / "sheet.pdf")
    data = source.read_bytes()
    source.write_bytes(data[: data.rindex(b"xref\n0")])
    output, outcome = searchable(source, Sheet(prose()).result(source))
    assert [note.message for note in outcome.notes] == [
        "the PDF is damaged: its searchable copy was written anew"
    ]
    assert [word.text for word in readers.pdfium(output)] == words_of(prose())


def test_of_a_pdf_that_is_too_damaged_it_is_said(tmp_path: Path) -> None:
    """An object that no page needs, but that cannot be written again."""
    source = Sheet(prose()).write(tmp_path / "sheet.pdf")
    data = source.read_bytes()
    source.write_bytes(data[: data.rindex(b"xref\n0")] + b"9 0 obj\n<<(x) 2>>\nendobj\n")
    with pytest.raises(PageError) as error:
        searchable(source, Sheet(prose()).result(source))
    assert error.value.message.startswith("the PDF is too damaged for a searchable copy")


def test_rubbish_before_the_pdf_stays(tmp_path: Path) -> None:
    source = Sheet(prose()).write(tmp_path / "sheet.pdf")
    source.write_bytes(b"HTTP/1.1 200 OK\r\n\r\n" + source.read_bytes())
    output, _ = searchable(source, Sheet(prose()).result(source))
    assert [word.text for word in readers.pdfium(output)] == words_of(prose())


@pytest.mark.parametrize("how", ["a field", "a field of a field", "certified"])
def test_a_signed_pdf_is_left_alone(how: str, tmp_path: Path) -> None:
    source = tmp_path / "signed.pdf"
    signature = "<</Type/Sig/Filter/Adobe.PPKLite/ByteRange[0 1 2 3]/Contents<00>>>"
    keys = {
        "a field": {"AcroForm": f"<</SigFlags 3/Fields[<</FT/Sig/T(s)/V {signature}>>]>>"},
        "a field of a field": {"AcroForm": f"<</Fields[<</T(a)/FT/Sig/Kids[<</T(s)/V {signature}>>]>>]>>"},
        "certified": {"Perms": f"<</DocMDP {signature}>>"},
    }
    with pymupdf.open() as document:
        document.new_page(width=595, height=842)
        for key, value in keys[how].items():
            document.xref_set_key(document.pdf_catalog(), key, value)
        document.save(source)
    output, outcome = searchable(source, page_result(prose(), 1190, 1684))
    assert outcome == Outcome(written=False, notes=(Note("the PDF is signed: it has no searchable copy"),))
    assert output.read_bytes() == b""


def test_a_form_that_could_be_signed_is_no_signed_one(tmp_path: Path) -> None:
    source = tmp_path / "form.pdf"
    with pymupdf.open() as document:
        document.new_page(width=595, height=842)
        document.xref_set_key(document.pdf_catalog(), "AcroForm", "<</Fields[<</FT/Sig/T(s)>>]>>")
        document.save(source)
    output, outcome = searchable(source, page_result(prose(), 1190, 1684))
    assert outcome.written
    assert [word.text for word in readers.pdfium(output)] == words_of(prose())


def test_progress_is_told_after_every_page(tmp_path: Path) -> None:
    source = tmp_path / "three.pdf"
    with pymupdf.open() as document:
        for _ in range(3):
            document.new_page(width=300, height=200)
        document.save(source)
    told: list[str] = []

    def pages() -> Iterator[PageResult]:
        for number in (1, 2, 3):
            told.append(f"page {number}")
            yield page_result([line("Word", (20, 20))], 600, 400, number)

    with source.open("rb") as file, (tmp_path / "output.pdf").open("wb") as output:
        original = Original(file, Format.PDF, OPTIONS)
        write_searchable_pdf(original, pages(), output, lambda: told.append("done"))
    assert told == ["page 1", "done", "page 2", "done", "page 3", "done"]
