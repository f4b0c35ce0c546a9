"""Writing outputs that need the source, in a child process."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from consumer import protocol
from consumer.clock import Watchdog
from consumer.domain.errors import ChildError, Code, PageError
from consumer.domain.result import Warning  # noqa: A004 - the contract's word
from consumer.ports import SourceJob, SourceOutput
from consumer.processes.process import ChildTimeoutError
from consumer.processes.slot import Slot, running_slots

#: Longest time without a page. A document has thirty times as long: twenty thousand pages of 0.1 s, and more.
DEADLINE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class OutputWriterProcess:
    """Writes one output at a time; fulfils `ports.SourceOutputWriter`.

    `watchdog`: marked at every step of any document; those that wait for their turn follow it.
    """

    slot: Slot
    watchdog: Watchdog
    deadline_s: float = DEADLINE_S

    def running(self) -> AbstractAsyncContextManager[None]:
        """Keep the process running until the context ends; raises HostError."""
        return running_slots([self.slot])

    async def write(self, job: SourceJob, watchdog: Watchdog) -> SourceOutput:
        """Write an output; raises PageError if that is not possible, HostError if none can be written."""
        request = protocol.WriteOutput(
            output=job.output,
            path=str(job.source),
            format=job.file_format,
            pages_path=str(job.pages),
            output_path=str(job.target),
        )
        try:
            with watchdog.following(self.watchdog):
                reply = await self._request(request)
        except ChildTimeoutError as error:
            raise PageError(Code.RENDER_TIMEOUT, str(error)) from error
        except ChildError as error:
            raise PageError(Code.RENDER_CRASH, str(error)) from error
        if isinstance(reply, protocol.RequestFailed):
            raise PageError(reply.code, reply.message)
        if not isinstance(reply, protocol.OutputWritten):
            raise ChildError(f"a writer of outputs sent {reply.kind}")
        # A part beyond the file's end would be an object that is shorter than it is said to be.
        if (said := sum(reply.sizes_bytes)) > (size := job.target.stat().st_size):
            raise PageError(Code.RENDER_CRASH, f"{said} bytes were to be written, and {size} were")
        warnings = [_warning(job.output, note) for note in reply.notes]
        return SourceOutput(reply.endings, reply.sizes_bytes, warnings)

    async def _request(self, request: protocol.WriteOutput) -> protocol.Reply:
        try:
            return await self.slot.request(request, self.deadline_s, self.watchdog.mark)
        finally:
            # The next one has all of its time.
            self.watchdog.mark()


def _warning(output: str, note: protocol.OutputNote) -> Warning:
    message = f"{output}: {note.message}"
    return Warning(code=Code.RENDER_CRASH, message=message, page_number=note.page_number)
