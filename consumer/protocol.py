"""What crosses between the consumer and its child processes, and its framing.

A frame is four bytes of length, big-endian, and so many bytes of JSON. JSON and checked models rather
than pickles: a renderer that a hostile file has taken over must not be able to run code in its parent.
Pixels do not cross; they lie in files, rows of BGR bytes without padding, whose paths cross.
"""

import struct
from typing import Annotated, Final, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from consumer.domain.errors import ChildError, Code
from consumer.domain.formats import Format
from consumer.domain.page import PageImage
from consumer.domain.result import Block, Confidence, Corner, Formula, Table

LENGTH: Final = struct.Struct(">I")

#: Far above any page (10,000 lines are 2 MB); a longer frame is a child that speaks nonsense.
MAX_FRAME_BYTES: Final = 64 * 1024 * 1024


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


#: Exit status of a child for which memory ran out: 12 is ENOMEM, above what interpreters and shells use.
OUT_OF_MEMORY: Final = 64 + 12


class RenderOptions(_Message):
    """How a render child works; fixed for its life."""

    scale: float = Field(gt=0, description="pixels per point")
    max_page_pixels: int = Field(ge=1)
    max_pages: int = Field(ge=1)
    open_documents: int = Field(ge=1, description="most documents kept open; each has its pages in turn")
    address_space_bytes: int = Field(ge=1, description="a renderer that asks for more ends")
    processor_s: int = Field(ge=1, description="processor time for one request; more ends the renderer")


class EngineOptions(_Message):
    """How an engine child works; fixed for its life. No `cpus`: no affinity is set."""

    threads: int = Field(ge=1)
    cpus: tuple[int, ...] = ()


class PpStructureOptions(EngineOptions):
    """How a child with PP-StructureV3 works; `pipeline` and `runtime` as in the settings.

    `cuda_name`: how CUDA knows its GPU; None on a CPU. `device_bytes`: what it may hold of that one's
    memory before it asks for a successor. `scratch`: a folder for what its libraries want to write.
    """

    device: str = Field(pattern=r"^(cpu|gpu:\d+)$")
    cuda_name: str | None = None
    scratch: str
    pipeline: str | None
    runtime: Literal["paddle", "paddle_fp16", "onnxruntime"] | None
    batch_pages: int = Field(ge=1)
    scale: float = Field(gt=0, description="pixels per point of the pages to come, which the warm-up has too")
    max_page_pixels: int = Field(ge=1)
    device_bytes: int | None = Field(default=None, ge=1)


class OpenDocument(_Message):
    """To a render child: open the file and count its pages."""

    kind: Literal["open"] = "open"
    path: str
    format: Format


class RenderPage(_Message):
    """To a render child: render one page of a file into `image_path`."""

    kind: Literal["render"] = "render"
    path: str
    format: Format
    page_number: int = Field(ge=1)
    image_path: str


class ReadPages(_Message):
    """To an engine child: read these pages; answered by as many `PageText` in `PagesRead`."""

    kind: Literal["read"] = "read"
    images: tuple[PageImage, ...]


class EngineReady(_Message):
    """From an engine child, once: it can read; and what it is."""

    kind: Literal["engine"] = "engine"
    name: str
    version: str
    models: dict[str, str]
    device: str
    configuration: str = Field(default="", description="digest of what else decides what is read")


class RendererReady(_Message):
    """From a render child, once: it can render."""

    kind: Literal["renderer"] = "renderer"


class DocumentOpened(_Message):
    """From a render child: the document can be read and has so many pages."""

    kind: Literal["opened"] = "opened"
    page_count: int = Field(ge=1)


class TextLine(_Message):
    """One line of text; `box` as `geometry` defines it, inside the page."""

    text: str = Field(min_length=1)
    box: tuple[Corner, Corner, Corner, Corner]
    confidence: Confidence


class DewarpedImage(_Message):
    """The image that was read, where it is no more the page as rendered: a data URI, and its size."""

    image: str
    width_px: int = Field(ge=1)
    height_px: int = Field(ge=1)


class PageContent(_Message):
    """What an engine read on one page, lines in reading order."""

    lines: tuple[TextLine, ...]
    angle: Literal[0, 90, 180, 270] = 0
    blocks: tuple[Block, ...] = ()
    tables: tuple[Table, ...] = ()
    formulas: tuple[Formula, ...] = ()
    markdown: str = ""
    dewarped: DewarpedImage | None = None


class PagesRead(_Message):
    """From an engine child: the pages of one `ReadPages`, in its order.

    `worn`: the child holds so much of its device's memory that it should be replaced.
    """

    kind: Literal["pages"] = "pages"
    pages: tuple[PageContent, ...]
    recycle_due: bool = False


def _encodable(text: str) -> str:
    """Libraries quote file names and bytes in their complaints, not always as valid Unicode."""
    return text.encode("utf-8", "replace").decode()


class RequestFailed(_Message):
    """From a child: the request cannot be fulfilled, and the child is still well."""

    kind: Literal["failed"] = "failed"
    code: Code
    message: Annotated[str, AfterValidator(_encodable)]


class HostFailure(_Message):
    """From a child: the machine cannot fulfil the request, whatever the document.

    `needed_bytes`: there is no room on the disk for a file of so many.
    """

    kind: Literal["broken"] = "broken"
    message: Annotated[str, AfterValidator(_encodable)]
    needed_bytes: int | None = Field(default=None, ge=0)


Request = OpenDocument | RenderPage | ReadPages
Reply = EngineReady | RendererReady | DocumentOpened | PageImage | PagesRead | RequestFailed | HostFailure


def answers(request: Request, reply: Reply) -> bool:
    """Whether this can be the reply to this request.

    A renderer that a hostile file has taken over must not choose which file is read and deleted.
    """
    match request, reply:
        case (_, RequestFailed() | HostFailure()) | (OpenDocument(), DocumentOpened()):
            return True
        case RenderPage(page_number=number, image_path=path), PageImage():
            return (reply.page_number, reply.path) == (number, path)
        case ReadPages(images=images), PagesRead(pages=pages):
            return len(pages) == len(images)
    return False


_REQUESTS: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])
_REPLIES: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="kind")])


class ByteStream(Protocol):
    """The reading side of a blocking pipe or socket file."""

    def read(self, size: int, /) -> bytes:
        """Return exactly `size` bytes, or fewer at the end of the stream."""
        ...


def frame(message: Request | Reply) -> bytes:
    """Write a message as one frame."""
    body = message.model_dump_json().encode()
    return LENGTH.pack(len(body)) + body


def frame_length(prefix: bytes) -> int:
    """Length of the body after the four bytes of `prefix`; raises ChildError where it is absurd."""
    (length,) = LENGTH.unpack(prefix)
    if length > MAX_FRAME_BYTES:
        raise ChildError(f"a child announced a frame of {length} bytes")
    return int(length)


def parse_reply(body: bytes) -> Reply:
    """Read what a child sent; raises ChildError where it is no reply."""
    try:
        return _REPLIES.validate_json(body)
    except ValidationError as error:
        raise ChildError(f"a child sent what is no reply: {error.errors()[0]['msg']}") from error


def read_request(stream: ByteStream) -> Request | None:
    """Wait, in a child, for the next request; None when the parent has gone."""
    prefix = stream.read(LENGTH.size)
    if len(prefix) < LENGTH.size:
        return None
    length = frame_length(prefix)
    body = stream.read(length)
    return _REQUESTS.validate_json(body) if len(body) == length else None
