"""The world around the service, in memory and in virtual time: one set for all tests.

`cloud`: S3, SQS and SNS, and the invariants of every effect on them. `network`: calls to them, which take
time and fail. `ports`: the cloud as one consumer sees it. `reading`: a renderer and a recognizer. `service`:
the service put together over all of these. `virtual_time`: the clock, event loops and processes.
"""

from pathlib import Path
from typing import Final

from consumer.domain.page import PageImage
from consumer.domain.result import Engine

BUCKET: Final = "inbox"
ENGINE: Final = Engine(name="fake", version="1", models={}, device="cpu", fingerprint="sha256:1")
NEWER_ENGINE: Final = ENGINE.model_copy(update={"version": "2", "fingerprint": "sha256:2"})

_CONFIDENCES: Final = {ENGINE.fingerprint: 0.9}


def confidence_of(fingerprint: str) -> float:
    """Confidence of all that an engine with this fingerprint reads."""
    return _CONFIDENCES.get(fingerprint, 0.8)


def page_image(page_number: int, path: Path) -> PageImage:
    """A page of 100 by 100 pixels, said to lie in this file."""
    return PageImage(
        page_number=page_number,
        path=str(path),
        width_px=100,
        height_px=100,
        scale=2.0,
        dpi=144.0,
        downscaled=False,
        render_s=0.1,
    )
