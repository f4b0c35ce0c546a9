"""A PDF of an image file: its pictures as pages of their true size, with invisible text over them."""

from collections.abc import Callable, Iterable
from contextlib import closing
from typing import BinaryIO, Final

from PIL import Image

from consumer.child.rendering.frame import Affine
from consumer.child.rendering.image import ImageDocument, decoding, upright_turn
from consumer.child.textlayer.content import content, number
from consumer.child.textlayer.font import InvisibleFont
from consumer.child.textlayer.interface import Note, Original, Outcome
from consumer.child.textlayer.lines import page_lines
from consumer.child.textlayer.objects import NewFile, put_flate
from consumer.child.textlayer.pictures import Picture, picture
from consumer.domain.errors import PageError
from consumer.domain.page import POINTS_PER_INCH
from consumer.domain.result import PageResult

#: Of an image that does not say it: its boxes are then points of the page.
_USUAL_DPI: Final = POINTS_PER_INCH

#: Others are mistakes: programs write 0, 1 and 65535.
_LEAST_DPI, _MOST_DPI = 10.0, 10_000.0

#: Sides of a page that viewers accept (PDF 32000-1, annex C).
_LEAST_SIDE_PT, _MOST_SIDE_PT = 3.0, 14_400.0

#: Of a page whose picture cannot be decoded: A4.
_BLANK_PT: Final = (595.0, 842.0)

#: By the turn that makes a picture upright: the first four numbers of the matrix that lays it upright, of
#: size 1, on a page of size 1. The others bring it back onto the page.
_TURNED: Final = {
    None: (1, 0, 0, 1),
    Image.Transpose.FLIP_LEFT_RIGHT: (-1, 0, 0, 1),
    Image.Transpose.ROTATE_180: (-1, 0, 0, -1),
    Image.Transpose.FLIP_TOP_BOTTOM: (1, 0, 0, -1),
    Image.Transpose.TRANSPOSE: (0, -1, -1, 0),
    Image.Transpose.ROTATE_270: (0, -1, 1, 0),
    Image.Transpose.TRANSVERSE: (0, 1, 1, 0),
    Image.Transpose.ROTATE_90: (0, 1, -1, 0),
}


def make_pdf(
    original: Original, pages: Iterable[PageResult], output: BinaryIO, progress: Callable[[], None]
) -> Outcome:
    """Write a PDF of the frames of an image, with the text of each, to `output`.

    `pages`: all of the document, in order. Raises DocumentError if the source cannot be opened.
    """
    document = ImageDocument(*original)
    notes: list[Note] = []
    with closing(document):
        book = _Book(NewFile(output))
        for page in pages:
            try:
                image = document.frame(page.page.page_number)
                with decoding():
                    stored = picture(image, original.file, original.file_format)
                book.add(image, stored, page)
            except PageError as error:
                book.add_blank()
                notes.append(
                    Note(f"its page in the searchable PDF is blank: {error.message}", page.page.page_number)
                )
            progress()
        book.finish()
    return Outcome(written=True, notes=tuple(notes))


class _Book:
    """A PDF with a picture on each page."""

    def __init__(self, file: NewFile) -> None:
        self._file = file
        self._font = InvisibleFont()
        self._root, self._tree, self._font_number = (file.reserve() for _ in range(3))
        self._pages: list[int] = []

    def add(self, image: Image.Image, stored: Picture, result: PageResult) -> None:
        """Add a page with a picture, and with the text of the page if there is any."""
        a, b, c, d = _TURNED[upright_turn(image)]
        width, height = _size_pt(image, is_turned=b != 0)
        matrix = (a * width, b * height, c * width, d * height, (a + c < 0) * width, (b + d < 0) * height)
        drawn = f"q {' '.join(map(number, matrix))} cm /P Do Q\n"
        lines = list(page_lines(result, self._font.width))
        text = b""
        if lines:
            page = result.page
            x, y = width / (page.width_px or 1), height / (page.height_px or 1)
            text = content(lines, Affine(x, 0, 0, -y, 0, height), self._font, "T")
        self._put_page(
            width, height, f"/XObject<</P {self._put_picture(stored)} 0 R>>", drawn.encode() + text
        )

    def add_blank(self) -> None:
        """Add a page without a picture."""
        self._put_page(*_BLANK_PT, "", b"")

    def _put_picture(self, stored: Picture) -> int:
        space = stored.space
        if stored.profile:
            profile = self._file.reserve()
            put_flate(self._file, profile, f"/N {stored.components}", stored.profile)
            space = f"[/ICCBased {profile} 0 R]"
        picture_number = self._file.reserve()
        self._file.put(picture_number, f"{stored.entries}/ColorSpace{space}", stored.data)
        return picture_number

    def _put_page(self, width: float, height: float, resources: str, contents: bytes) -> None:
        page, stream = self._file.reserve(), self._file.reserve()
        put_flate(self._file, stream, "", contents)
        self._file.put(
            page,
            f"/Type/Page/Parent {self._tree} 0 R/MediaBox[0 0 {number(width)} {number(height)}]"
            f"/Resources<</Font<</T {self._font_number} 0 R>>{resources}>>/Contents {stream} 0 R",
        )
        self._pages.append(page)

    def finish(self) -> None:
        """Write what belongs to all pages."""
        self._font.put(self._file, self._font_number)
        kids = " ".join(f"{page} 0 R" for page in self._pages)
        self._file.put(self._tree, f"/Type/Pages/Count {len(self._pages)}/Kids[{kids}]")
        self._file.put(self._root, f"/Type/Catalog/Pages {self._tree} 0 R")
        self._file.finish(self._root)


def _size_pt(image: Image.Image, *, is_turned: bool) -> tuple[float, float]:
    """Width and height of a page that shows the image upright, as large as its resolution says."""
    x, y = image.info.get("dpi", (_USUAL_DPI, _USUAL_DPI))
    if not (_LEAST_DPI <= x <= _MOST_DPI and _LEAST_DPI <= y <= _MOST_DPI):
        x = y = _USUAL_DPI
    size = POINTS_PER_INCH * image.width / x, POINTS_PER_INCH * image.height / y
    shrunk = min(1.0, _MOST_SIDE_PT / max(size)) * max(1.0, _LEAST_SIDE_PT / min(size))
    width, height = (min(_MOST_SIDE_PT, side * shrunk) for side in size)
    return (height, width) if is_turned else (width, height)
