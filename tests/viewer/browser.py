"""A headless Chromium, driven by its DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/
"""

import asyncio
import base64
import contextlib
import io
import itertools
import json
import shutil
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
from PIL import Image

#: A busy machine takes minutes for what takes a second elsewhere.
DEADLINE_S: Final = 300.0

_FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-default-browser-check"),
    *("--disable-extensions", "--disable-background-networking", "--remote-debugging-port=0"),
    "--disable-dev-shm-usage",
)


def installed() -> str | None:
    """The path of Chromium (Debian: chromium)."""
    return shutil.which("chromium")


class BrowserError(Exception):
    """The browser refused a command, or a program in the page raised."""


class Tab:
    """A page of the browser. `events`: what it told, by method."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, pid: int) -> None:
        self.pid = pid
        self.events: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._socket = socket
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._session: dict[str, str] = {}

    async def listen(self) -> None:
        """Take messages until the browser ends."""
        async for message in self._socket:
            content = message.json()
            if "id" in content:
                self._replies.pop(content["id"]).set_result(content)
            else:
                self.events[content["method"]].append(content["params"])

    async def open(self) -> None:
        """Make the page, and let it tell of dialogs, requests, errors and log lines."""
        target = await self.send("Target.createTarget", url="about:blank")
        target_id = target["targetId"]
        attached = await self.send("Target.attachToTarget", targetId=target_id, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self.send(f"{domain}.enable")

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, and return its result."""
        number = next(self._numbers)
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params, **self._session})
        async with asyncio.timeout(DEADLINE_S):
            content = await reply
        if "error" in content:
            raise BrowserError(f"{method}: {content['error']}")
        result: dict[str, Any] = content["result"]
        return result

    async def size(self, width: int = 1280, height: int = 900) -> None:
        """Set the size of the window, in pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.send("Emulation.setDeviceMetricsOverride", **metrics)

    async def prefer(self, colours: str) -> None:
        """Prefer `light` or `dark` colours."""
        await self.send(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": colours}]
        )

    async def reset(self) -> None:
        """Forget what another test has set, and what was told."""
        await self.size()
        await self.prefer("light")
        self.events.clear()

    async def go(self, path: Path, fragment: str = "") -> None:
        """Open a file, and wait until it is loaded."""
        # A change of the fragment alone would load nothing.
        await self.send("Page.navigate", url="about:blank")
        await self.until("location.href === 'about:blank'")
        await self.send("Page.navigate", url=path.as_uri() + fragment)
        await self.until("location.protocol === 'file:' && document.readyState === 'complete'")

    async def value(self, expression: str) -> Any:
        """Return the value of an expression in the page; of a promise, once it is there."""
        while True:
            try:
                done = await self.send(
                    "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
                )
            except BrowserError as error:
                # The page was left while the promise waited.
                if "context was destroyed" in str(error) or "navigated" in str(error):
                    continue
                raise
            if "exceptionDetails" in done:
                raise BrowserError(json.dumps(done["exceptionDetails"]))
            return done["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until an expression is true in the page, looked at before every frame."""
        await self.value(
            f"""new Promise((done) => {{
              const look = () => (({condition}) ? done() : setTimeout(look, 20));
              look();
            }})"""
        )

    async def frames(self) -> None:
        """Wait until all that was changed is drawn."""
        await self.value(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
        )

    async def point(self, x: float, y: float) -> None:
        """Move the mouse."""
        await self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        await self.frames()

    async def click(self, x: float, y: float) -> None:
        """Click there."""
        await self.point(x, y)
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        await self.frames()

    async def press(self, key: str) -> None:
        """Press a key, by its name or its letter."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        await self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        await self.send("Input.dispatchKeyEvent", type="keyUp", key=key)
        await self.frames()

    async def type(self, text: str) -> None:
        """Type a text where the focus is."""
        await self.send("Input.insertText", text=text)
        await self.frames()

    async def picture(self) -> Image.Image:
        """What the window shows."""
        await self.frames()
        shown = await self.send("Page.captureScreenshot", format="png")
        return Image.open(io.BytesIO(base64.b64decode(shown["data"]))).convert("RGB")


@asynccontextmanager
async def opened() -> AsyncIterator[Tab]:
    """Start a browser with one page."""
    program = installed()
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="bucket-ocr-browser-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program, *_FLAGS, f"--user-data-dir={profile}", stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
        )
        try:
            async with asyncio.timeout(DEADLINE_S):
                address = await _address(process)
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(address, max_msg_size=0) as socket,
            ):
                tab = Tab(socket, process.pid)
                listening = asyncio.create_task(tab.listen())
                await tab.open()
                await tab.reset()
                yield tab
                listening.cancel()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    said = b""
    async for line in process.stderr:
        said += line
        _, found, address = line.partition(b"DevTools listening on ")
        if found:
            return address.decode().strip()
    raise BrowserError(f"Chromium did not start: {said.decode(errors='replace')}")
