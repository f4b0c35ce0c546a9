#!/usr/bin/env bash
# Guess: RapidOCR, given the name of a picture, reads it the same however its pixels are stored.
#
# Found (rapidocr 3.10.0): it takes the stored numbers for grey or for RGB. Of a palette PNG it reads the numbers of
#   the palette's entries as shades of grey: with 2 colours it finds nothing, with 16 colours it may lose a line. It
#   takes the four channels of a CMYK JPEG for RGB with opacity, and finds nothing. Of a 16-bit grey PNG it finds
#   nothing. Each is read in full after Pillow converted it. Nothing is raised or logged; the result is that of an
#   empty page.
#
# Hurts: who stores scans and screenshots small (PNG optimisers make palettes), and who takes JPEGs from print shops.
#   Just the smallest palettes, which clean black and white pages get, are the worst. Such a page counts as blank.
#
# Output seen:
#   rapidocr 3.10.0
#   rgb.png       RGB   2 lines   after conversion 2
#   palette2.png  P     0 lines   after conversion 2
#   palette16.png P     1 lines   after conversion 2
#   cmyk.jpg      CMYK  0 lines   after conversion 2
#   grey16.png    I;16  0 lines   after conversion 2
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
LINES = ["Please pay before Friday", "Total amount 118.40"]

page = Image.new("RGB", (700, 160), "white")
for row, line in enumerate(LINES):
    ImageDraw.Draw(page).text((30, 20 + 70 * row), line, fill="black", font=ImageFont.load_default(36))
page.save("rgb.png")
page.quantize(2).save("palette2.png")
page.quantize(16).save("palette16.png")
page.convert("CMYK").save("cmyk.jpg", quality=95)
Image.fromarray(np.asarray(page.convert("L")).astype(np.uint16) * 257).save("grey16.png")

read = RapidOCR()
print("rapidocr", version("rapidocr"))
for name, expected in (("rgb.png", 2), ("palette2.png", 0), ("palette16.png", 1), ("cmyk.jpg", 0), ("grey16.png", 0)):
    with Image.open(name) as image:
        mode = image.mode
        if mode == "I;16":
            plain = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
        else:
            plain = image.convert("RGB")
    as_it_is = list(read(name).txts or ())
    converted = list(read(np.asarray(plain)[:, :, ::-1]).txts or ())
    print(f"{name:13} {mode:5} {len(as_it_is)} lines   after conversion {len(converted)}")
    assert converted == LINES, converted
    assert len(as_it_is) == expected, as_it_is
print("still so")
PY
