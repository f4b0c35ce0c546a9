"""A rendered page on its way from the renderer to the engine."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class PageImage(BaseModel):
    """A page as pixels: rows of BGR bytes without padding in a file, in the frame of `geometry`.

    `dpi` is null for a page that is an image by itself. Whoever asked for it deletes the file.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    kind: Literal["image"] = "image"
    page_number: int = Field(ge=1)
    path: str
    width_px: int = Field(ge=1)
    height_px: int = Field(ge=1)
    scale: float = Field(gt=0, description="pixels per point; of an image: per own pixel")
    dpi: float | None
    downscaled: bool = Field(description="smaller than wanted, to keep within the page limit")
    render_s: float = Field(ge=0)
