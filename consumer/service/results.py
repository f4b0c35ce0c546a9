"""Makes result documents: with the engine, the outputs and the disk space of this consumer."""

from dataclasses import dataclass, replace
from pathlib import Path

from consumer.domain import assembly
from consumer.domain.assembly import Assembly, EncodedResult
from consumer.domain.errors import Code
from consumer.domain.identity import ResultHead
from consumer.domain.result import Engine, Source
from consumer.service.attempt import Attempt
from consumer.service.disk_space import DiskSpace
from consumer.service.outputs import OutputMaker


@dataclass(frozen=True, slots=True)
class ResultMaker:
    """`engine` is written into every result. `outputs`: makes what goes beside it.

    `folder` is for what does not fit into memory.
    """

    disk_space: DiskSpace
    folder: Path
    engine: Engine
    outputs: OutputMaker

    def begin(self, attempt: Attempt) -> Assembly:
        """Begin a document; what is written of it lasts as long as the attempt."""
        return Assembly(lambda: attempt.spool(self.folder), keeps_pages=bool(self.outputs.wanted))

    async def finish(self, pages: Assembly, source: Source, attempt: Attempt) -> EncodedResult:
        """Write the document of these pages, and its outputs."""
        # What was read takes disk space until it is stored, and others may wait for that.
        attempt.files.enter_context(self.disk_space.held())
        head = pages.head(source, self.engine, attempt.timing())
        if not self.outputs.wanted or not ResultHead.of(head).may_have_outputs:
            return pages.encode(head)
        written = await self.outputs.write(self.outputs.wanted, pages.kept_pages(), head, attempt)
        return replace(pages.encode(written.head), outputs=written.objects, record=written.record)

    def failure(self, source: Source, attempt: Attempt, code: Code, message: str) -> EncodedResult:
        """Make the result of a source that is not read."""
        return assembly.failure(source, self.engine, code, message, attempt.timing())
