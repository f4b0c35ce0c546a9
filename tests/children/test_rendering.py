"""Files as page images: the handler of render processes, in the test's own process."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pymupdf
import pytest
from PIL import ExifTags, Image

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


@pytest.mark.parametrize("side", [100, 380])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_upright_by_its_exif_orientation_also_if_it_is_made_smaller(
    tmp_path: Path, render: Render, orientation: int, side: int
) -> None:
    """Upright, its upper left quarter is red; it is 2 wide and 1 high."""
    upright = Image.new("RGB", (2 * side, side), GREEN)
    upright.paste(RED, (0, 0, side, side // 2))
    # A camera stores the inverse of the operation that turns the image upright.
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(inverse[orientation]))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored.save(tmp_path / "photo.jpg", exif=exif, quality=95)

    page, pixels = render(tmp_path / "photo.jpg").page()

    assert page.downscaled is (side == 380)
    assert page.width_px * page.height_px <= MAX_PAGE_PIXELS
    assert page.width_px == pytest.approx(2 * page.height_px, abs=2)
    red, green, blue = pixels.getpixel((page.width_px // 4, page.height_px // 4))  # type: ignore[misc]
    assert (red > 200, green < 60, blue < 60) == (True, True, True)
    assert pixels.getpixel((page.width_px * 3 // 4, page.height_px * 3 // 4))[0] < 60  # type: ignore[index]


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
