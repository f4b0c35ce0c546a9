"""Makes result documents: with the engine, the outputs and the disk space of this consumer."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from consumer.domain import assembly
from consumer.domain.assembly import Assembly, EncodedResult
from consumer.domain.errors import Code
from consumer.domain.outputs import OutputFormat
from consumer.domain.result import Engine, Source
from consumer.service.attempt import Attempt
from consumer.service.disk_space import DiskSpace


@dataclass(frozen=True, slots=True)
class ResultMaker:
    """`engine` is written into every result. `outputs`: what is made of every document beside its result.

    `folder` is for what does not fit into memory.
    """

    disk_space: DiskSpace
    folder: Path
    engine: Engine
    _: KW_ONLY
    outputs: Sequence[OutputFormat] = ()

    def begin(self, attempt: Attempt) -> Assembly:
        """Begin a document; what is written of it lasts as long as the attempt."""
        return Assembly(self.outputs, spool=lambda: attempt.spool(self.folder))

    def finish(self, pages: Assembly, source: Source, attempt: Attempt) -> EncodedResult:
        """Write the document of these pages."""
        # What was read takes disk space until it is stored, and others may wait for that.
        attempt.files.enter_context(self.disk_space.held())
        return pages.finish(source, self.engine, attempt.timing())

    def failure(self, source: Source, attempt: Attempt, code: Code, message: str) -> EncodedResult:
        """Make the result of a source that is not read."""
        return assembly.failure(source, self.engine, code, message, attempt.timing())
