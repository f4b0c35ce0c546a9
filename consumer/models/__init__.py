"""The model files of PP-StructureV3: configured, fetched and present ones.

This package itself imports nothing heavy, so that commands and the doctor may ask it.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from consumer.domain.errors import SettingsError

if TYPE_CHECKING:
    from consumer.models.config import Model, Runtime


def configured(
    pipeline: str | None, runtime: "Runtime | Literal['auto']", device: str, package: str = "yaml"
) -> "tuple[Model, ...]":
    """Return the models that the settings `pipeline_config`, `engine_runtime` and `device` ask for.

    `package`: the one that the caller needs of those that come with the engine.
    Raises SettingsError if that is not installed, or a setting is wrong.
    """
    if find_spec(package) is None:
        remedy = "use the image for GPUs, or pip install '.[pp-structurev3]' in the source tree"
        raise SettingsError(f"PP-StructureV3 is not installed: {remedy}")
    from consumer.models.config import PipelineConfig

    # Without a choice the files are the same on a GPU.
    device = "cpu" if device == "auto" else device
    return PipelineConfig.load(pipeline, None if runtime == "auto" else runtime, device).models
