"""Messages between the consumer and its child processes arrive as they were sent, or not at all."""

import json
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer import framing, protocol
from consumer.child import files
from consumer.domain.errors import ChildError, Code
from consumer.domain.formats import Format
from consumer.domain.geometry import Point
from consumer.domain.legibility import TextLine, TextWord
from consumer.domain.page import PageImage
from consumer.domain.result import failed_page
from tests.fakes import page_image

IMAGE = PageImage(
    page_number=3,
    path="/w/3.bgr",
    width_px=9,
    height_px=8,
    scale=2.0,
    dpi=None,
    downscaled=True,
    render_s=0.5,
)
BOX = (Point(0, 0), Point(9, 0), Point(9, 8), Point(0, 8))
REQUESTS: list[protocol.Request] = [
    protocol.OpenDocument(path="/w/ü \n.source", format=Format.PDF),
    protocol.RenderPage(path="/w/a.source", format=Format.TIFF, page_number=3, image_path="/w/3.bgr"),
    protocol.ReadPages(images=(IMAGE, IMAGE)),
]
REPLIES: list[protocol.Reply] = [
    protocol.EngineReady(name="rapidocr", version="3", models={"read": "m"}, device="cpu"),
    protocol.RendererReady(),
    protocol.DocumentOpened(page_count=5000),
    IMAGE,
    protocol.PagesRead(
        pages=(IMAGE.result([TextLine(BOX, "x", 0.25)], angle=90, markdown="x"), IMAGE.result([]))
    ),
    protocol.RequestFailed(code=Code.ENCRYPTED, message="a\nb"),
]


def body(message: protocol.Request | protocol.Reply | protocol.Progress) -> bytes:
    return protocol.encode(message).removesuffix(b"\n")


@pytest.mark.parametrize("reply", [*REPLIES, protocol.Progress()], ids=lambda reply: reply.kind)
def test_a_reply_arrives_as_it_was_sent(reply: protocol.Reply | protocol.Progress) -> None:
    assert protocol.parse_reply(body(reply)) == reply


@pytest.mark.parametrize(
    "message", [*REQUESTS, *REPLIES, protocol.Progress()], ids=lambda message: message.kind
)
def test_a_message_is_one_line_of_json(
    message: protocol.Request | protocol.Reply | protocol.Progress,
) -> None:
    assert json.loads(protocol.encode(message))["kind"] == message.kind
    assert protocol.encode(message).splitlines() == [body(message)]


def test_requests_arrive_one_by_one_with_their_files_until_the_parent_has_gone(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    request = protocol.OpenDocument(path="/not/there", format=Format.PDF)
    (tmp_path / "source").write_bytes(b"source")
    with theirs, ours, (tmp_path / "source").open("rb") as source:
        socket.send_fds(ours, [protocol.encode(request)], [source.fileno()])
        arriving = files.requests(theirs)
        assert next(arriving) == request
        with files.readable("/not/there") as file:
            assert file.read() == b"source"
        # A message that the parent's death has cut short is none.
        ours.sendall(protocol.encode(REQUESTS[2])[:-1])
        ours.close()
        assert list(arriving) == []
    with pytest.raises(FileNotFoundError):
        files.readable("/not/there")


@given(st.lists(st.text(min_size=1)), st.floats(0, 1))
@settings(deadline=None)
def test_any_text_and_confidence_cross(texts: list[str], confidence: float) -> None:
    reply = protocol.PagesRead(pages=(IMAGE.result([TextLine(BOX, text, confidence) for text in texts]),))
    assert protocol.parse_reply(body(reply)) == reply


READ = body(REPLIES[4])
# Of the page, and of its only line.
assert READ.count(b"0.25") == 2


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"Segmentation fault",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"kind":"open","path":"/etc/passwd","format":"application/pdf"}',
        b'{"kind":"unheard of"}',
        b'{"kind":"opened"}',
        b'{"kind":"opened","page_count":0}',
        b'{"kind":"failed","code":"UNHEARD_OF","message":""}',
        READ.replace(b"0.25", b"2"),
        READ.replace(b"0.25", b"NaN"),
        READ[:-1],
        READ * 2,
        b"[" * 100_000,
    ],
)
def test_an_invalid_reply_is_the_childs_error(garbage: bytes) -> None:
    with pytest.raises(ChildError, match="a child sent an invalid reply"):
        protocol.parse_reply(garbage)


@pytest.mark.parametrize("number", [b"Infinity", b"1e999"])
def test_a_page_image_of_infinite_scale_is_the_childs_error(number: bytes) -> None:
    with pytest.raises(ChildError):
        protocol.parse_reply(body(IMAGE).replace(b'"scale":2.0', b'"scale":' + number))


@given(st.binary())
def test_bytes_from_anywhere_are_the_childs_error(garbage: bytes) -> None:
    with pytest.raises(ChildError):
        protocol.parse_reply(garbage)


def test_an_error_text_that_is_not_unicode_still_arrives() -> None:
    body(protocol.RequestFailed(code=Code.ENGINE_ERROR, message="cannot read \udcff.bgr"))


def test_a_renderer_cannot_choose_which_file_is_read_and_deleted() -> None:
    asked = protocol.RenderPage(path="a.pdf", format=Format.PDF, page_number=2, image_path="/w/2.bgr")
    right = page_image(2, Path("/w/2.bgr"))

    assert protocol.is_reply_to(asked, right)
    assert not protocol.is_reply_to(asked, right.model_copy(update={"path": "/etc/passwd"}))
    assert not protocol.is_reply_to(asked, right.model_copy(update={"page_number": 3}))


def test_only_the_pages_of_the_request_are_its_reply_or_a_failure() -> None:
    asked = protocol.ReadPages(images=(page_image(1, Path("a")),))
    page = asked.images[0].result([])

    assert protocol.is_reply_to(asked, protocol.PagesRead(pages=(page,)))
    assert protocol.is_reply_to(asked, protocol.RequestFailed(code=Code.ENGINE_ERROR, message=""))
    assert protocol.is_reply_to(asked, protocol.HostFailure(message=""))
    assert not protocol.is_reply_to(asked, protocol.PagesRead(pages=(page, page)))
    assert not protocol.is_reply_to(asked, protocol.DocumentOpened(page_count=1))


@pytest.mark.parametrize("part", ["page", "detections", "warnings"])
def test_an_engine_cannot_write_into_another_page(part: str) -> None:
    asked = protocol.ReadPages(images=(IMAGE,))
    page = IMAGE.result([TextLine(BOX, "x", 0.25)])
    other = IMAGE.model_copy(update={"page_number": 4}).result([TextLine(BOX, "x", 0.25)])

    assert protocol.is_reply_to(asked, protocol.PagesRead(pages=(page,)))
    forged = page.model_copy(update={part: getattr(other, part)})
    assert not protocol.is_reply_to(asked, protocol.PagesRead(pages=(forged,)))


def test_an_engine_cannot_fail_a_page_without_a_reason() -> None:
    failed = failed_page(3, Code.ENGINE_ERROR, "").model_copy(update={"warnings": ()})
    assert not protocol.is_reply_to(protocol.ReadPages(images=(IMAGE,)), protocol.PagesRead(pages=(failed,)))


def test_a_page_of_any_number_of_lines_and_words_arrives_in_messages_of_limited_size() -> None:
    word = TextWord(BOX, "word", 0.5)
    many = IMAGE.result([TextLine(BOX, "a line, of text", 0.25, (word,) * 9)] * 20_000, markdown="x" * 10**6)
    reply = protocol.PagesRead(pages=(many, IMAGE.result([]), many), recycle_due=True)

    sent = [protocol.encode(part) for part in framing.parts(reply)]

    assert max(map(len, sent)) < protocol.MAX_MESSAGE_BYTES
    *before, last = map(protocol.parse_reply, sent)
    assert all(framing.is_part(part) for part in before)  # type: ignore[arg-type]
    assert framing.joined(before, last) == reply  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", [b"0", b"[]", b"{}", b'""', b"[0]"], ids=["numbers", "lists", "objects", "texts", "nested"]
)
@pytest.mark.parametrize(
    "frame", [b'{"kind":"pages","pages":[%s]}', b'{"kind":"written","endings":[%s]}', b"[%s]"]
)
def test_a_message_full_of_wrong_values_is_one_error(value: bytes, frame: bytes) -> None:
    """How much memory it takes is measured in `tests/children/test_hostile_messages.py`."""
    for count in (60_000, protocol.MAX_MESSAGE_BYTES // (len(value) + 1)):
        with pytest.raises(ChildError) as error:
            protocol.parse_reply(frame % b",".join([value] * count))
        assert len(str(error.value)) < 200
