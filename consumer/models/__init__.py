"""The model files of the engines: needed, fetched and present ones.

This package itself imports nothing heavy, so that commands and the doctor may ask it.
"""

from typing import TYPE_CHECKING, Literal

from consumer.models.model import Model

if TYPE_CHECKING:
    from consumer.models.config import Runtime


def of_ppstructure(
    pipeline: str | None, runtime: "Runtime | Literal['auto']", device: str, languages: str
) -> tuple[Model, ...]:
    """Return the models that PP-StructureV3 loads, by the settings of these names.

    Raises SettingsError if one of them is wrong.
    """
    # It imports PyYAML.
    from consumer.models.config import PipelineConfig

    # Without a choice the files are the same on a GPU.
    device = "cpu" if device == "auto" else device
    return PipelineConfig.load(pipeline, None if runtime == "auto" else runtime, device, languages).models
