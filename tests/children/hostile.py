"""Child processes that misbehave on demand: entry `hostile:build`, with the arguments `KIND WAY`.

An `engine` reads of a page the colour in its middle, as `#rrggbb`; it misbehaves on red pages. A `layout` is
an engine that does so only while it looks for blocks. A `renderer` is the real one; it misbehaves on page 2
of files that contain the word `hostile`. A `painter` behaves,
starts faster than the real one, and paints pages in the colours that the last line of the file lists. `WAY`
may also name a file: the process starts if it exists.
"""

import ctypes
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from consumer import protocol
from consumer.child import files
from consumer.child.serve import RequestHandler
from consumer.domain.geometry import Point
from consumer.domain.legibility import TextLine
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult

ENTRY = "hostile:build"
HOSTILE = "#ff0000"
HOSTILE_WORD = b"hostile"
LEAK_BYTES = 20_000_000
PAINTED_PX = 20
PROGRESS = protocol.encode(protocol.Progress())

_leaked: list[bytes] = []


def die_of_a_segmentation_fault() -> None:
    ctypes.string_at(0)


def exit_with_0() -> None:
    os._exit(0)


def be_killed_from_outside() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang_politely() -> None:
    time.sleep(3600)


def hang_holding_the_interpreter_lock() -> None:
    # Unlike CDLL, PyDLL does not give the lock back while the C function runs.
    ctypes.PyDLL(None).sleep(3600)


def spin() -> None:
    while True:
        pass


def be_stopped() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def eat_memory() -> None:
    while True:
        # Filled, since untouched memory costs nothing.
        _leaked.append(b"x" * LEAK_BYTES)


def send(message: bytes) -> None:
    socket.socket(fileno=os.dup(int(sys.argv[2]))).sendall(message)


def leak() -> None:
    _leaked.append(b"x" * LEAK_BYTES)


def print_to_stdout() -> None:
    sys.stdout.write('{"event": "not a log line"}\n')
    sys.stdout.flush()
    os.write(1, b"{}\n")


def send_without_end() -> None:
    while True:
        send(b"x" * 2**20)


def send_nested() -> None:
    send(b"[" * (protocol.MAX_MESSAGE_BYTES - 1) + b"\n")


def send_nonsense_of_full_length() -> None:
    send(b"x" * (protocol.MAX_MESSAGE_BYTES - 1) + b"\n")


def send_many_values() -> None:
    _send_values(protocol.MAX_MESSAGE_BYTES // 2 - 100)


def send_many_wrong_values() -> None:
    # As many as are looked at.
    _send_values(100_000)


def _send_values(count: int) -> None:
    send(b'{"kind":"pages","pages":[' + b",".join([b"0"] * count) + b"]}\n")


def send_parts_without_end() -> None:
    while True:
        send(b'{"kind":"lines","detections":[]}\n' * 1000)


def send_nonsense() -> None:
    send(b"\xff\xff nonsense\n")


def send_what_is_no_reply() -> None:
    send(b"{}\n")


def answer_for_nobody() -> None:
    send(protocol.encode(protocol.PagesRead(pages=())))


def forge_another_page() -> None:
    image = PageImage(
        page_number=1, path="", width_px=9, height_px=9, scale=1, dpi=72, downscaled=False, render_s=0
    )
    send(protocol.encode(protocol.PagesRead(pages=(image.result([]),))))


def hang_after_a_step() -> None:
    send(PROGRESS)
    hang_politely()


def make_progress_for_ever() -> None:
    while True:
        time.sleep(0.01)
        send(PROGRESS)


def send_progress_without_end() -> None:
    while True:
        send(PROGRESS * 1000)


def die_of_a_signal_without_a_name() -> None:
    os.kill(os.getpid(), signal.SIGRTMIN + 1)


def leave_a_process_behind() -> None:
    # It keeps the socket open, so that the parent sees no end of the stream.
    if os.fork() == 0:
        time.sleep(3600)
    os._exit(1)


def raise_an_error() -> None:
    raise ValueError("could not broadcast")


def behave() -> None:
    pass


WAYS: dict[str, Callable[[], None]] = {
    way.__name__: way
    for way in (
        die_of_a_segmentation_fault,
        os.abort,
        exit_with_0,
        be_killed_from_outside,
        hang_politely,
        hang_holding_the_interpreter_lock,
        spin,
        be_stopped,
        eat_memory,
        leak,
        print_to_stdout,
        send_without_end,
        send_nested,
        send_nonsense_of_full_length,
        send_many_values,
        send_many_wrong_values,
        send_parts_without_end,
        send_nonsense,
        send_what_is_no_reply,
        answer_for_nobody,
        forge_another_page,
        hang_after_a_step,
        make_progress_for_ever,
        send_progress_without_end,
        die_of_a_signal_without_a_name,
        leave_a_process_behind,
        raise_an_error,
        behave,
    )
}


class ColourReader:
    """The engine."""

    def __init__(self, misbehave: Callable[[], None], *, has_layout: bool = False) -> None:
        self._misbehave = misbehave
        self._has_layout = has_layout

    def ready(self) -> protocol.Reply:
        return protocol.EngineReady(
            name="colours", version="1", models={}, device="cpu", can_read_lines_only=self._has_layout
        )

    def handle(self, request: protocol.Request, progress: Callable[[], None]) -> protocol.Reply:
        assert isinstance(request, protocol.ReadPages)
        is_safe = self._has_layout and request.lines_only
        return protocol.PagesRead(pages=tuple(self._read(image, is_safe=is_safe) for image in request.images))

    def _read(self, image: PageImage, *, is_safe: bool) -> PageResult:
        middle = 3 * (image.height_px // 2 * image.width_px + image.width_px // 2)
        with files.readable(image.path) as file:
            file.seek(middle)
            blue, green, red = file.read(3)
        # Slower than rendering, so that pages wait and batches are full.
        time.sleep(0.02)
        colour = f"#{red:02x}{green:02x}{blue:02x}"
        if colour == HOSTILE and not is_safe:
            self._misbehave()
        right, bottom = image.width_px, image.height_px
        box = (Point(0, 0), Point(right, 0), Point(right, bottom), Point(0, bottom))
        return image.result([TextLine(box, colour, 1.0)], markdown=colour)


class Painter:
    """A renderer that needs no library."""

    def ready(self) -> protocol.Reply:
        return protocol.RendererReady()

    def handle(self, request: protocol.Request, progress: Callable[[], None]) -> protocol.Reply:
        assert isinstance(request, protocol.OpenDocument | protocol.RenderPage)
        with files.readable(request.path) as source:
            colours = json.loads(source.read().splitlines()[-1].removeprefix(b"%"))
        if isinstance(request, protocol.OpenDocument):
            return protocol.DocumentOpened(page_count=len(colours))
        red, green, blue = colours[request.page_number - 1]
        with files.writable(request.image_path) as image:
            image.write(bytes([255 * blue, 255 * green, 255 * red]) * PAINTED_PX**2)
        return PageImage(
            page_number=request.page_number,
            path=request.image_path,
            width_px=PAINTED_PX,
            height_px=PAINTED_PX,
            scale=1,
            dpi=72,
            downscaled=False,
            render_s=0,
        )


def hostile_renderer(options_json: str, misbehave: Callable[[], None]) -> RequestHandler:
    """The real renderer, until it meets a hostile page."""
    # An engine needs none of it, and it takes more than a second.
    from consumer.child.rendering import renderer

    render = renderer.PageRenderer.handle

    def handle(
        self: renderer.PageRenderer, request: protocol.Request, progress: Callable[[], None]
    ) -> protocol.Reply:
        match request:
            case protocol.RenderPage(path=path, page_number=2):
                with files.readable(path) as source:
                    if HOSTILE_WORD in source.read():
                        misbehave()
        return render(self, request, progress)

    renderer.PageRenderer.handle = handle  # type: ignore[method-assign]
    return renderer.build(options_json)


def build(options_json: str) -> RequestHandler:
    kind, way = json.loads(options_json)["arguments"]
    if "/" in way and not Path(way).exists():
        sys.exit(f"{way} is missing")
    if way == "never_get_ready":
        hang_politely()
    if way == "make_progress_before_it_is_ready":
        make_progress_for_ever()
    misbehave = WAYS.get(way, behave)
    if kind == "painter":
        return Painter()
    if kind == "renderer":
        return hostile_renderer(options_json, misbehave)
    return ColourReader(misbehave, has_layout=kind == "layout")
