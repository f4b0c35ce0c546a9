"""Who sits where: the programs of child processes, their options, and the seats they get."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self

from consumer import protocol, settings
from consumer.domain import plan
from consumer.domain.errors import SettingsError
from consumer.domain.plan import EngineShare
from consumer.processes import gpus, renderer
from consumer.processes.capacity import Capacity
from consumer.processes.pool import RecyclePolicy
from consumer.processes.process import ProcessSpec
from consumer.processes.recognizer import longest_step_s
from consumer.processes.slot import Slot
from consumer.settings import EngineSettings, Settings

#: What the interpreter is asked to run as a child of each role.
PROGRAMS: Final = {role: ("-m", "consumer.child", role) for role in ("render", "rapidocr", "pp-structurev3")}

#: What must be installed for an engine, and how.
_PACKAGES: Final = {
    "rapidocr": ("rapidocr", "pip install 'bucket-ocr[rapidocr]'"),
    "pp-structurev3": ("paddleocr", "pip install 'bucket-ocr[pp-structurev3]' and paddlepaddle-gpu"),
}


@dataclass(frozen=True, slots=True)
class ProcessLayout:
    """The seats of all child processes, still empty. `role`: the engine; `recycling`: when it is replaced."""

    role: str
    capacity: Capacity
    recycling: RecyclePolicy
    renderers: list[Slot]
    engines: list[Slot]

    @classmethod
    def of(cls, options: Settings, scratch: Path, programs: Mapping[str, tuple[str, ...]] = PROGRAMS) -> Self:
        """Share the machine out; `scratch`: a folder for what engines' libraries want to write.

        Raises SettingsError where that cannot be done as the settings ask.
        """
        role = engine_role(options)
        capacity = Capacity.of(options, role, gpus.chosen(options.device) if role == "pp-structurev3" else ())
        if options.stall_s < (longest_s := longest_step_s(capacity.page_deadline_s, capacity.batch_pages)):
            raise SettingsError(
                f"{settings.PREFIX}STALL_S ({options.stall_s:g}) must be at least {longest_s:g}: so long may "
                f"an engine take to start and to read {capacity.batch_pages} page(s)"
            )
        recycling = RecyclePolicy(options.recycle_pages, capacity.engine_bytes)
        return cls(
            role,
            capacity,
            recycling,
            _render_seats(programs["render"], options, capacity),
            _engine_seats(
                role, programs[role], options, capacity=capacity, recycling=recycling, scratch=scratch
            ),
        )

    def without_effect(self, options: Settings) -> list[str]:
        """Names of settings that are made and do nothing, because they are another engine's."""
        if self.role == "pp-structurev3":
            return []
        fields = Settings.model_fields
        others = ("engine_runtime", "pipeline_config")
        return [
            settings.PREFIX + name.upper()
            for name in others
            if getattr(options, name) != fields[name].default
        ]


def engine_role(options: EngineSettings) -> str:
    """Choose the engine; raises SettingsError where it is not installed."""
    role = options.engine
    if role == "auto":
        role = "pp-structurev3" if find_spec(_PACKAGES["pp-structurev3"][0]) else "rapidocr"
    package, remedy = _PACKAGES[role]
    if find_spec(package) is None:
        raise SettingsError(f"{settings.PREFIX}ENGINE={options.engine}: not installed: {remedy}")
    if role == "rapidocr" and options.device.startswith("gpu"):
        raise SettingsError(
            f"{settings.PREFIX}DEVICE={options.device}: rapidocr runs on the CPU only: set it to cpu, or "
            f"{_PACKAGES['pp-structurev3'][1]}"
        )
    return role


def _render_seats(arguments: tuple[str, ...], options: Settings, capacity: Capacity) -> list[Slot]:
    how = protocol.RenderOptions(
        scale=options.render_dpi / plan.POINTS_PER_INCH,
        max_page_pixels=options.max_page_pixels,
        max_pages=options.max_pages,
        open_documents=-(-capacity.slots // capacity.renderers),
        address_space_bytes=capacity.renderer_bytes,
        processor_s=int(renderer.DEADLINE_S),
    )
    # What stays with a renderer is lost to the documents that follow.
    spec = ProcessSpec("render", arguments, how, capacity.renderer_bytes // 2, capacity.renderer_bytes)
    return [Slot(spec) for _ in range(capacity.renderers)]


def _engine_seats(  # noqa: PLR0913 - a function so that the class above stays readable
    role: str,
    arguments: tuple[str, ...],
    options: Settings,
    *,
    capacity: Capacity,
    recycling: RecyclePolicy,
    scratch: Path,
) -> list[Slot]:
    def how(share: EngineShare, device: str, cuda_name: str | None) -> protocol.EngineOptions:
        if role == "rapidocr":
            return protocol.EngineOptions(threads=share.threads, cpus=share.cpus)
        return protocol.PpStructureOptions(
            threads=share.threads,
            cpus=share.cpus,
            device=device,
            cuda_name=cuda_name,
            scratch=str(scratch),
            device_bytes=capacity.device_bytes,
            pipeline=options.pipeline_config,
            runtime=None if options.engine_runtime == "auto" else options.engine_runtime,
            batch_pages=capacity.batch_pages,
            scale=options.render_dpi / plan.POINTS_PER_INCH,
            max_page_pixels=options.max_page_pixels,
        )

    return [
        Slot(
            ProcessSpec(
                role,
                arguments,
                how(*each),
                recycling.retired_bytes,
                recycling.killed_bytes,
                has_spare=capacity.has_spare,
            )
        )
        for each in zip(capacity.engines, capacity.devices, capacity.cuda_names, strict=True)
    ]
