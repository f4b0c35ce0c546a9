#!/usr/bin/env bash
# Guess: a TIFF that PyMuPDF opens without an error is drawn right, or at least like its 8-bit twin.
#
# Found (PyMuPDF 1.28.2, and 2.0 with MuPDF 1.28.5): a 16-bit picture that was compressed (LZW or Deflate) with the
#   horizontal predictor (tag 317 is 2) is drawn wrong. The differences are summed byte by byte, without the carry
#   from the low byte to the high one. In a big-endian file white paper turns black from its second pixel. In a
#   little-endian one paper turns to a false shade wherever a sum carries. Without the predictor, and at 8 bits,
#   it is right. Pillow and tifffile read all of these files right. Nothing is raised, and no warning is kept.
#
# Hurts: who renders 16-bit scans for OCR or for a preview: image editors and scientific tools write LZW with a
#   predictor by choice, as it is smaller. The result is a black or a streaked page with no error to retry on. A
#   gradient is no test for it: a little-endian one is drawn right.
#
# Output seen (mean and greatest error, of 255):
#   PyMuPDF 1.28.2 (and the same five lines for 2.0)
#   8 bit, predictor 2, <: mean   0.0, greatest   0
#   16 bit, no predictor, <: mean   0.0, greatest   0
#   16 bit, no predictor, >: mean   0.0, greatest   0
#   16 bit, predictor 2, <: mean  10.5, greatest 255
#   16 bit, predictor 2, >: mean 243.1, greatest 255
#   still so
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >check.py <<'PY'
import io

import numpy as np
import pymupdf
import tifffile
from PIL import Image

# White paper with a black bar.
page = np.full((8, 256), 65535, np.uint16)
page[:, 100:110] = 0
eight = (page >> 8).astype(np.uint8)


def error(pixels, compression, predictor, order):
    file = io.BytesIO()
    tifffile.imwrite(
        file, pixels, photometric="minisblack", compression=compression, predictor=predictor, byteorder=order
    )
    data = file.getvalue()
    assert np.array_equal(tifffile.imread(io.BytesIO(data)), pixels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    pixmap = pymupdf.Pixmap(data)
    drawn = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.h, pixmap.w, -1)[..., 0]
    with pymupdf.open("tiff", data) as document:
        shown = document[0].get_pixmap(
            matrix=pymupdf.Matrix(256 / document[0].rect.width, 8 / document[0].rect.height), colorspace="gray"
        )
    assert np.array_equal(np.frombuffer(shown.samples, np.uint8).reshape(shown.h, shown.w), drawn)
    assert not pymupdf.TOOLS.mupdf_warnings()
    off = np.abs(drawn.astype(int) - eight)
    return off.mean(), off.max()


print("PyMuPDF", pymupdf.__version__)
for name, pixels, predictor, order, wrong in (
    ("8 bit, predictor 2", eight, 2, "<", None),
    ("16 bit, no predictor", page, None, "<", None),
    ("16 bit, no predictor", page, None, ">", None),
    ("16 bit, predictor 2", page, 2, "<", (5, 20)),
    ("16 bit, predictor 2", page, 2, ">", (200, 255)),
):
    results = {error(pixels, compression, predictor, order) for compression in ("lzw", "zlib")}
    assert len(results) == 1, "both compressions give the same"
    mean, most = results.pop()
    print(f"{name}, {order}: mean {mean:5.1f}, greatest {most:3}")
    assert (mean == 0) if wrong is None else (wrong[0] < mean < wrong[1]), name
PY
python3 -m venv venv
venv/bin/pip install -q tifffile==2026.3.3 imagecodecs==2026.3.6 pillow==13.0.0 numpy==2.4.6
for version in 1.28.2 2.0; do
    venv/bin/pip install -q "pymupdf==$version"
    venv/bin/python check.py
done
echo "still so"
