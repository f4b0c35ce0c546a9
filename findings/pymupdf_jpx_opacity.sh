#!/usr/bin/env bash
# Guess: readers of PDF agree about a JPEG 2000 image whose file has an opacity channel: the PDF says by SMaskInData
#   whether that channel counts, and 0, the default, says that it does not (ISO 32000-1, 7.4.9 and table 89).
#
# Found (PyMuPDF 1.28.2, PDFium by pypdfium2 5.15.2): PyMuPDF always applies the channel. What it makes transparent
#   is the white of the page, with SMaskInData 0 and without the entry, with a colour space and without one. There
#   is no error and no warning. PDFium follows the entry: the black rectangle is there with 0 and is not with 1.
#
# Hurts: who renders pages with PyMuPDF before reading them. A producer that saves scans as RGBA and leaves the
#   channel at 0 or half makes pages that viewers show, and that are read as blank or pale.
#
# Output seen (the pixel in the middle of a black rectangle with opacity 0):
#   PyMuPDF 1.28.2, pypdfium2 5.15.2
#   no SMaskInData     PyMuPDF (255, 255, 255)   PDFium (0, 0, 0)
#   SMaskInData 0      PyMuPDF (255, 255, 255)   PDFium (0, 0, 0)
#   SMaskInData 1      PyMuPDF (255, 255, 255)   PDFium (255, 255, 255)
#   no colour space    PyMuPDF (255, 255, 255)   PDFium (0, 0, 0)
#   still so
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q pymupdf==1.28.2 pypdfium2==5.15.2 pillow==13.0.0
venv/bin/python - <<'PY'
import io
from importlib.metadata import version

import pymupdf
import pypdfium2
from PIL import Image

BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def scan():
    """A black rectangle on white; the opacity of all is 0."""
    image = Image.new("RGBA", (200, 100), (*WHITE, 0))
    image.paste((*BLACK, 0), (20, 20, 180, 80))
    file = io.BytesIO()
    image.save(file, "JPEG2000", irreversible=False)
    return file.getvalue()


def page(entries):
    image, content = scan(), b"q 200 0 0 100 0 0 cm /I Do Q"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/XObject/Subtype/Image/Width 200/Height 100/Filter/JPXDecode%s/Length %d>>stream\n%s\nendstream"
        % (entries, len(image), image),
    ]
    file, offsets = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer\n<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % len(file)
    return file + b"xref\n0 6\n0000000000 65535 f \n" + table + trailer


def middle(file):
    by_pymupdf = pymupdf.open(stream=file)[0].get_pixmap().pixel(100, 50)
    by_pdfium = pypdfium2.PdfDocument(file)[0].render().to_pil().convert("RGB").getpixel((100, 50))
    return by_pymupdf, by_pdfium


print(f"PyMuPDF {pymupdf.__version__}, pypdfium2 {version('pypdfium2')}")
RGB = b"/ColorSpace/DeviceRGB"
for name, entries, expected in (
    ("no SMaskInData", RGB, (WHITE, BLACK)),
    ("SMaskInData 0", RGB + b"/SMaskInData 0", (WHITE, BLACK)),
    ("SMaskInData 1", RGB + b"/SMaskInData 1", (WHITE, WHITE)),
    ("no colour space", b"", (WHITE, BLACK)),
):
    seen = middle(page(entries))
    print(f"{name:18} PyMuPDF {seen[0]!s:17} PDFium {seen[1]}")
    assert seen == expected, expected
print("still so")
PY
