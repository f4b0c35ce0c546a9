#!/usr/bin/env bash
# Guess: the more pixels a page has, the surer its one line of text is found, up to where memory ends.
#
# Found (rapidocr 3.10.0, its detector PP-OCRv6 small): a short line of 12 points (in Pillow's own typeface) alone on
#   a white A4 page is not found at 144, 200 or 300 dpi, neither with the default settings nor at full size. It is
#   found on the same page reduced to about 72 dpi. The line itself is not the cause: cut out of the page with some
#   paper round it, at full size, it is found, and of twelve such lines on a page all are found.
#
# Hurts: who reads covers, separators, forms with one entry, last pages with one line. They come out as blank, and a
#   higher resolution, which one tries first, makes it worse. A result without lines is no error.
#
# Output seen (lines found; "Invoice 2026-118", 12 points):
#   rapidocr 3.10.0
#   144 dpi: default 0, full size 0, x0.5 1, x0.4 1, cut out 1, of twelve 12
#   200 dpi: default 0, full size 0, x0.5 1, x0.4 1, cut out 1, of twelve 12
#   300 dpi: default 0, full size 0, x0.5 0, x0.4 0, cut out 1, of twelve 12
#   72 dpi, drawn so: 1
#   still so
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q rapidocr==3.10.0 onnxruntime==1.32.0 opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.6
venv/bin/python - <<'PY'
import logging
from importlib.metadata import version

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rapidocr import RapidOCR

logging.disable(logging.WARNING)
TEXT, POINTS = "Invoice 2026-118", 12


def page(dpi, lines):
    image = Image.new("RGB", (round(8.27 * dpi), round(11.69 * dpi)), "white")
    size = POINTS * dpi / 72
    for row in range(lines):
        at = (dpi, 0.3 * image.height + row * 1.6 * size)
        ImageDraw.Draw(image).text(at, TEXT, fill="black", font=ImageFont.load_default(size))
    return image


def found(reader, image):
    boxes = reader(np.asarray(image)[:, :, ::-1], use_cls=False, use_rec=False).boxes
    return 0 if boxes is None else len(boxes)


def reduced(image, scale):
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


by_default = RapidOCR()
# It neither reduces nor enlarges.
as_it_is = RapidOCR(params={"Global.max_side_len": 4000, "Det.limit_side_len": 32})
print("rapidocr", version("rapidocr"))
for dpi, expected in ((144, (0, 0, 1, 1)), (200, (0, 0, 1, 1)), (300, (0, 0, 0, 0))):
    alone = page(dpi, 1)
    middle = 0.3 * alone.height
    cut = alone.crop((round(0.8 * dpi), round(middle - 0.2 * dpi), round(3.5 * dpi), round(middle + 0.5 * dpi)))
    counts = (
        found(by_default, alone),
        found(as_it_is, alone),
        found(as_it_is, reduced(alone, 0.5)),
        found(as_it_is, reduced(alone, 0.4)),
    )
    cut_out, twelve = found(as_it_is, cut), found(as_it_is, page(dpi, 12))
    print(
        f"{dpi} dpi: default {counts[0]}, full size {counts[1]}, x0.5 {counts[2]}, x0.4 {counts[3]}, "
        f"cut out {cut_out}, of twelve {twelve}"
    )
    assert counts == expected
    assert (cut_out, twelve) == (1, 12)
coarse = found(as_it_is, page(72, 1))
print("72 dpi, drawn so:", coarse)
assert coarse == 1
print("still so")
PY
