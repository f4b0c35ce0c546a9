"""Transparent pictures: the ground that shows their ink."""

import math
from typing import Final

from PIL import Image, ImageChops, ImageFilter, ImageStat

#: Greys to lay a picture on. White and black give the most contrast; on each of the others, black and white
#: ink show at once. None is in the middle of the scale, which recognisers take for zero: on 120, PP-OCRv6 ran
#: 80 % of green words together, and none on 100 and on 150.
_GROUNDS: Final = (255, 0, 170, 90)

#: Ink that differs from its ground by less is lost, by more is seen, and in between partly. (PP-OCRv6 reads
#: solid strokes from a difference of 20; thin ones are paler than their ink.)
_LOST_BELOW, _SEEN_ABOVE = 16, 64

#: The ground is chosen on a copy of about this size.
_SAMPLE_PIXELS: Final = 2_000_000

#: Pixels with less alpha than this show the ground.
_OPEN_BELOW_ALPHA: Final = 32

#: Ink has to differ from the ground, and not from other ink, if it is this near to it (pixels of the copy).
_NEAR_PX: Final = 4


def opaque(image: Image.Image) -> Image.Image:
    """The picture in RGB, laid on the grey that shows its ink best: white, unless ink would be lost on it.

    A picture in which nothing is visible is taken for one with a broken alpha channel: its colours are shown.
    """
    if image.mode == "La":
        # Pillow has no way from premultiplied grey to RGBA.
        image = image.convert("LA")
    if image.mode != "RGBA":
        image = image.convert("RGBA")
    least, most = image.getchannel("A").getextrema()
    if least == 255 or most == 0:
        return image.convert("RGB")
    ground = Image.new("RGB", image.size, (_ground(image),) * 3)
    ground.paste(image, mask=image)
    return ground


def _ground(image: Image.Image) -> int:
    """The first of the greys on which the least ink is lost, to whole percents."""
    sample = image.reduce(math.ceil(math.sqrt(image.width * image.height / _SAMPLE_PIXELS)))
    alpha = sample.getchannel("A")
    open_nearby = alpha.point(lambda value: 255 * (value < _OPEN_BELOW_ALPHA)).filter(
        ImageFilter.BoxBlur(_NEAR_PX)
    )
    ink = ImageChops.multiply(alpha, open_nearby)
    luminance = sample.convert("RGB").convert("L")
    amount = ImageStat.Stat(ink).sum[0] or 1

    def lost(ground: int) -> int:
        unseen = luminance.point([_lost(abs(value - ground)) for value in range(256)])
        return round(100 * ImageStat.Stat(ImageChops.multiply(ink, unseen)).sum[0] / amount)

    return min(_GROUNDS, key=lost)


def _lost(contrast: int) -> int:
    """How much of ink with this contrast to its ground is lost, 0 to 255."""
    share = (_SEEN_ABOVE - contrast) / (_SEEN_ABOVE - _LOST_BELOW)
    return round(255 * min(1, max(0, share)))
