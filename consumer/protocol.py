"""Messages between the consumer and its child processes, and their framing.

A message is a line of JSON. JSON and checked models rather than pickles: a renderer that a hostile file has
taken over must not be able to run code in its parent. The limits are those of what the parent holds of it.
Pixels stay in files, rows of BGR bytes without padding. A request names files and brings them open; the
names tell them apart.
"""

from typing import Annotated, Final, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from consumer.domain.errors import ChildError, Code
from consumer.domain.formats import Format
from consumer.domain.languages import SHIPPED
from consumer.domain.outputs import is_ending
from consumer.domain.page import PageImage
from consumer.domain.result import Detection, Many, PageResult, Status

#: Far above any message of a child (the markdown of 10,000 lines is 1 MB); one that sends more is broken.
MAX_MESSAGE_BYTES: Final = 3 * 1024 * 1024

#: The same, if its pages come with their image.
MAX_FLATTENED_BYTES: Final = 32 * 1024 * 1024

#: Most values in a message: a parser takes 40 bytes for each, however short it is.
_MOST_VALUES: Final = 200_000

#: Most files of a request: Linux passes 253 at once.
MOST_FILES: Final = 253

#: Exit status of a child that ran out of memory: 12 is ENOMEM, above what interpreters and shells use.
OUT_OF_MEMORY: Final = 64 + 12


class _Message(BaseModel, frozen=True, allow_inf_nan=False):
    """A message, or options; no numbers but finite ones."""


class Sandbox(_Message):
    """The walls round a child process.

    `mode`: as the setting. `readable`: files and folders that it may read beside its program; `scratch`:
    folders in which it may make files. `file_bytes`, `open_files`, `processes`: rlimits; None: none.
    """

    mode: Literal["auto", "require", "off"] = "off"
    readable: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()
    uses_gpu: bool = False
    file_bytes: int | None = None
    open_files: int | None = None
    processes: int | None = None


class ProcessOptions(_Message):
    """Options of a child process, fixed for its life; each kind of process has its own."""


class RenderOptions(ProcessOptions):
    """Options of a render process."""

    scale: float = Field(gt=0, description="pixels per point")
    max_page_pixels: int = Field(ge=1)
    max_pages: int = Field(ge=1)
    open_documents: int = Field(ge=1, description="most documents kept open; each has its pages in turn")
    address_space_bytes: int = Field(ge=1, description="a renderer that asks for more ends")
    mapped_bytes: int = Field(default=0, ge=0, description="most address space for sources beside that")
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

    `languages`: name of the group that its network for text recognition reads. `runtime`: what runs the
    networks; with onnxruntime the pages of a request are read at once.
    """

    languages: str = SHIPPED.name
    layout: Layout = "none"
    runtime: Literal["openvino", "onnxruntime"] = "openvino"


class PpStructureOptions(EngineOptions):
    """Options of PP-StructureV3; `pipeline`, `runtime` and `languages` as in the settings."""

    scratch: str = Field(description="a folder for files that its libraries write")
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
    """To a writer of outputs: write one, from the source at `path`, into the file at `output_path`.

    `pages_path`: a file with all pages of the document, in order, a `PageResult` as JSON in each line.
    """

    kind: Literal["write"] = "write"
    output: str
    path: str
    format: Format
    pages_path: str
    output_path: str


class _Ready(_Message):
    """From a child, once. `walls`: of each that it was to set, why it does not stand; empty if it does."""

    walls: dict[str, str] = Field(default_factory=dict)


class EngineReady(_Ready):
    """From an engine, once: it can read; its name, version and models for results."""

    kind: Literal["engine"] = "engine"
    name: str
    version: str
    models: dict[str, str]
    device: str
    configuration: str = Field(default="", description="digest of everything else that changes results")
    can_read_lines_only: bool = Field(default=False, description="it can leave out blocks and tables")
    flattens_pages: bool = Field(default=False, description="its pages come with their image")


class RendererReady(_Ready):
    """From a renderer, once: it can render."""

    kind: Literal["renderer"] = "renderer"


class DocumentOpened(_Message):
    """From a renderer: the document can be read; its number of pages."""

    kind: Literal["opened"] = "opened"
    page_count: int = Field(ge=1)


class PagesRead(_Message):
    """From an engine: the pages of one `ReadPages`, in its order.

    `recycle_due`: the process holds so much of its device's memory that it should be replaced. `more`:
    another message with further pages follows.
    """

    kind: Literal["pages"] = "pages"
    pages: Many[PageResult]
    recycle_due: bool = False
    more: bool = False


class PageLines(_Message):
    """From an engine: lines of the next page that it sends, which has too many for one message."""

    kind: Literal["lines"] = "lines"
    detections: Many[Detection]


class OutputNote(_Message):
    """Something that a reader of the output should know, about one page or all of it."""

    message: str
    page_number: int | None = Field(default=None, ge=1)


class OutputWritten(_Message):
    """From a writer of outputs: for each object, what follows the source's key in its key, and its bytes.

    Objects follow each other in the output's file. Without one, the output could not be written; a note says
    why.
    """

    kind: Literal["written"] = "written"
    endings: Many[str]
    sizes_bytes: Many[Annotated[int, Field(ge=0)]]
    notes: Many[OutputNote] = ()


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
        case WriteOutput(output=output), OutputWritten(endings=endings, sizes_bytes=sizes):
            is_each_once = len(set(endings)) == len(endings) == len(sizes)
            return is_each_once and all(is_ending(output, each) for each in endings)
    return False


def _is_of(result: PageResult, image: PageImage) -> bool:
    numbers = {
        result.page.page_number,
        *(line.page_number for line in result.detections),
        *(warning.page_number for warning in result.warnings),
    }
    return result.page.status is Status.SUCCESS and numbers == {image.page_number}


class RequestFile(NamedTuple):
    """A file of a request, which comes open. `is_output`: it is made, and written by the child."""

    path: str
    is_output: bool = False


def files(request: Request) -> tuple[RequestFile, ...]:
    """Return the files of a request, in the order in which they are sent."""
    match request:
        case OpenDocument(path=path):
            return (RequestFile(path),)
        case RenderPage(path=path, image_path=output):
            return RequestFile(path), RequestFile(output, is_output=True)
        case ReadPages(images=images):
            return tuple(RequestFile(image.path) for image in images)
        case WriteOutput(path=path, pages_path=pages, output_path=output):
            return RequestFile(path), RequestFile(pages), RequestFile(output, is_output=True)


_REQUESTS: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])
_REPLIES: TypeAdapter[Reply | PageLines | Progress] = TypeAdapter(
    Annotated[Reply | PageLines | Progress, Field(discriminator="kind")]
)


def encode(message: Request | Reply | Progress | PageLines) -> bytes:
    """Write a message as one line; JSON has no line breaks of its own."""
    return message.model_dump_json().encode() + b"\n"


def parse_reply(line: bytes | bytearray) -> Reply | PageLines | Progress:
    """Read a message from a child; raises ChildError if it is none, or has more values than any."""
    # Before anything is made of it. Text has commas too: no page has nearly as many.
    if line.count(b",") + line.count(b"[") + line.count(b"{") > _MOST_VALUES:
        raise ChildError(f"a child sent an invalid reply: over {_MOST_VALUES} values")
    try:
        return _REPLIES.validate_json(line)
    except ValidationError as error:
        raise ChildError(f"a child sent an invalid reply: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    """The first problem; to list a great many would take hundreds of times the memory of their message."""
    if error.error_count() > 100:
        return f"{error.error_count()} problems"
    return error.errors(include_input=False, include_context=False, include_url=False)[0]["msg"]


def parse_request(line: bytes) -> Request:
    """Read, in a child, a request."""
    return _REQUESTS.validate_json(line)
