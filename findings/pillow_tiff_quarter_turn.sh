#!/usr/bin/env bash
# Guess: Image.open(path) and Image.open(file object) give the same picture of the same TIFF.
#
# Found (Pillow 13.0.0): not for an uncompressed TIFF in grey, 16-bit grey, RGBA or CMYK whose orientation tag
#   asks for a quarter turn (5 to 8). Opened by name, its rows are cut at the height of the picture instead of
#   its width, and the result is then turned: the size is wrong and the picture is stripes. Opened from a file
#   object it is right, as is the same file with any compression. RGB and 1-bit pictures are right both ways,
#   and so are orientations 1 to 4. Nothing is raised or logged.
#
# Hurts: who reads scans by their name. Grey and CMYK pages that a scanner stored sideways come out as noise,
#   while the colour pages of the same scanner and any test that opens a stream are fine. OCR then finds no text.
#
# Output seen:
#   Pillow 13.0.0, stored 300 x 200
#   L      turned by tag: [5, 6, 7, 8] differ by name; size by name (300, 200), from a file (200, 300)
#   I;16   turned by tag: [5, 6, 7, 8] differ by name; size by name (300, 200), from a file (200, 300)
#   RGBA   turned by tag: [5, 6, 7, 8] differ by name; size by name (300, 200), from a file (200, 300)
#   CMYK   turned by tag: [5, 6, 7, 8] differ by name; size by name (300, 200), from a file (200, 300)
#   RGB    turned by tag: [] differ by name; size by name (200, 300), from a file (200, 300)
#   1      turned by tag: [] differ by name; size by name (200, 300), from a file (200, 300)
#   compressed, tags that differ by name: []
#   rows cut at the height: True
#   still so
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q pillow==13.0.0 numpy==2.4.6
venv/bin/python - <<'PY'
import numpy as np
from PIL import Image, __version__

WIDTH, HEIGHT = 300, 200
DAMAGED = ("L", "I;16", "RGBA", "CMYK")
TURN = {5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}
ramp = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)).astype(np.uint8)


def picture(mode):
    if mode == "I;16":
        return Image.fromarray(ramp.astype(np.uint16) * 100)
    grey = Image.fromarray(ramp)
    return grey.convert(mode) if mode in ("L", "1") else Image.merge(mode, [grey] * len(mode))


def both(mode, tag, compression=None):
    picture(mode).save("page.tif", compression=compression, tiffinfo={274: tag})
    with Image.open("page.tif") as image:
        by_name = image.copy()
    with open("page.tif", "rb") as file, Image.open(file) as image:
        from_file = image.copy()
    return by_name, from_file


def differ(mode, compression=None):
    pairs = {tag: both(mode, tag, compression) for tag in range(1, 9)}
    return [tag for tag, (a, b) in pairs.items() if not np.array_equal(np.asarray(a), np.asarray(b))]


print(f"Pillow {__version__}, stored {WIDTH} x {HEIGHT}")
for mode in (*DAMAGED, "RGB", "1"):
    tags = differ(mode)
    by_name, from_file = both(mode, 6)
    print(f"{mode:6} turned by tag: {tags} differ by name; size by name {by_name.size}, from a file {from_file.size}")
    assert tags == ([5, 6, 7, 8] if mode in DAMAGED else []), mode
    assert from_file.size == (HEIGHT, WIDTH)
    assert by_name.size == ((WIDTH, HEIGHT) if mode in DAMAGED else (HEIGHT, WIDTH))

compressed = differ("L", "tiff_lzw")
print("compressed, tags that differ by name:", compressed)
assert compressed == []

cut = True
for tag, turn in TURN.items():
    by_name, from_file = both("L", tag)
    turn = Image.Transpose[turn]
    assert np.array_equal(np.asarray(from_file), np.asarray(Image.fromarray(ramp).transpose(turn)))
    rows = Image.fromarray(ramp.reshape(WIDTH, HEIGHT))
    cut &= np.array_equal(np.asarray(by_name), np.asarray(rows.transpose(turn)))
print("rows cut at the height:", cut)
assert cut
print("still so")
PY
