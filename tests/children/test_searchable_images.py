"""Searchable PDFs of images."""

import struct
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from PIL import ExifTags, Image, ImageChops, ImageCms, ImageStat, TiffImagePlugin

from consumer.child.rendering.image import ImageDocument
from consumer.domain.errors import Code
from consumer.domain.formats import Format, sniff
from consumer.domain.result import Detection, PageResult, failed_page
from tests.children.searchable import readers
from tests.children.searchable.sheets import page_result, prose
from tests.children.test_rendering import turned_away
from tests.children.test_searchable_pdf import OPTIONS, TOLERANCE_PX, distance, searchable, words_of


def picture(width: int = 120, height: int = 80) -> Image.Image:
    """A picture whose pixels differ, and which no turn leaves as it is."""
    red = Image.linear_gradient("L").resize((width, height))
    green = Image.linear_gradient("L").rotate(90).resize((width, height))
    return Image.merge("RGB", (red, green, Image.new("L", (width, height), 60)))


def pdf_of(path: Path, *pages: PageResult) -> Path:
    """The PDF of an image; without results, it has as many pages as the image has frames, and no text."""
    file_format = sniff(path.read_bytes())
    assert file_format is not None
    with closing(ImageDocument(path.open("rb"), file_format, OPTIONS)) as document:
        numbers = range(1, document.page_count + 1)
    given = pages or [page_result([], 1, 1, number, 1.0) for number in numbers]
    output, outcome = searchable(path, *given, file_format=file_format)
    assert outcome.written
    return output


def drawn(path: Path, number: int = 0, size: tuple[int, int] | None = None) -> Image.Image:
    """A page as MuPDF draws it, at 72 dpi or at this size."""
    with pymupdf.open(path) as document:
        page = document[number]
        scale = size[0] / page.rect.width if size else 1.0
        pixels = page.get_pixmap(matrix=pymupdf.Matrix(scale, scale))
        return Image.frombytes("RGB", (pixels.width, pixels.height), pixels.samples)


def stored(path: Path, number: int = 0) -> Image.Image:
    """The picture in a page, decoded."""
    with pymupdf.open(path) as document:
        pixels = pymupdf.Pixmap(pymupdf.csRGB, pymupdf.Pixmap(document, document[number].get_images()[0][0]))
        return Image.frombytes("RGB", (pixels.width, pixels.height), pixels.samples)


def assert_same(image: Image.Image, other: Image.Image, most: int = 0) -> None:
    assert image.size == other.size
    extrema: Any = ImageChops.difference(image, other).getextrema()
    assert max(high for _, high in extrema) <= most


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_keeps_its_bytes_and_is_shown_upright(orientation: int, tmp_path: Path) -> None:
    upright = picture()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "photo.jpg"
    turned_away(upright, orientation).save(path, exif=exif, quality=100, subsampling=0)
    output = pdf_of(path)
    with pymupdf.open(output) as document:
        assert document.xref_stream_raw(document[0].get_images()[0][0]) == path.read_bytes()
    assert_same(drawn(output), upright, most=8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_words_are_found_on_a_turned_photo(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "photo.jpg"
    turned_away(Image.new("RGB", (1190, 1000)), orientation).save(path, exif=exif, dpi=(144, 144))
    assert_found(pdf_of(path, page_result(prose(), 1190, 1000, scale=1.0)), prose())


def assert_found(path: Path, lines: Sequence[Any]) -> None:
    """All words are in order, and near their boxes, which are pixels at 144 dpi."""
    for reader in (readers.mupdf, readers.pdfium, readers.pdfminer):
        found = reader(path)
        assert [word.text for word in found] == words_of(lines)
        placed = [word for each in lines for word in each.words]
        for word, expected in zip(found, placed, strict=True):
            assert distance(word.box, readers.bounds(expected.box)) <= TOLERANCE_PX


def test_words_are_found_where_pixels_are_not_square(tmp_path: Path) -> None:
    """A fax of 204 x 98 dpi."""
    path = tmp_path / "fax.tiff"
    Image.new("1", (1728, 1100), 1).save(path, dpi=(204, 98), compression="group4")
    output = pdf_of(path, page_result(prose(), 1728, 1100, scale=1.0))
    x, y = 144 / 204, 144 / 98
    for reader in (readers.mupdf, readers.pdfium):
        found = reader(output)
        assert [word.text for word in found] == words_of(prose())
        for word, expected in zip(
            found, (word for each in prose() for word in each.words or ()), strict=True
        ):
            left, top, right, bottom = readers.bounds(expected.box)
            assert distance(word.box, (x * left, y * top, x * right, y * bottom)) <= TOLERANCE_PX


@pytest.mark.parametrize(
    ("dpi", "points"),
    [((300, 300), (28.8, 19.2)), (None, (120.0, 80.0)), ((1, 1), (120, 80)), ((144, 72), (60, 80))],
)
def test_a_page_has_the_size_that_the_image_tells(
    dpi: tuple[int, int] | None, points: tuple[float, float], tmp_path: Path
) -> None:
    path = tmp_path / "image.png"
    picture().save(path, **(dict[str, Any](dpi=dpi) if dpi else {}))
    with pymupdf.open(pdf_of(path)) as document:
        assert tuple(document[0].rect[2:]) == pytest.approx(points, abs=0.02)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_fax_that_was_scanned_lying_has_its_true_proportions(orientation: int, tmp_path: Path) -> None:
    """The resolutions of a TIFF are those of its rows and columns as they are stored."""
    path = tmp_path / "fax.tiff"
    Image.new("1", (1200, 600), 1).save(
        path, dpi=(200, 100), tiffinfo={ExifTags.Base.Orientation: orientation}
    )
    with pymupdf.open(pdf_of(path)) as document:
        assert tuple(document[0].rect[2:]) == pytest.approx((432, 432), abs=0.02)
    path = tmp_path / "fax 2.tiff"
    Image.new("1", (600, 600), 1).save(
        path, dpi=(200, 100), tiffinfo={ExifTags.Base.Orientation: orientation}
    )
    with pymupdf.open(pdf_of(path)) as document:
        expected = (216, 432) if orientation < 5 else (432, 216)
        assert tuple(document[0].rect[2:]) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("size", "points"), [((20_000, 100), (14_400, 72)), ((100, 20_000), (72, 14_400))])
def test_no_page_is_larger_than_viewers_show(
    size: tuple[int, int], points: tuple[float, float], tmp_path: Path
) -> None:
    path = tmp_path / "plan.png"
    Image.new("L", size, 255).save(path)
    with pymupdf.open(pdf_of(path)) as document:
        assert tuple(document[0].rect[2:]) == pytest.approx(points)


PALETTE = picture().quantize(32)
GREY = picture().convert("L")
KINDS = {
    "colour": (picture(), "PNG"),
    "grey": (GREY, "PNG"),
    "palette": (PALETTE, "PNG"),
    "black and white": (GREY.convert("1"), "PNG"),
    "fax": (GREY.convert("1"), "TIFF"),
    "16 bits": (GREY.convert("I;16").point(lambda value: value * 257), "PNG"),
    "tiff": (picture(), "TIFF"),
    "bmp": (picture(), "BMP"),
    "webp": (picture(), "WEBP"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_stored_without_loss(kind: str, tmp_path: Path) -> None:
    image, name = KINDS[kind]
    path = tmp_path / "picture"
    image.save(path, name, **({"lossless": True} if name == "WEBP" else {}))
    eight_bits = GREY if kind == "16 bits" else image
    assert_same(stored(pdf_of(path)), eight_bits.convert("RGB"))


def test_a_fax_whose_bits_are_stored_the_other_way_round_is_shown_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "fax.tiff"
    image = GREY.convert("1")
    image.save(path, compression="group4", tiffinfo={TiffImagePlugin.FILLORDER: 2})
    assert_same(stored(pdf_of(path)), image.convert("RGB"))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "palette"])
def test_a_transparent_picture_is_laid_on_the_ground_that_was_read(mode: str, tmp_path: Path) -> None:
    image = picture().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    path = tmp_path / "picture.png"
    if mode == "palette":
        PALETTE.save(path, transparency=3)
    else:
        image.convert(mode).save(path)
    with closing(ImageDocument(path.open("rb"), Format.PNG, OPTIONS)) as document:
        assert_same(stored(pdf_of(path)), document.render(1)[0])


def test_the_packed_rows_of_a_png_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    picture(1200, 800).save(path, optimize=True)
    assert pdf_of(path).stat().st_size < path.stat().st_size + 3_000


def test_an_interlaced_png_is_packed_anew(tmp_path: Path) -> None:
    """Two pixels, one in the first and one in the sixth pass; Pillow writes none of them."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 1)
    rows = zlib.compress(b"\0\xff" + b"\0\x40")
    path = tmp_path / "dots.png"
    chunks = chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    shown = stored(pdf_of(path))
    assert [shown.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (64, 64, 64)]


def test_a_cmyk_photo_is_no_negative(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    picture().convert("CMYK").save(path, quality=100)
    with Image.open(path) as image:
        shown = image.convert("RGB")
    pdf = drawn(pdf_of(path))
    # Pillow and MuPDF convert colours each in their own way.
    assert unlikeness(pdf, shown) < unlikeness(pdf, ImageChops.invert(shown)) / 3


def unlikeness(image: Image.Image, other: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(image, other)).mean)


def test_the_meaning_of_colours_is_kept(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / "photo.jpg"
    picture().save(path, icc_profile=profile)
    with pymupdf.open(pdf_of(path)) as document:
        number = document[0].get_images()[0][0]
        kind, space = document.xref_get_key(number, "ColorSpace")
        assert (kind, space[:9]) == ("array", "[/ICCBase")
        assert document.xref_stream(int(space.split()[1])) == profile
    path = tmp_path / "grey.jpg"
    GREY.save(path, icc_profile=profile)
    with pymupdf.open(pdf_of(path)) as document:
        assert document.xref_get_key(document[0].get_images()[0][0], "ColorSpace")[1] == "/DeviceGray"


def test_every_frame_of_a_tiff_is_a_page_with_its_text(tmp_path: Path) -> None:
    path = tmp_path / "scans.tiff"
    frames = [Image.new("1", (1190, 1684), 1), picture(1190, 1684), GREY.resize((1000, 500))]
    frames[0].save(path, save_all=True, append_images=frames[1:], dpi=(144, 144), compression="tiff_lzw")
    words = (["first"], ["second"], ["third"])
    pages = [
        page_result([read(word[0], number)], *frame.size, number, 1.0)
        for number, (word, frame) in enumerate(zip(words, frames, strict=True), 1)
    ]
    output = pdf_of(path, *pages)
    with pymupdf.open(output) as document:
        assert [page.get_text().split() for page in document] == list(words)
    for number, frame in enumerate(frames):
        assert_same(stored(output, number), frame.convert("RGB"))


def read(text: str, number: int = 1) -> Detection:
    box = ((20, 20), (100, 20), (100, 60), (20, 60))
    return Detection(text=text, box=box, confidence=0.9, page_number=number)


def test_a_frame_that_cannot_be_decoded_is_a_blank_page(tmp_path: Path) -> None:
    path = tmp_path / "scans.tiff"
    picture().save(path, save_all=True, append_images=[picture()], compression="tiff_deflate")
    with Image.open(path) as image:
        image.seek(1)
        (offset, *_), (length, *_) = image.tag_v2[273], image.tag_v2[279]  # type: ignore[attr-defined]
    data = bytearray(path.read_bytes())
    data[offset : offset + length] = bytes(length)
    path.write_bytes(data)
    pages = (page_result([read("first")], 120, 80, 1, 1.0), failed_page(2, Code.PAGE_UNREADABLE, "broken"))
    output, outcome = searchable(path, *pages, file_format=Format.TIFF)
    assert [note.page_number for note in outcome.notes] == [2]
    with pymupdf.open(output) as document:
        assert [page.get_text().split() for page in document] == [["first"], []]


def test_a_page_that_was_read_smaller_has_its_words_in_place(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("L", (2380, 3368), 255).save(path, dpi=(288, 288))
    assert_found(pdf_of(path, page_result(prose(), 1190, 1684, scale=0.5)), prose())


def test_a_depth_map_in_a_photo_is_no_page(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    picture().save(path, "MPO", save_all=True, append_images=[GREY.convert("RGB")])
    with pymupdf.open(pdf_of(path)) as document:
        assert document.page_count == 1
