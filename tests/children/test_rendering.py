"""Files as page images: the handler of render processes, in the test's own process."""

import math
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from PIL import ExifTags, Image, ImageChops, ImageColor
from PIL.TiffImagePlugin import AppendingTiffWriter

from consumer import protocol
from consumer.child.rendering.renderer import PageRenderer
from consumer.domain.errors import Code, DocumentError, PageError
from consumer.domain.formats import SNIFF_BYTES, sniff
from consumer.domain.page import PageImage

MAX_PAGE_PIXELS = 40_000
OPTIONS = protocol.RenderOptions(
    scale=2.0,
    max_page_pixels=MAX_PAGE_PIXELS,
    max_pages=5,
    open_documents=4,
    address_space_bytes=2**32,
    processor_s=60,
)
RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


class Rendering:
    """A file, opened by the handler."""

    def __init__(self, path: Path, image_path: Path) -> None:
        file_format = sniff(path.read_bytes()[:SNIFF_BYTES])
        assert file_format is not None
        self._path, self._format, self._image_path = str(path), file_format, image_path
        self._renderer = PageRenderer(OPTIONS)
        opened = self._renderer.handle(
            protocol.OpenDocument(path=self._path, format=self._format), lambda: None
        )
        assert isinstance(opened, protocol.DocumentOpened)
        self.page_count = opened.page_count

    def page(self, number: int = 1) -> tuple[PageImage, Image.Image]:
        """Render a page; the pixels as an RGB image."""
        request = protocol.RenderPage(
            path=self._path, format=self._format, page_number=number, image_path=str(self._image_path)
        )
        page = self._renderer.handle(request, lambda: None)
        assert isinstance(page, PageImage)
        size = (page.width_px, page.height_px)
        return page, Image.frombytes("RGB", size, self._image_path.read_bytes(), "raw", "BGR")

    def close(self) -> None:
        for document in self._renderer._documents.values():
            document.close()


@pytest.fixture
def render(tmp_path: Path) -> Iterator[Callable[[Path], Rendering]]:
    with ExitStack() as stack:

        def opened(path: Path) -> Rendering:
            return stack.enter_context(closing(Rendering(path, tmp_path / "page.bgr")))

        yield opened


Render = Callable[[Path], Rendering]


def turned_away(upright: Image.Image, orientation: int) -> Image.Image:
    """The image as it is stored with this orientation: by the inverse of the turn that makes it upright."""
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    return upright if orientation == 1 else upright.transpose(Image.Transpose(inverse[orientation]))


def quartered(side: int, mode: str = "RGB") -> Image.Image:
    """An upright image, 2 wide and 1 high: its upper left quarter is red, the others are green."""
    image = Image.new("RGB", (2 * side, side), GREEN)
    image.paste(RED, (0, 0, side, side // 2))
    return image.convert(mode)


def assert_upright(page: PageImage, pixels: Image.Image, side: int) -> None:
    assert page.width_px == pytest.approx(2 * page.height_px, abs=2)
    assert page.scale == pytest.approx(page.width_px / (2 * side), rel=0.01)
    for x, y, is_red in [(0.25, 0.25, True), (0.75, 0.25, False), (0.25, 0.75, False), (0.75, 0.75, False)]:
        red, green, blue = pixels.getpixel((int(x * page.width_px), int(y * page.height_px)))  # type: ignore[misc]
        assert (red > 200, green > 200, blue > 60) == (is_red, not is_red, False)


def save_turned(image: Image.Image, path: Path, orientation: int, **options: Any) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    turned_away(image, orientation).save(path, exif=exif, **options)


#: What Pillow maps into memory (RGBA, CMYK), reads by itself (RGB), and has read by libtiff.
TURNED_FILES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "JPEG": ("RGB", "page.jpg", {"quality": 95}),
    "PNG": ("RGB", "page.png", {}),
    "WebP": ("RGB", "page.webp", {"lossless": True}),
    "TIFF": ("RGB", "page.tif", {}),
    "TIFF, RGBA": ("RGBA", "page.tif", {}),
    "TIFF, CMYK": ("CMYK", "page.tif", {}),
    "TIFF, LZW": ("RGB", "page.tif", {"compression": "tiff_lzw"}),
}


@pytest.mark.parametrize("file", TURNED_FILES)
@pytest.mark.parametrize("side", [100, 380])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_upright_by_its_orientation_also_if_it_is_made_smaller(
    tmp_path: Path, render: Render, file: str, orientation: int, side: int
) -> None:
    mode, name, options = TURNED_FILES[file]
    save_turned(quartered(side, mode), tmp_path / name, orientation, **options)

    page, pixels = render(tmp_path / name).page()

    assert page.downscaled is (side == 380)
    assert page.width_px * page.height_px <= MAX_PAGE_PIXELS
    assert_upright(page, pixels, side)


@pytest.mark.parametrize("side", [100, 380])
def test_each_frame_is_turned_by_its_own_orientation_in_whatever_order_it_is_read(
    tmp_path: Path, render: Render, side: int
) -> None:
    orientations = [1, 6, 3, 8]
    with AppendingTiffWriter(tmp_path / "frames.tif", new=True) as frames:
        for orientation in orientations:
            tags = {ExifTags.Base.Orientation: orientation}
            turned_away(quartered(side), orientation).save(frames, format="TIFF", tiffinfo=tags)
            frames.newFrame()

    rendering = render(tmp_path / "frames.tif")

    assert rendering.page_count == len(orientations)
    for number in (2, 2, 1, 4, 3, 2):
        assert_upright(*rendering.page(number), side)


@pytest.mark.parametrize("name", ["page.jpg", "page.png", "page.webp"])
@pytest.mark.parametrize("side", [100, 380])
def test_broken_exif_costs_nothing(tmp_path: Path, render: Render, name: str, side: int) -> None:
    quartered(side).save(tmp_path / name, exif=b"Exif\0\0broken")

    assert_upright(*render(tmp_path / name).page(), side)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
@pytest.mark.parametrize("side", [50, 400])
def test_every_kind_of_pixels_becomes_dark_on_white(
    tmp_path: Path, render: Render, mode: str, side: int
) -> None:
    drawn = Image.new("L", (side, side), 255)
    drawn.paste(0, (0, 0, side // 2, side))
    if mode == "I;16":
        image = drawn.point(lambda value: value * 257, "I").convert("I;16")
    elif mode in ("LA", "RGBA"):
        # Black ink on nothing.
        image = Image.merge("LA", (Image.new("L", drawn.size, 0), drawn.point(lambda v: 255 - v)))
        image = image.convert(mode)
    else:
        image = drawn.convert(mode)
    image.save(tmp_path / "page.tif")

    page, pixels = render(tmp_path / "page.tif").page()

    dark = pixels.getpixel((page.width_px // 4, page.height_px // 2))
    light = pixels.getpixel((page.width_px * 3 // 4, page.height_px // 2))
    assert max(dark) < 30  # type: ignore[arg-type]
    assert min(light) > 225  # type: ignore[arg-type]


def strokes(side: int) -> Image.Image:
    """A mask of ink: lines across, two tenths of each pitch."""
    mask = Image.new("L", (side, side), 0)
    for top in range(side // 10, side, side // 5):
        mask.paste(255, (side // 10, top, side * 9 // 10, top + side // 25))
    return mask


def written(mask: Image.Image, *inks: tuple[int, int, int]) -> Image.Image:
    """Ink on a transparent ground; several inks are side by side. The ground has the colour of the first."""
    image = Image.new("RGB", mask.size, inks[0])
    for number, ink in enumerate(inks):
        image.paste(ink, (number * mask.width // len(inks), 0, mask.width, mask.height))
    image.paste(inks[0], mask=ImageChops.invert(mask))
    image.putalpha(mask)
    return image


def assert_shows(pixels: Image.Image, *, parts: int = 1) -> None:
    """Each part has ink that is far from the ground, and no ground lies in the middle of the scale.

    A recogniser takes that for zero, and then runs words together.
    """
    ground = pixels.convert("L").getpixel((1, 1))
    assert isinstance(ground, int)
    assert ground <= 100 or ground >= 150
    for part in range(parts):
        ink = pixels.convert("L").crop(
            (part * pixels.width // parts, 0, (part + 1) * pixels.width // parts, pixels.height)
        )
        low, high = ink.getextrema()
        assert max(ground - low, high - ground) >= 48


@pytest.mark.parametrize("ink", ["black", "white", "lightgrey", "grey", "yellow", "red"])
@pytest.mark.parametrize("side", [100, 390])
@pytest.mark.parametrize("name", ["page.png", "page.webp", "page.tif"])
def test_ink_of_any_colour_shows_on_a_transparent_ground(
    tmp_path: Path, render: Render, name: str, side: int, ink: str
) -> None:
    written(strokes(side), ImageColor.getrgb(ink)[:3]).save(tmp_path / name, lossless=True)

    assert_shows(render(tmp_path / name).page()[1])


@pytest.mark.parametrize("ink", [0, 255])
@pytest.mark.parametrize("side", [100, 390])
@pytest.mark.parametrize("kind", ["LA", "P", "colour of P", "colour of 1", "colour of L", "colour of RGB"])
def test_ink_shows_in_every_kind_of_transparency(
    tmp_path: Path, render: Render, kind: str, side: int, ink: int
) -> None:
    mask = strokes(side)
    if kind == "LA":
        written(mask, (ink,) * 3).convert("LA").save(tmp_path / "page.png")
    elif kind == "P":
        written(mask, (ink,) * 3).quantize(4).save(tmp_path / "page.png")
    else:
        mode, ground = kind.removeprefix("colour of "), 255 - ink
        image = mask.point(lambda value: ink if value else ground).convert(mode)
        image.save(tmp_path / "page.png", transparency=(ground,) * 3 if mode == "RGB" else ground)

    pixels = render(tmp_path / "page.png").page()[1]

    assert pixels.getpixel((1, 1)) == (255 - ink,) * 3
    assert_shows(pixels)


def test_a_transparent_colour_does_not_shine_through_where_an_image_is_made_smaller(
    tmp_path: Path, render: Render
) -> None:
    image = Image.new("RGB", (390, 390), GREEN)
    image.paste((0, 0, 0), mask=strokes(390))
    image.save(tmp_path / "page.png", transparency=GREEN)

    red, green, _ = render(tmp_path / "page.png").page()[1].split()

    assert ImageChops.difference(red, green).getextrema() == (0, 0)


@pytest.mark.parametrize("side", [100, 390])
def test_a_transparent_colour_of_sixteen_bits_is_transparent(
    tmp_path: Path, render: Render, side: int
) -> None:
    image = strokes(side).point(lambda value: 0 if value else 257, "I").convert("I;16")
    image.save(tmp_path / "page.png", transparency=257)

    pixels = render(tmp_path / "page.png").page()[1]

    assert pixels.getpixel((1, 1)) == WHITE
    assert_shows(pixels)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("side", [100, 390])
def test_ink_shows_also_if_it_is_stored_multiplied_with_its_alpha(
    tmp_path: Path, render: Render, mode: str, side: int
) -> None:
    stored = Image.merge(mode, [strokes(side)] * len(mode))
    stored.save(tmp_path / "page.tif")
    # The tag of extra samples (338), one short: unassociated alpha (2) becomes associated (1).
    tag = struct.pack("<HHII", 338, 3, 1, 2)
    tiff = (tmp_path / "page.tif").read_bytes()
    assert tiff.count(tag) == 1
    (tmp_path / "page.tif").write_bytes(tiff.replace(tag, struct.pack("<HHII", 338, 3, 1, 1)))

    assert_shows(render(tmp_path / "page.tif").page()[1])


@pytest.mark.parametrize(
    "inks",
    [
        ((0, 0, 0), (255, 255, 255)),
        ((255, 255, 255), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0)),
        ((255, 255, 255), (220, 0, 0), (0, 0, 200)),
        ((210, 210, 210), (30, 30, 30)),
    ],
    ids=["half and half", "little white", "three", "greys"],
)
@pytest.mark.parametrize("side", [200, 400])
def test_pale_and_dark_ink_show_on_the_same_ground(
    tmp_path: Path, render: Render, side: int, inks: tuple[tuple[int, int, int], ...]
) -> None:
    written(strokes(side), *inks).save(tmp_path / "page.png")

    assert_shows(render(tmp_path / "page.png").page()[1], parts=len(inks))


def test_dark_ink_beside_a_pale_label_shows(tmp_path: Path, render: Render) -> None:
    image = Image.new("RGBA", (200, 100), (0, 0, 0, 0))
    image.paste(WHITE, (10, 10, 90, 90))
    image.paste((0, 0, 0), (20, 40, 80, 44))
    image.paste((0, 0, 0), (110, 40, 190, 44))
    image.save(tmp_path / "page.png")

    assert_shows(render(tmp_path / "page.png").page()[1], parts=2)


def test_little_pale_ink_beside_a_large_dark_picture_shows(tmp_path: Path, render: Render) -> None:
    image = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
    image.paste((0, 0, 0), (5, 5, 195, 150))
    image.paste(WHITE, (50, 170, 75, 173))
    image.save(tmp_path / "page.png")

    pixels = render(tmp_path / "page.png").page()[1]

    assert_shows(pixels.crop((0, 155, 200, 200)))


def test_the_ground_is_white_if_ink_shows_on_it(tmp_path: Path, render: Render) -> None:
    written(strokes(100), (128, 128, 128)).save(tmp_path / "page.png")

    assert render(tmp_path / "page.png").page()[1].getpixel((1, 1)) == WHITE


@pytest.mark.parametrize("side", [100, 390])
def test_a_picture_in_which_nothing_is_visible_is_read_by_its_colours(
    tmp_path: Path, render: Render, side: int
) -> None:
    image = Image.new("RGB", (side, side), WHITE)
    image.paste((0, 0, 0), mask=strokes(side))
    image.putalpha(0)
    image.save(tmp_path / "page.png")

    assert_shows(render(tmp_path / "page.png").page()[1])


@pytest.mark.parametrize(("mode", "black", "white"), [("I;16", 0, 4095), ("F", -1.0, 1.0), ("I", 0, 100_000)])
def test_values_beyond_eight_bits_keep_black_and_white_apart(
    tmp_path: Path, render: Render, mode: str, black: float, white: float
) -> None:
    image = Image.new(mode, (50, 50), white)
    image.paste(black, (0, 0, 25, 50))
    image.save(tmp_path / "page.tif")

    page, pixels = render(tmp_path / "page.tif").page()

    assert pixels.getpixel((page.width_px // 4, 25))[0] < 30  # type: ignore[index]
    assert pixels.getpixel((page.width_px * 3 // 4, 25))[0] > 225  # type: ignore[index]


def test_an_image_of_infinite_pixels_is_unreadable_and_not_black(tmp_path: Path, render: Render) -> None:
    image = Image.new("F", (50, 50), 1.0)
    image.putpixel((7, 7), math.inf)
    image.save(tmp_path / "page.tif")

    with pytest.raises(PageError, match="no numbers"):
        render(tmp_path / "page.tif").page()


@pytest.mark.parametrize(
    "pages",
    [
        b"<</Type/Pages/Kids[3 0 R 4 0 R]/MediaBox[0 0 90 90]>>",
        b"<</Type/Pages/Kids 5 0 R/MediaBox[0 0 90 90]>>",
        b"<</Type/Pages/Kids[3 0 R 4 0 R 2 0 R 99999 0 R]/MediaBox[0 0 90 90]>>",
    ],
    ids=["direct", "by reference", "loop and nowhere"],
)
def test_the_pages_of_a_pdf_that_does_not_count_them_are_counted(
    tmp_path: Path, render: Render, pages: bytes
) -> None:
    page = b"<</Type/Page/Parent 2 0 R>>"
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", pages, page, page, b"[3 0 R 4 0 R]"]
    body = b"".join(b"%d 0 obj%bendobj\n" % (number, text) for number, text in enumerate(objects, start=1))
    (tmp_path / "uncounted.pdf").write_bytes(b"%PDF-1.7\n" + body + b"trailer<</Root 1 0 R/Size 6>>\n%%EOF\n")

    rendering = render(tmp_path / "uncounted.pdf")

    assert rendering.page_count == 2
    assert rendering.page(2)[0].width_px == 180


def test_a_tiff_cut_off_in_the_middle_loses_only_the_pages_behind_the_cut(
    tmp_path: Path, render: Render
) -> None:
    frames = [Image.effect_noise((100, 100), 50) for _ in range(3)]
    whole = tmp_path / "whole.tif"
    frames[0].save(whole, save_all=True, append_images=frames[1:])
    cut = tmp_path / "cut.tif"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])

    rendering = render(cut)

    assert 2 <= rendering.page_count <= 3
    assert rendering.page(1)[0].width_px == 100
    with pytest.raises(PageError) as caught:
        rendering.page(rendering.page_count)
    assert caught.value.code is Code.PAGE_UNREADABLE


def test_every_frame_is_a_page_and_too_many_are_refused(tmp_path: Path, render: Render) -> None:
    frames = [Image.new("L", (20, 20), value) for value in range(6)]
    frames[0].save(tmp_path / "five.tif", save_all=True, append_images=frames[1:5])
    frames[0].save(tmp_path / "six.tif", save_all=True, append_images=frames[1:])

    assert render(tmp_path / "five.tif").page_count == 5
    with pytest.raises(DocumentError) as caught:
        render(tmp_path / "six.tif")
    assert caught.value.code is Code.TOO_MANY_PAGES


def test_a_failure_does_not_reveal_the_paths_of_our_files(tmp_path: Path, render: Render) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\n%%EOF\n")

    with pytest.raises(DocumentError) as caught:
        render(tmp_path / "broken.pdf")

    assert caught.value.code is Code.CORRUPT_DOCUMENT
    assert str(tmp_path) not in caught.value.message


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_pdf_page_is_rendered_as_it_is_shown(tmp_path: Path, render: Render, turn: int) -> None:
    document = pymupdf.open()
    page = document.new_page(width=100, height=60)
    page.draw_rect(pymupdf.Rect(0, 0, 50, 30), fill=(1, 0, 0), color=None)
    page.set_rotation(turn)
    document.save(tmp_path / "page.pdf")

    rendered, pixels = render(tmp_path / "page.pdf").page()

    assert (rendered.scale, rendered.dpi) == (2.0, 144.0)
    assert pixels.size == ((200, 120) if turn in (0, 180) else (120, 200))
    corners = {0: (0.25, 0.25), 90: (0.75, 0.25), 180: (0.75, 0.75), 270: (0.25, 0.75)}
    x, y = corners[turn]
    assert pixels.getpixel((int(x * pixels.width), int(y * pixels.height))) == RED
    assert pixels.getpixel((int((1 - x) * pixels.width), int((1 - y) * pixels.height))) == WHITE


def test_a_page_over_the_limit_is_rendered_smaller(tmp_path: Path, render: Render) -> None:
    document = pymupdf.open()
    document.new_page(width=1000, height=500)
    document.save(tmp_path / "large.pdf")

    page, _ = render(tmp_path / "large.pdf").page()

    assert page.downscaled
    assert page.width_px * page.height_px <= MAX_PAGE_PIXELS * 1.02
    assert page.scale == pytest.approx(page.width_px / 1000, rel=0.01)


def pdf_page(
    path: Path,
    keys: str = "",
    inherited: str = "/MediaBox[0 0 100 60]",
    content: bytes = b"1 0 0 rg 0 0 50 30 re f",
    picture: bytes = b"",
) -> None:
    """A PDF of one page; unless told otherwise, the lower left quarter of (0, 0) to (100, 60) is red.

    `picture` is the data of a JPEG with the name /Picture.
    """
    image = b"/Subtype/Image/Width 8/Height 8/ColorSpace/DeviceGray/BitsPerComponent 8/Filter/DCTDecode"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[3 0 R]/Count 1{inherited}/Resources<</XObject<</Picture 5 0 R>>>>>>".encode(),
        f"<</Type/Page/Parent 2 0 R/Contents 4 0 R{keys}>>".encode(),
        b"<</Length %d>>stream\n%b\nendstream" % (len(content), content),
        b"<<%b/Length %d>>stream\n%b\nendstream" % (image, len(picture), picture),
    ]
    body = b"".join(b"%d 0 obj%bendobj\n" % (number, text) for number, text in enumerate(objects, start=1))
    path.write_bytes(b"%PDF-1.7\n" + body + b"trailer<</Root 1 0 R/Size 6>>\n%%EOF\n")


@pytest.mark.parametrize(
    "crop_box",
    [
        *("[900 900 950 950]", "[100 0 200 60]", "[99.5 0 200 60]"),
        *(
            "[0 0 0 0]",
            "[20 0 20 60]",
            "[50 30 50.5 30.5]",
            "[-1e30 -1e30 1e30 1e30]",
            "[/a/b/c/d]",
            "(none)",
        ),
    ],
)
@pytest.mark.parametrize("turn", [0, 90])
@pytest.mark.parametrize("place", ["page", "parent"])
def test_a_crop_box_that_shows_nothing_is_the_media_box(
    tmp_path: Path, render: Render, crop_box: str, turn: int, place: str
) -> None:
    crop, media = f"/CropBox{crop_box}", "/MediaBox[0 0 100 60]"
    keys = f"/Rotate {turn}"
    if place == "page":
        pdf_page(tmp_path / "page.pdf", keys + crop, media)
    else:
        pdf_page(tmp_path / "page.pdf", keys, media + crop)

    page, pixels = render(tmp_path / "page.pdf").page()

    assert (page.width_px, page.height_px) == ((120, 200) if turn else (200, 120))
    assert page.scale == 2.0
    # Below at the left; a quarter turn clockwise brings it up.
    assert pixels.getpixel((10, 10 if turn else page.height_px - 10)) == RED
    assert pixels.getpixel((page.width_px - 10, page.height_px // 2)) == WHITE


@pytest.mark.parametrize(
    ("keys", "inherited", "shown"),
    [
        ("/CropBox[-50 -50 80 40]", "/MediaBox[0 0 100 60]", ((160, 80), (10, 70), (150, 10))),
        ("/CropBox[20 10 80 40]", "/MediaBox[0 0 100 60]", ((120, 60), (10, 50), (110, 10))),
        ("/CropBox[80 40 20 10]", "/MediaBox[0 0 100 60]", ((120, 60), (10, 50), (110, 10))),
        ("", "/MediaBox[-20 -10 80 50]", ((200, 120), (50, 90), (10, 110))),
        ("/CropBox[300 300 400 400]", "/MediaBox[-20 -10 80 50]", ((200, 120), (50, 90), (10, 110))),
        ("/UserUnit 0.5/CropBox[900 900 950 950]", "/MediaBox[0 0 100 60]", ((100, 60), (5, 55), (95, 5))),
    ],
    ids=["partly outside", "inside", "corners swapped", "origin", "origin, missed", "user unit, missed"],
)
def test_a_page_shows_the_part_of_its_crop_box_within_its_media_box(
    tmp_path: Path, render: Render, keys: str, inherited: str, shown: tuple[tuple[int, int], ...]
) -> None:
    """`shown`: size of the image, a red pixel, a white one."""
    size, red, white = shown
    pdf_page(tmp_path / "page.pdf", keys, inherited)

    page, pixels = render(tmp_path / "page.pdf").page()

    assert (pixels.size, page.scale) == (size, 2.0)
    assert (pixels.getpixel(red), pixels.getpixel(white)) == (RED, WHITE)


@pytest.mark.parametrize("keys", ["/Rotate 45", "/Rotate 135", "/Rotate -60", "/UserUnit 0", "/UserUnit -1"])
def test_a_turn_or_unit_that_means_nothing_is_left_out(tmp_path: Path, render: Render, keys: str) -> None:
    pdf_page(tmp_path / "page.pdf", keys)

    _, pixels = render(tmp_path / "page.pdf").page()

    assert pixels.size == (200, 120)
    assert pixels.getpixel((10, 110)) == RED


DRAW_PICTURE = b"q 100 0 0 60 0 0 cm /Picture Do Q"


@pytest.mark.parametrize("content", [DRAW_PICTURE, b"/Missing Do"], ids=["damaged", "missing"])
def test_a_page_of_which_nothing_can_be_rendered_does_not_pass_for_a_blank_one(
    tmp_path: Path, render: Render, content: bytes
) -> None:
    pdf_page(tmp_path / "page.pdf", content=content, picture=b"no JPEG")

    with pytest.raises(PageError, match="nothing on the page") as caught:
        render(tmp_path / "page.pdf").page()
    assert caught.value.code is Code.PAGE_UNREADABLE


def test_a_page_that_is_damaged_in_part_is_rendered_and_so_is_a_blank_one_after_it(
    tmp_path: Path, render: Render
) -> None:
    pdf_page(tmp_path / "damaged.pdf", content=b"1 0 0 rg 0 0 50 30 re f /Missing Do")
    pdf_page(tmp_path / "blank.pdf", content=b"q Q")

    assert render(tmp_path / "damaged.pdf").page()[1].getpixel((10, 110)) == RED
    assert render(tmp_path / "blank.pdf").page()[1].getextrema() == ((255, 255),) * 3
