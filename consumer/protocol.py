"""Messages between the consumer and its child processes, and their framing.

A message is a line of JSON. JSON and checked models rather than pickles: a renderer that a hostile file has
taken over must not be able to run code in its parent.
Pixels stay in files, rows of BGR bytes without padding; messages carry their paths.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from consumer.domain.errors import ChildError, Code
from consumer.domain.formats import Format
from consumer.domain.languages import SHIPPED
from consumer.domain.outputs import is_ending
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult, Status

#: Far above any page (10,000 lines are 2 MB); a child that sends more in a message is broken.
#: A parent holds up to twice as much of each child.
MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024

#: Exit status of a child that ran out of memory: 12 is ENOMEM, above what interpreters and shells use.
OUT_OF_MEMORY: Final = 64 + 12


class _Message(BaseModel, frozen=True, allow_inf_nan=False):
    """A message, or options; no numbers but finite ones."""


class ProcessOptions(_Message):
    """Options of a child process, fixed for its life; each kind of process has its own."""


class RenderOptions(ProcessOptions):
    """Options of a render process."""

    scale: float = Field(gt=0, description="pixels per point")
    max_page_pixels: int = Field(ge=1)
    max_pages: int = Field(ge=1)
    open_documents: int = Field(ge=1, description="most documents kept open; each has its pages in turn")
    address_space_bytes: int = Field(ge=1, description="a renderer that asks for more ends")
    processor_s: int = Field(ge=1, description="processor time for one request; more ends the renderer")


class EngineOptions(ProcessOptions):
    """Options of any engine process: its part of the host.

    `cpus`: the processors that it keeps to; none: any. `cuda_name`: CUDA's name of its GPU. `device_bytes`:
    GPU memory that it may hold before it asks to be replaced. Both are None on a CPU.
    """

    threads: int = Field(ge=1)
    cpus: tuple[int, ...] = ()
    device: str = Field(default="cpu", pattern=r"^(cpu|gpu:\d+)$")
    cuda_name: str | None = None
    device_bytes: int | None = Field(default=None, ge=1)
    batch_pages: int = Field(default=1, ge=1)
    words: bool = Field(default=False, description="whether the words of lines are told")


#: How RapidOCR finds blocks and tables.
Layout = Literal["none", "fast", "full"]


class RapidOcrOptions(EngineOptions):
    """Options of RapidOCR; `layout` as in the settings.

    `languages`: name of the group that its network for text recognition reads.
    """

    languages: str = SHIPPED.name
    layout: Layout = "none"


class PpStructureOptions(EngineOptions):
    """Options of PP-StructureV3; `pipeline`, `runtime` and `languages` as in the settings.

    `scratch`: a folder for files that its libraries write.
    """

    scratch: str
    pipeline: str | None
    runtime: Literal["paddle", "paddle_fp16", "onnxruntime"] | None
    scale: float = Field(gt=0, description="pixels per point of the pages to come, and of the warm-up's")
    max_page_pixels: int = Field(ge=1)
    languages: str = SHIPPED.name


class OpenDocument(_Message):
    """To a renderer: open the file and count its pages."""

    kind: Literal["open"] = "open"
    path: str
    format: Format


class RenderPage(_Message):
    """To a renderer: render one page of a file into `image_path`."""

    kind: Literal["render"] = "render"
    path: str
    format: Format
    page_number: int = Field(ge=1)
    image_path: str


class ReadPages(_Message):
    """To an engine: read these pages; `PagesRead` has the result of each."""

    kind: Literal["read"] = "read"
    images: tuple[PageImage, ...]
    lines_only: bool = Field(default=False, description="without blocks and tables, which ended processes")


class WriteOutput(_Message):
    """To a writer of outputs: write one, from the source at `path`, into files of `folder`, named 0, 1, ….

    `pages_path`: a file with all pages of the document, in order, a `PageResult` as JSON in each line.
    """

    kind: Literal["write"] = "write"
    output: str
    path: str
    format: Format
    pages_path: str
    folder: str


class EngineReady(_Message):
    """From an engine, once: it can read; its name, version and models for results."""

    kind: Literal["engine"] = "engine"
    name: str
    version: str
    models: dict[str, str]
    device: str
    configuration: str = Field(default="", description="digest of everything else that changes results")
    can_read_lines_only: bool = Field(
        default=False, description="it finds blocks and tables, or not, as asked"
    )


class RendererReady(_Message):
    """From a renderer, once: it can render."""

    kind: Literal["renderer"] = "renderer"


class DocumentOpened(_Message):
    """From a renderer: the document can be read; its number of pages."""

    kind: Literal["opened"] = "opened"
    page_count: int = Field(ge=1)


class PagesRead(_Message):
    """From an engine: the pages of one `ReadPages`, in its order.

    `recycle_due`: the process holds so much of its device's memory that it should be replaced.
    """

    kind: Literal["pages"] = "pages"
    pages: tuple[PageResult, ...]
    recycle_due: bool = False


class OutputNote(_Message):
    """Something that a reader of the output should know, about one page or all of it."""

    message: str
    page_number: int | None = Field(default=None, ge=1)


class OutputWritten(_Message):
    """From a writer of outputs: for each file, what follows the source's key in the key of the object.

    Without a file, the output could not be written; a note says why.
    """

    kind: Literal["written"] = "written"
    endings: tuple[str, ...]
    notes: tuple[OutputNote, ...] = ()


def _encodable(text: str) -> str:
    """Libraries quote file names and bytes in their errors, not always as valid Unicode."""
    return text.encode("utf-8", "replace").decode()


class RequestFailed(_Message):
    """From a child: the request cannot be fulfilled, and the child can take the next one."""

    kind: Literal["failed"] = "failed"
    code: Code
    message: Annotated[str, AfterValidator(_encodable)]


class HostFailure(_Message):
    """From a child: the host cannot fulfil the request, whatever the document.

    `needed_bytes`: size of the file for which the disk has no space; None for any other failure.
    """

    kind: Literal["broken"] = "broken"
    message: Annotated[str, AfterValidator(_encodable)]
    needed_bytes: int | None = Field(default=None, ge=0)


class Progress(_Message):
    """From a child, any number of times before its reply: a step of the request is done."""

    kind: Literal["progress"] = "progress"


Request = OpenDocument | RenderPage | ReadPages | WriteOutput
Reply = (
    EngineReady
    | RendererReady
    | DocumentOpened
    | PageImage
    | PagesRead
    | OutputWritten
    | RequestFailed
    | HostFailure
)


def is_reply_to(request: Request, reply: Reply) -> bool:
    """Whether this can be the reply to this request.

    A renderer that a hostile file has taken over must not choose the file that is read and deleted, nor an
    engine write into another page, nor a writer of outputs into another object.
    """
    match request, reply:
        case (_, RequestFailed() | HostFailure()) | (OpenDocument(), DocumentOpened()):
            return True
        case RenderPage(page_number=number, image_path=path), PageImage():
            return (reply.page_number, reply.path) == (number, path)
        case ReadPages(images=images), PagesRead(pages=pages):
            return len(pages) == len(images) and all(map(_is_of, pages, images))
        case WriteOutput(output=output), OutputWritten(endings=endings):
            return len(set(endings)) == len(endings) and all(is_ending(output, each) for each in endings)
    return False


def _is_of(result: PageResult, image: PageImage) -> bool:
    numbers = {
        result.page.page_number,
        *(line.page_number for line in result.detections),
        *(warning.page_number for warning in result.warnings),
    }
    return result.page.status is Status.SUCCESS and numbers == {image.page_number}


_REQUESTS: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])
_REPLIES: TypeAdapter[Reply | Progress] = TypeAdapter(
    Annotated[Reply | Progress, Field(discriminator="kind")]
)


def encode(message: Request | Reply | Progress) -> bytes:
    """Write a message as one line; JSON has no line breaks of its own."""
    return message.model_dump_json().encode() + b"\n"


def parse_reply(line: bytes) -> Reply | Progress:
    """Read a message from a child; raises ChildError if it is neither a reply nor progress."""
    try:
        return _REPLIES.validate_json(line)
    except ValidationError as error:
        raise ChildError(f"a child sent an invalid reply: {error.errors()[0]['msg']}") from error


def requests(stream: Iterable[bytes]) -> Iterator[Request]:
    """Yield, in a child, request after request, until the parent has gone."""
    for line in stream:
        # The last message of a parent that died may be cut.
        if line.endswith(b"\n"):
            yield _REQUESTS.validate_json(line)
