"""The font of invisible text: widths and Unicode values, and a box for every letter.

A Type0 font over TrueType (PDF 32000-1, 9.7). Nothing is drawn with it, so its glyphs are boxes, one for each
width; readers take the rectangle of a letter from them. A letter has a code for each width in which the
document has it. So all letters of a line are shown by one operator and unstretched: readers break lines
between operators, and some measure gaps in the size of a font and forget that it is stretched.
Codes are given out as letters come, for any script. A library that writes fonts would be more than the six
tables of numbers (OpenType 1.9) that these are.
"""

import struct
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

import pymupdf

from consumer.child.textlayer.objects import ObjectSink, put_flate

#: An em has so many units. A box reaches from `DESCENT` below the base line to `ASCENT` above it: one em,
#: because readers that are not told so assume it.
_EM: Final = 1000
ASCENT, DESCENT = 0.8, 0.2
_TOP, _BOTTOM = round(_EM * ASCENT), -round(_EM * DESCENT)

#: Widths are multiples of this, and those of East Asian letters, of which there are many, of twice as much.
STEP: Final = 0.02

#: The widest glyph, in steps; OpenType could have one of 32 em.
_MOST_STEPS: Final = round(20 / STEP)

#: Codes have two bytes; 0 is the glyph for what is missing.
_MOST_CODES: Final = 0xFFFF

#: The rest is for letters that are new: a long book in Chinese has most of its letters in twenty widths.
_EXACT_CODES: Final = 50_000

_NAME: Final = "BucketOCR-Invisible"


class Glyph(NamedTuple):
    """A letter in a width, in steps."""

    letter: str
    steps: int


class InvisibleFont:
    """Codes for letters in the widths in which they are needed, and the font that explains them."""

    def __init__(self) -> None:
        # Helvetica, and by MuPDF's own substitutes most scripts.
        self._metrics = pymupdf.Font("helv")
        self._widths: dict[str, float] = {}
        self._codes: dict[Glyph, int] = {}
        #: The steps in which there is a code for a letter.
        self._steps: defaultdict[str, list[int]] = defaultdict(list)

    def width(self, letter: str) -> float:
        """Return the width in which a letter is usually printed, in em."""
        width = self._widths.get(letter)
        if width is None:
            # MuPDF substitutes no font for what is rare in East Asia.
            width = 1.0 if _is_wide(letter) else self._metrics.glyph_advance(ord(letter[0]))
            self._widths[letter] = width = max(STEP, width)
        return width

    def glyph(self, letter: str, width: float) -> tuple[int, float]:
        """Return the code for a letter in about this width (in em), and the width that it has.

        After 50,000 letters and widths, a letter has the nearest width that it has had. If there is no code
        left, it is 0, which is no letter: after 15,535 more letters.
        """
        step = 2 if _is_wide(letter) else 1
        glyph = Glyph(letter, min(_MOST_STEPS, max(1, step * round(width / STEP / step))))
        code, steps = self._codes.get(glyph), self._steps[letter]
        if code is None and steps and len(self._codes) >= _EXACT_CODES:
            glyph = Glyph(letter, min(steps, key=lambda each: abs(each - glyph.steps)))
            code = self._codes[glyph]
        if code is None:
            code = len(self._codes) + 1
            if code > _MOST_CODES:
                return 0, 1.0
            self._codes[glyph] = code
            steps.append(glyph.steps)
        return code, glyph.steps * STEP

    def put(self, sink: ObjectSink, number: int) -> None:
        """Write the font as object `number`, with all that belongs to it."""
        descendant, descriptor, program, glyphs, unicode = (sink.reserve() for _ in range(5))
        widths = [round(_EM * STEP * steps) for _, steps in self._codes]
        boxes = sorted({_EM, *widths})
        glyph_of = {width: number for number, width in enumerate(boxes, 1)}
        sink.put(
            number,
            f"/Type/Font/Subtype/Type0/BaseFont/{_NAME}/Encoding/Identity-H"
            f"/DescendantFonts[{descendant} 0 R]/ToUnicode {unicode} 0 R",
        )
        sink.put(
            descendant,
            f"/Type/Font/Subtype/CIDFontType2/BaseFont/{_NAME}"
            "/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>"
            f"/FontDescriptor {descriptor} 0 R/CIDToGIDMap {glyphs} 0 R"
            f"/DW {_EM}/W[1[{' '.join(map(str, widths))}]]",
        )
        sink.put(
            descriptor,
            f"/Type/FontDescriptor/FontName/{_NAME}/Flags 4/FontBBox[0 {_BOTTOM} {boxes[-1]} {_TOP}]"
            f"/ItalicAngle 0/Ascent {_TOP}/Descent {_BOTTOM}/CapHeight {_TOP}/StemV 80"
            f"/FontFile2 {program} 0 R",
        )
        data = _program(boxes)
        put_flate(sink, program, f"/Length1 {len(data)}", data)
        # The first glyph is that of what is missing.
        numbers = [0, *map(glyph_of.__getitem__, widths)]
        put_flate(sink, glyphs, "", struct.pack(f">{len(numbers)}H", *numbers))
        put_flate(sink, unicode, "", _to_unicode(letter for letter, _ in self._codes).encode())


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter[0]) in "WF"


def _to_unicode(letters: Iterable[str]) -> str:
    """The CMap from codes, numbered from 1, to letters (9.10.3); at most 100 to a section."""
    lines = [f"<{code:04x}><{letter.encode('utf-16-be').hex()}>" for code, letter in enumerate(letters, 1)]
    sections = [lines[start : start + 100] for start in range(0, len(lines), 100)]
    return "\n".join(
        (
            "/CIDInit/ProcSet findresource begin",
            "12 dict begin",
            "begincmap",
            "/CIDSystemInfo<</Registry(Adobe)/Ordering(UCS)/Supplement 0>>def",
            f"/CMapName/{_NAME} def",
            "/CMapType 2 def",
            "1 begincodespacerange\n<0000><ffff>\nendcodespacerange",
            *("\n".join((f"{len(section)} beginbfchar", *section, "endbfchar")) for section in sections),
            "endcmap",
            "CMapName currentdict/CMap defineresource pop",
            "end\nend",
        )
    )


def _program(widths: Sequence[int]) -> bytes:
    """The TrueType program: a glyph for what is missing, and one for each width."""
    glyphs = [_box(width) for width in (_EM, *widths)]
    offsets = [0, *accumulate(map(len, glyphs))]
    count, widest = len(glyphs), max(widths)
    tables = {
        b"glyf": b"".join(glyphs),
        b"head": struct.pack(
            ">IIIIHHqqhhhhHHhhh",
            *(0x10000, 0x10000),  # versions of the table and of the font
            0,  # a checksum of all, which readers of embedded fonts do not look at
            0x5F0F3CF5,  # the magic number
            3,  # flags: base line and side bearings are at 0
            _EM,
            *(0, 0),  # made and changed: in 1904, so that equal documents have equal bytes
            *(0, _BOTTOM, widest, _TOP),
            0,  # neither bold nor italic
            8,  # legible from so many pixels on
            2,  # from left to right
            1,  # offsets in `loca` have four bytes
            0,
        ),
        b"hhea": struct.pack(
            ">IhhhHhhhhhh8xhH", 0x10000, _TOP, _BOTTOM, 0, widest, 0, 0, widest, 1, 0, 0, 0, count
        ),
        b"hmtx": b"".join(struct.pack(">Hh", width, 0) for width in (_EM, *widths)),
        b"loca": struct.pack(f">{count + 1}I", *offsets),
        b"maxp": struct.pack(">IHHH4xH16x", 0x10000, count, 4, 1, 2),
    }
    return _assembled(tables)


def _box(width: int) -> bytes:
    """A glyph: one contour of four corners."""
    head = struct.pack(">hhhhhHH4B", 1, 0, _BOTTOM, width, _TOP, 3, 0, 1, 1, 1, 1)
    # Each corner as its distance from the one before.
    return head + struct.pack(">8h", 0, width, 0, -width, _BOTTOM, 0, _TOP - _BOTTOM, 0)


def _assembled(tables: Mapping[bytes, bytes]) -> bytes:
    """A font file of these tables, in the order of their names."""
    count = len(tables)
    power = count.bit_length() - 1
    directory = struct.pack(">IHHHH", 0x10000, count, 16 << power, power, 16 * count - (16 << power))
    offset = len(directory) + 16 * count
    body = b""
    for name, table in tables.items():
        directory += struct.pack(">4sIII", name, _checksum(table), offset + len(body), len(table))
        body += table + bytes(-len(table) % 4)
    return directory + body


def _checksum(table: bytes) -> int:
    padded = table + bytes(-len(table) % 4)
    numbers: tuple[int, ...] = struct.unpack(f">{len(padded) // 4}I", padded)
    return sum(numbers) & 0xFFFFFFFF
