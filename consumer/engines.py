"""The engines: for each, all that is known of it outside its own process.

A new engine is an `EngineSpec` here and a module below `consumer.child`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from consumer import models, protocol
from consumer.domain.errors import SettingsError
from consumer.domain.page import POINTS_PER_INCH
from consumer.models import rapidocr
from consumer.models.gpu_wheels import GPU_RUNTIME
from consumer.models.model import Model
from consumer.settings import PREFIX, EngineSettings, Settings

_GIB: Final = 1024**3

#: Options of one process, from the settings, its part of the host, and a folder for files of libraries.
NewOptions = Callable[[Settings, protocol.EngineOptions, Path], protocol.EngineOptions]

#: Models that must be fetched for an engine, by the settings; raises SettingsError.
NeededModels = Callable[[EngineSettings], tuple[Model, ...]]


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine. `name`: in settings and metrics; `entry`: the `module:function` of its child process.

    `package` must be importable, and `remedy` says what to do if it is not. `resident_bytes`: memory of a
    process of few threads, and `gpu_resident_bytes` of one that uses a GPU, if it takes more.
    `progress_deadline_s`: longest time between two steps that it tells of. `gpu_bytes`: memory of a GPU for
    one process; None if the engine runs on the CPU only. `gpu_package`: a distribution without which it uses
    no GPU; None: it looks by itself. `gpu_batch_pages`: pages in one request on a GPU. `own_settings`:
    settings that not every engine heeds. `options`: builds the options of a process. `models`: gives the
    models that do not come with the package. `needs_scratch`: its libraries write files.
    """

    name: str
    entry: str
    package: str
    remedy: str
    resident_bytes: int
    progress_deadline_s: float
    gpu_bytes: int | None = None
    gpu_resident_bytes: int | None = None
    gpu_package: str | None = None
    gpu_batch_pages: int = 1
    own_settings: tuple[str, ...] = ()
    options: NewOptions = lambda _settings, share, _scratch: share
    models: NeededModels = lambda _settings: ()
    needs_scratch: bool = False

    @property
    def is_installed(self) -> bool:
        """Whether its package can be imported."""
        return find_spec(self.package) is not None

    def may_use_gpus(self, device: str) -> bool:
        """Whether the setting DEVICE can mean GPUs: `auto` does not, without a distribution for them."""
        if self.gpu_bytes is None:
            return False
        return device != "auto" or self.gpu_package is None or _is_installed(self.gpu_package)


def _ppstructure_options(
    settings: Settings, share: protocol.EngineOptions, scratch: Path
) -> protocol.PpStructureOptions:
    return protocol.PpStructureOptions(
        **share.model_dump(),
        scratch=str(scratch),
        pipeline=settings.pipeline_config,
        runtime=None if settings.engine_runtime == "auto" else settings.engine_runtime,
        scale=settings.render_dpi / POINTS_PER_INCH,
        max_page_pixels=settings.max_page_pixels,
        languages=settings.languages,
    )


def _rapidocr_options(
    settings: Settings, share: protocol.EngineOptions, _scratch: Path
) -> protocol.RapidOcrOptions:
    return protocol.RapidOcrOptions(
        **share.model_dump(),
        languages=settings.languages,
        layout=layout_for(settings.layout, has_extra=_is_installed("pymupdf-layout")),
        runtime="openvino" if share.device == "cpu" else "onnxruntime",
    )


def layout_for(wanted: Literal["auto"] | protocol.Layout, *, has_extra: bool) -> protocol.Layout:
    """Return how blocks and tables are found; `has_extra`: pymupdf-layout is installed.

    Raises SettingsError if that is needed and missing.
    """
    if wanted == "auto":
        return "full" if has_extra else "fast"
    if wanted == "full" and not has_extra:
        raise SettingsError(
            f"{PREFIX}LAYOUT=full: pymupdf-layout is not installed: pip install '.[layout]' in the source "
            "tree, or set it to fast"
        )
    return wanted


def _is_installed(name: str) -> bool:
    """Look for a distribution; looking for the module of some would import others."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


_RAPIDOCR: Final = EngineSpec(
    name="rapidocr",
    entry="consumer.child.rapidocr.engine:build",
    package="rapidocr",
    remedy="use the CPU image, or pip install '.[rapidocr]' in the source tree",
    # Models, a page, and what is compiled for each size of page (measured: 1.75 GiB after a corpus of mixed
    # sizes, 1.91 at most; a layout adds 0.1 or 0.2 GiB). With much less it would be replaced all the time.
    resident_bytes=2 * _GIB,
    # Its longest step is the detection (measured: 0.7 s with a processor of its own), which sixteen times
    # slower is 12 s. A process that hangs is ended and its successor is ready within a minute.
    progress_deadline_s=45.0,
    # Estimated: 1.1 GB for the largest runs of its networks (measured on a processor), CUDA's context, and
    # what cuDNN takes to work in.
    gpu_bytes=4 * 10**9,
    # Estimated: libraries of CUDA beside the pages of a batch. With less it would be replaced all the time.
    gpu_resident_bytes=6 * _GIB,
    gpu_package=GPU_RUNTIME,
    # Fewer leave a GPU idle while pages are cut and decoded.
    gpu_batch_pages=8,
    own_settings=("languages", "layout"),
    options=_rapidocr_options,
    models=lambda settings: rapidocr.recognition(settings.languages),
)

_PPSTRUCTURE: Final = EngineSpec(
    name="pp-structurev3",
    entry="consumer.child.ppstructure.environment:build",
    package="paddleocr",
    remedy="use the GPU image, or pip install '.[pp-structurev3]' and paddlepaddle-gpu in the source tree",
    # Estimated: its weights are 1 GB.
    resident_bytes=6 * _GIB,
    # Its longest step is one run of a network: of the large one for formulas, 8 of which take 14 s on a GPU
    # (published: 1.7 s each, on a T4), and several times as long on a processor.
    progress_deadline_s=180.0,
    # Published: up to 22 GB with the large text models; four processes on an A100 of 80 GB read 2.4 times as
    # much as one.
    gpu_bytes=20 * 10**9,
    # Fewer leave a GPU idle. On a CPU a batch gains nothing.
    gpu_batch_pages=8,
    own_settings=("engine_runtime", "languages", "pipeline_config"),
    needs_scratch=True,
    options=_ppstructure_options,
    models=lambda settings: models.of_ppstructure(
        settings.pipeline_config, settings.engine_runtime, settings.device, settings.languages
    ),
)

#: From the simplest to the most capable: `auto` is the last one that is installed.
ENGINES: Final = {engine.name: engine for engine in (_RAPIDOCR, _PPSTRUCTURE)}


def choose(settings: EngineSettings, engines: Mapping[str, EngineSpec] = ENGINES) -> EngineSpec:
    """Choose the engine; raises SettingsError if it is unknown, not installed, or not for the device."""
    if settings.engine == "auto":
        first, *others = engines.values()
        engine = next((each for each in reversed(others) if each.is_installed), first)
    elif (named := engines.get(settings.engine)) is not None:
        engine = named
    else:
        *names, last = ("auto", *engines)
        raise SettingsError(f"{PREFIX}ENGINE={settings.engine!r}: must be {', '.join(names)} or {last}")
    if not engine.is_installed:
        raise SettingsError(
            f"{PREFIX}ENGINE={settings.engine}: {engine.package} is not installed: {engine.remedy}"
        )
    if engine.gpu_bytes is None and settings.device.startswith("gpu"):
        raise SettingsError(
            f"{PREFIX}DEVICE={settings.device}: {engine.name} runs on the CPU only: set it to cpu, or "
            f"{PREFIX}ENGINE to an engine for GPUs"
        )
    if settings.device.startswith("gpu") and engine.gpu_package and not _is_installed(engine.gpu_package):
        raise SettingsError(
            f"{PREFIX}DEVICE={settings.device}: {engine.name} needs {engine.gpu_package} for GPUs: "
            f"pip install '.[{engine.name}-gpu]' in the source tree, without onnxruntime beside it, or set "
            "it to cpu"
        )
    return engine


def without_effect(
    settings: Settings, engine: EngineSpec, engines: Mapping[str, EngineSpec] = ENGINES
) -> list[str]:
    """Names of the settings that are made and do nothing, because they are other engines'."""
    others = {name for each in engines.values() for name in each.own_settings} - set(engine.own_settings)
    fields = Settings.model_fields
    made = (name for name in sorted(others) if getattr(settings, name) != fields[name].default)
    return [PREFIX + name.upper() for name in made]
