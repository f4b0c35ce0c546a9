"""Where on a PDF page its rendered pixels are."""

from typing import NamedTuple

import pymupdf

from consumer.domain.geometry import Point

#: MuPDF takes a narrower page for a broken one.
_MIN_SIDE_PT = 1


class Affine(NamedTuple):
    """The map from (x, y) to (a x + c y + e, b x + d y + f), the order of PDF's own matrices."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    def point(self, point: Point) -> Point:
        """Map a point."""
        x, y = self.vector(point)
        return Point(x + self.e, y + self.f)

    def vector(self, vector: Point) -> Point:
        """Map a difference of two points."""
        return Point(self.a * vector.x + self.c * vector.y, self.b * vector.x + self.d * vector.y)


class PageFrame(NamedTuple):
    """The part of a PDF page that is shown, in its user space, and how it is shown.

    `x1`, `y1`: its lower left corner; `x2`, `y2`: its upper right one. `rotation`: degrees clockwise, a
    multiple of 90 in [0, 360). `user_unit`: points per unit.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    rotation: int
    user_unit: float

    def from_pixels(self, scale: float) -> Affine:
        """Return the map to user space from pixels of the page, of which `scale` are a point."""
        unit = 1 / (scale * self.user_unit)
        match self.rotation:
            case 90:
                return Affine(0, unit, unit, 0, self.x1, self.y1)
            case 180:
                return Affine(-unit, 0, 0, unit, self.x2, self.y1)
            case 270:
                return Affine(0, -unit, -unit, 0, self.x2, self.y2)
        return Affine(unit, 0, 0, -unit, self.x1, self.y2)


def page_dictionary(page: pymupdf.Page) -> pymupdf.mupdf.PdfObj:
    """Return the dictionary of a page of a PDF."""
    return pymupdf.mupdf.pdf_page_from_fz_page(page.this).obj()


def page_frame(page: pymupdf.Page) -> PageFrame:
    """Return the frame that viewers show; MuPDF would take some broken values by their letter.

    The part of the CropBox within the MediaBox is shown (PDF 32000-1, 14.11.2), or else the MediaBox.
    A page is turned by a multiple of 90 degrees, or not at all. Its UserUnit is a positive number, or 1.
    """
    mupdf = pymupdf.mupdf
    dictionary = page_dictionary(page)

    def inherited(key: str) -> pymupdf.mupdf.PdfObj:
        return mupdf.pdf_dict_get_inheritable(dictionary, mupdf.pdf_new_name(key))

    shown = page.mediabox
    crop_box = inherited("CropBox")
    if crop_box.m_internal:
        within = pymupdf.Rect(mupdf.pdf_to_rect(crop_box)) & page.mediabox
        if min(within.width, within.height) >= _MIN_SIDE_PT:
            shown = within
    rotation = mupdf.pdf_to_int(inherited("Rotate")) % 360
    user_unit = mupdf.pdf_dict_get_real_default(dictionary, mupdf.pdf_new_name("UserUnit"), 1.0)
    return PageFrame(
        *(shown.x0, shown.y0, shown.x1, shown.y1),
        rotation=0 if rotation % 90 else rotation,
        user_unit=user_unit if user_unit > 0 else 1.0,
    )
