"""Directions in which a line may be read, and the confidence at which one counts. The same for both engines.

A turn is the number of quarters by which text is turned clockwise.
"""

from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

Turn = Literal[0, 1, 2, 3]

#: A box has a direction of its own if its longer side is this many times the height of a line; others hold
#: about one character, which has that of the page.
ELONGATED: Final = 1.8

#: A high box that is less high than this times its width may also be one large character.
_SLENDER: Final = 4.0

#: A line that is read with less confidence is read in other directions too. Printed lines have 0.95 to 1.0,
#: upside-down ones 0.6 to 0.8.
DOUBTFUL: Final = 0.9

#: Another reading counts if it is at least this confident, and better by this much.
_CONVINCING: Final = 0.85
BETTER: Final = 0.1


def is_clearly_better(confidence: float, than: float) -> bool:
    """Whether a reading counts instead of a likelier one; a confidence that is no number is the lowest."""
    return confidence > max(_CONVINCING, than + BETTER)


def candidate_turns(widths_px: npt.NDArray[Any], heights_px: npt.NDArray[Any]) -> list[tuple[Turn, ...]]:
    """Return the turns in which each box may be read, the likeliest first."""
    short, long = np.minimum(widths_px, heights_px), np.maximum(widths_px, heights_px)
    elongated = long > ELONGATED * short
    # Single characters alone are as high as their longer side.
    line_px = float(np.median(short[elongated] if elongated.any() else long)) if len(long) else 0.0
    return [_turns(*size, line_px) for size in zip(widths_px, heights_px, strict=True)]


def _turns(width_px: float, height_px: float, line_px: float) -> tuple[Turn, ...]:
    if max(width_px, height_px) <= ELONGATED * max(min(width_px, height_px), line_px):
        return (0,)
    if width_px >= height_px:
        return (0, 2)
    return (1, 3) if height_px > _SLENDER * width_px else (0, 1, 3)
