"""The child processes of a consumer: how many of each kind, their options, and their slots."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from consumer import engines, protocol, settings
from consumer.domain.errors import SettingsError
from consumer.domain.outputs import SOURCE_FORMATS
from consumer.domain.page import POINTS_PER_INCH
from consumer.engines import ENGINES, EngineSpec
from consumer.processes import confinement, gpus, renderer
from consumer.processes.capacity import Capacity, renderer_bytes
from consumer.processes.pool import RecyclePolicy
from consumer.processes.process import ProcessSpec
from consumer.processes.recognizer import longest_step_s
from consumer.processes.slot import Slot
from consumer.settings import PageSettings, Settings

_RENDERER_ENTRY = "consumer.child.rendering.renderer:build"
_PICTURES_ENTRY = "consumer.child.rendering.pictures:build"
_OUTPUT_WRITER_ENTRY = "consumer.child.source_outputs:build"


@dataclass(frozen=True, slots=True)
class ProcessLayout:
    """The slots of all child processes, still empty."""

    engine: EngineSpec
    capacity: Capacity
    recycle_policy: RecyclePolicy
    renderers: list[Slot]
    #: One, if an output is wanted that needs the source; else none.
    output_writers: list[Slot]
    engines: list[Slot]

    @classmethod
    def of(cls, options: Settings, scratch: Path, specs: Mapping[str, EngineSpec] = ENGINES) -> Self:
        """Divide the host; `scratch`: a folder for files that libraries of engines write.

        Raises SettingsError if that cannot be done as the settings ask.
        """
        engine = engines.choose(options, specs)
        chosen = gpus.chosen(options.device) if engine.may_use_gpus(options.device) else ()
        capacity = Capacity.of(options, engine, chosen)
        longest_s = longest_step_s(engine.progress_deadline_s)
        if options.stall_s < longest_s:
            raise SettingsError(
                f"{settings.PREFIX}STALL_S ({options.stall_s:g}) must be at least {longest_s:g}: an engine "
                "may take that long to start and to make progress with its first page"
            )
        policy = RecyclePolicy(options.recycle_pages, capacity.engine_bytes)
        return cls(
            engine,
            capacity,
            policy,
            renderers=[Slot(_renderer(options, capacity)) for _ in range(capacity.renderers)],
            output_writers=[
                Slot(_output_writer(options, capacity))
                for _ in range(bool(options.outputs & SOURCE_FORMATS.keys()))
            ],
            engines=[
                Slot(
                    ProcessSpec(
                        engine.name,
                        engine.entry,
                        engine.options(options, share.model_copy(update={"words": options.words}), scratch),
                        policy.retired_bytes,
                        policy.killed_bytes,
                        has_spare=capacity.has_spare,
                        sandbox=confinement.of_engine(options, engine, share, scratch),
                    )
                )
                for share in capacity.engines
            ],
        )


def picture_renderer(options: PageSettings) -> ProcessSpec:
    """Describe the process that renders the pages of one document as pictures for people."""
    return _renderer_spec(options, _PICTURES_ENTRY, renderer_bytes(options, 1), open_documents=1)


def _output_writer(options: Settings, capacity: Capacity) -> ProcessSpec:
    return replace(
        _renderer(options, capacity),
        name="output",
        entry=_OUTPUT_WRITER_ENTRY,
        sandbox=confinement.of_output_writer(options),
    )


def _renderer(options: Settings, capacity: Capacity) -> ProcessSpec:
    open_documents = -(-capacity.max_in_flight // capacity.renderers)
    return _renderer_spec(options, _RENDERER_ENTRY, capacity.renderer_bytes, open_documents=open_documents)


def _renderer_spec(options: PageSettings, entry: str, most_bytes: int, *, open_documents: int) -> ProcessSpec:
    # One more than are kept open, while it is opened.
    mapped_bytes = (open_documents + 1) * options.max_file_bytes
    limits = protocol.RenderOptions(
        scale=options.render_dpi / POINTS_PER_INCH,
        max_page_pixels=options.max_page_pixels,
        max_pages=options.max_pages,
        open_documents=open_documents,
        address_space_bytes=most_bytes,
        mapped_bytes=mapped_bytes,
        processor_s=int(renderer.DEADLINE_S),
    )
    return ProcessSpec(
        "render",
        entry,
        limits,
        # Memory that stays with a renderer is lost to the documents that follow.
        retired_bytes=most_bytes // 2,
        killed_bytes=most_bytes + mapped_bytes,
        sandbox=confinement.of_renderer(options, open_documents),
    )
