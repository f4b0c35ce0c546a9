"""The walls of each kind of child process: what it may read and write, how much, and which of them stand."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import structlog

from consumer import protocol
from consumer.engines import EngineSpec
from consumer.processes import host
from consumer.processes.slot import Slot
from consumer.settings import PageSettings, Settings

#: Beside its request's files, a child has its socket, standard streams, and what libraries open.
_OPEN_FILES: Final = 256
#: A context of CUDA opens some dozens, for each device of the driver.
_GPU_OPEN_FILES: Final = 4096

#: A pixel in a page image; and the largest picture of a page among outputs.
_PIXEL_BYTES: Final = 3
_PICTURE_BYTES: Final = 256 * 1024

#: Of the files that libraries of an engine write. Others are given none.
_SCRATCH_BYTES: Final = 1024**3

log = structlog.get_logger(__name__)


def of_renderer(options: PageSettings, open_documents: int) -> protocol.Sandbox:
    """Return the walls of a render process."""
    return protocol.Sandbox(
        mode=options.sandbox,
        file_bytes=_PIXEL_BYTES * options.max_page_pixels,
        open_files=_OPEN_FILES + open_documents,
        processes=0,
    )


def of_output_writer(options: Settings) -> protocol.Sandbox:
    """Return the walls of a process that writes outputs from the source."""
    # A searchable PDF has the source, or its pictures without loss; an overlay a picture of each page.
    largest_bytes = 4 * options.max_file_bytes + _PICTURE_BYTES * options.max_pages
    return protocol.Sandbox(
        mode=options.sandbox, file_bytes=largest_bytes, open_files=_OPEN_FILES, processes=0
    )


def of_engine(
    options: Settings, engine: EngineSpec, share: protocol.EngineOptions, scratch: Path
) -> protocol.Sandbox:
    """Return the walls of an engine process; `scratch`: the folder for files of its libraries.

    Its threads count as processes of its user, of whom there may be others, so they have no limit.
    """
    uses_gpu = share.device != "cpu"
    models = tuple(str(model.folder) for model in engine.models(options))
    configuration = () if options.pipeline_config is None else (options.pipeline_config,)
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if uses_gpu else ()
    return protocol.Sandbox(
        mode=options.sandbox,
        readable=(*models, *configuration, *filter(None, libraries)),
        scratch=(str(scratch),) if engine.needs_scratch else (),
        uses_gpu=uses_gpu,
        file_bytes=_SCRATCH_BYTES if engine.needs_scratch else None,
        open_files=_GPU_OPEN_FILES if uses_gpu else _OPEN_FILES + share.batch_pages,
    )


def standing(slots: Iterable[Slot]) -> dict[str, Mapping[str, str]]:
    """Return, by the kind of process, of each wall why it does not stand; empty if it does.

    The parent is a kind as well. Those without a running process are left out.
    """
    walls: dict[str, Mapping[str, str]] = {"consumer": host.walls()}
    for slot in slots:
        if slot.process is not None and slot.process.is_alive:
            walls[slot.spec.name] = slot.process.walls
    return walls


def log_standing(slots: Iterable[Slot], mode: str) -> None:
    """Say in one line which walls stand, and why others do not."""
    walls = [(f"{kind}.{wall}", why) for kind, each in standing(slots).items() for wall, why in each.items()]
    missing = {wall: why for wall, why in walls if why}
    write = log.warning if missing else log.info
    write("sandbox", mode=mode, standing=[wall for wall, why in walls if not why], missing=missing)
