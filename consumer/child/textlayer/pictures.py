"""Pictures as streams of a PDF (PDF 32000-1, 8.9.5), unchanged where PDF has their format, else without loss.

img2pdf does the same for most files; it refuses transparency, WebP and two EXIF orientations.
"""

import io
import struct
from collections.abc import Mapping
from typing import BinaryIO, Final, NamedTuple

from PIL import Image, TiffImagePlugin

from consumer.child.rendering.image import rgb
from consumer.domain.formats import Format

#: Colour spaces by the number of components.
_SPACES: Final = {1: "/DeviceGray", 3: "/DeviceRGB", 4: "/DeviceCMYK"}

_ICC_SPACES: Final = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}

#: Tags of TIFF.
_STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_LENGTHS = 273, 278, 279

#: Components of PNG's colour types without alpha; 3 is that of palettes.
_PNG_COMPONENTS: Final = {0: 1, 2: 3, 3: 1}
_PNG_PALETTE: Final = 3

#: Of zlib, for pictures that must be packed anew: the default takes ten times as long and gains a tenth.
_LEVEL: Final = 1


class Picture(NamedTuple):
    """A picture as it is stored: its stream, the entries of its dictionary, and what its colours mean.

    `profile`: the ICC profile of its colours, if it has one, instead of the device's `space`.
    """

    data: bytes
    entries: str
    space: str
    components: int = 1
    profile: bytes = b""


def picture(image: Image.Image, file: BinaryIO, file_format: Format) -> Picture:
    """Return the picture of a page: `image`, which is a frame of the file."""
    if file_format is Format.JPEG:
        return _jpeg(image, _all(file))
    if file_format is Format.PNG and getattr(image, "n_frames", 1) == 1:
        chunks = _chunks(_all(file))
        if _is_plain(chunks):
            return _png(image, chunks)
    if image.mode == "1":
        return _bilevel(image)
    if image.mode not in ("L", "RGB") or image.has_transparency_data:
        image = rgb(image)
    packed = io.BytesIO()
    image.save(packed, "PNG", compress_level=_LEVEL, icc_profile=None)
    return _png(image, _chunks(packed.getvalue()))


def _all(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _jpeg(image: Image.Image, data: bytes) -> Picture:
    components = len(image.getbands())
    # The colours of CMYK are stored inverted: Adobe's programs do so, and Pillow takes it for granted.
    inverted = "/Decode[1 0 1 0 1 0 1 0]" if components == 4 else ""
    entries = f"{_head(*image.size, 8)}{inverted}/Filter/DCTDecode"
    return Picture(data, entries, _SPACES[components], components, _profile(image, components))


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """The chunks of a PNG by their names, those of one name joined."""
    chunks: dict[bytes, bytearray] = {}
    offset = 8
    while offset + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, offset)
        chunks.setdefault(name, bytearray()).extend(data[offset + 8 : offset + 8 + length])
        # A checksum follows.
        offset += 12 + length
    return {name: bytes(chunk) for name, chunk in chunks.items()}


def _is_plain(chunks: Mapping[bytes, bytes]) -> bool:
    """Whether PDF can show the rows of a PNG: they are not interlaced, and nothing is transparent."""
    kind, interlaced = chunks[b"IHDR"][9], chunks[b"IHDR"][12]
    return kind in _PNG_COMPONENTS and not interlaced and b"tRNS" not in chunks


def _png(image: Image.Image, chunks: Mapping[bytes, bytes]) -> Picture:
    """The packed rows of a PNG."""
    width, height, bits, kind = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    components = _PNG_COMPONENTS[kind]
    entries = (
        f"{_head(width, height, bits)}/Filter/FlateDecode"
        f"/DecodeParms<</Predictor 15/Colors {components}/BitsPerComponent {bits}/Columns {width}>>"
    )
    if kind == _PNG_PALETTE:
        colours = chunks[b"PLTE"]
        space = f"[/Indexed/DeviceRGB {len(colours) // 3 - 1}<{colours.hex()}>]"
        return Picture(chunks[b"IDAT"], entries, space)
    return Picture(chunks[b"IDAT"], entries, _SPACES[components], components, _profile(image, components))


def _bilevel(image: Image.Image) -> Picture:
    """A picture in black and white, packed like a fax (ITU-T T.6)."""
    packed = io.BytesIO()
    # All rows in one strip. Of a TIFF itself, Pillow would write the tags too, such as the order of its bits.
    image.copy().save(packed, "TIFF", compression="group4", tiffinfo={_ROWS_PER_STRIP: image.height})
    packed.seek(0)
    with TiffImagePlugin.TiffImageFile(packed) as tiff:
        (offset,), (length,) = tiff.tag_v2[_STRIP_OFFSETS], tiff.tag_v2[_STRIP_LENGTHS]
    # Pillow writes white as 1, which T.6 calls black.
    entries = (
        f"{_head(*image.size, 1)}/Filter/CCITTFaxDecode"
        f"/DecodeParms<</K -1/BlackIs1 true/Columns {image.width}/Rows {image.height}>>"
    )
    return Picture(packed.getvalue()[offset : offset + length], entries, "/DeviceGray")


def _head(width: int, height: int, bits: int) -> str:
    return f"/Type/XObject/Subtype/Image/Width {width}/Height {height}/BitsPerComponent {bits}"


def _profile(image: Image.Image, components: int) -> bytes:
    """The ICC profile of a picture (ISO 15076-1, 7.2), if it is one of as many components."""
    profile = image.info.get("icc_profile") or b""
    return profile if profile[16:20] == _ICC_SPACES[components] else b""
