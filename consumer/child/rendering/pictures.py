"""The handler of a process that renders pages for people: as WebP, no larger than a screen can show."""

import io
from typing import Final

from PIL import Image

from consumer.child.rendering import renderer
from consumer.domain.page import SHOWN_PIXELS, plan_page

#: Text stays sharp; a page of print takes about 100 kB.
_QUALITY: Final = 60

#: From 0, fast, to 6, small.
_EFFORT: Final = 2


def build(options_json: str) -> renderer.LimitedRenderer:
    """Build the handler from the JSON of its `RenderOptions`."""
    return renderer.build(options_json, encode_picture)


def encode_picture(image: Image.Image) -> bytes:
    """Make a picture of a page."""
    plan = plan_page(*image.size, 1.0, SHOWN_PIXELS)
    if plan.downscaled:
        image = image.resize((plan.width_px, plan.height_px), Image.Resampling.BOX, reducing_gap=2.0)
    picture = io.BytesIO()
    image.save(picture, "WEBP", quality=_QUALITY, method=_EFFORT)
    return picture.getvalue()
