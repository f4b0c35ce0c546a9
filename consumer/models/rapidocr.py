"""The networks for text recognition that RapidOCR does not ship: their place, and RapidOCR's list of them."""

from dataclasses import dataclass
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any, Final

from consumer.domain.errors import SettingsError
from consumer.domain.languages import SHIPPED
from consumer.models.model import Model, Publisher, home

#: Name of the one file of a network, whatever its publisher calls it.
FILE: Final = "inference.onnx"


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as RapidOCR lists it. `sha256`: in hexadecimal digits."""

    url: str
    sha256: str


def recognition(languages: str) -> tuple[Model, ...]:
    """Return the network that reads a group of languages; none for the group that RapidOCR ships."""
    if languages == SHIPPED.name:
        return ()
    name = f"{languages}_PP-OCRv5_rec_mobile"
    return (
        Model(
            role="recognition",
            name=name,
            folder=home() / "rapidocr" / name,
            files=((FILE,),),
            publisher=Publisher.RAPIDOCR,
            is_onnx=True,
        ),
    )


def listed(name: str) -> Listed:
    """Return the installed RapidOCR's entry for a network; raises SettingsError if there is none."""
    import yaml

    # The package itself would load OpenCV.
    path = distribution("rapidocr").locate_file("rapidocr/default_models.yaml")
    content: Any = yaml.safe_load(Path(str(path)).read_text(encoding="utf-8"))
    try:
        # OpenVINO reads the same ONNX files as ONNX Runtime.
        entry = content["openvino"]["PP-OCRv5"]["rec"][name]
        return Listed(entry["model_dir"], entry["SHA256"])
    except (KeyError, TypeError) as error:
        raise SettingsError(
            f"rapidocr {version('rapidocr')} lists no {name}: install another version of it, or choose other "
            "BUCKET_OCR_LANGUAGES"
        ) from error
