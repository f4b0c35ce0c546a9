"""A proxy between the consumer and LocalStack that knows the calls of S3 and SQS and spoils chosen ones.

    with FaultProxy(cloud.endpoint_url) as proxy:
        proxy.fail("GetObject", stall_midway(1000), key="a.pdf", after=1)
        ...  # a process whose AWS_ENDPOINT_URL is proxy.url
        assert proxy.count("GetObject", key="a.pdf") == 3

A call is carried out even if its client has gone meanwhile, as with a real service.
"""

import asyncio
import contextlib
import functools
import io
import json
import random
import re
import socket
import struct
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape, unescape

import aiohttp
import yarl
from aiohttp import web
from multidict import CIMultiDict

_START_S = 60.0
_CHUNK_BYTES = 64 * 1024
_BODY_LIMIT_BYTES = 1024**3
_HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
# Of a request, which is sent on whole.
_FRAMING = _HOP_BY_HOP | {"content-length", "expect"}
# A socket closed with this sends RST instead of FIN.
_LINGER_NOT = struct.pack("ii", 1, 0)

_ON_BUCKETS = {"HEAD": "HeadBucket", "GET": "ListObjects", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}
_ON_OBJECTS = {"HEAD": "HeadObject", "GET": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject"}


@dataclass(slots=True)
class Call:
    """A request that has arrived whole. `number` counts all, from 1; `place`: bucket, queue or topic.

    `parameters`: of S3, those of the query. `fault`: what was done to it. `status`: of the answer, if any.
    """

    number: int
    service: str
    operation: str
    place: str
    key: str | None
    headers: Mapping[str, str]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fault: str | None = None
    status: int | None = None

    def matches(self, operation: str, key: str | None) -> bool:
        """Whether it is this operation, or of this service (`s3`, `sqs`, `sns`), or `*`; `key` None: any."""
        return operation in {self.operation, self.service, "*"} and key in {None, self.key}


def _call(number: int, request: web.Request, body: bytes) -> Call:
    """Find out what is asked for: what names no target is taken for S3."""
    target, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
    if target:
        asked = json.loads(body or b"{}")
        queue = str(asked.get("QueueUrl", "")).rpartition("/")[2]
        return Call(
            number, target.removeprefix("Amazon").lower(), operation, queue, None, request.headers, asked
        )
    path, _, query = request.raw_path.partition("?")
    if request.content_type == "application/x-www-form-urlencoded":
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        topic = form.get("TopicArn", "").rpartition(":")[2]
        return Call(number, "sns", form.get("Action", ""), topic, None, request.headers, form)
    bucket, _, key = unquote(path.removeprefix("/")).partition("/")
    operation = (_ON_OBJECTS if key else _ON_BUCKETS).get(request.method, request.method)
    asked = parse_qs(query, keep_blank_values=True)
    for name, values in asked.items():
        if name == "list-type":
            operation = "ListObjectsV2"
            break
        if values == [""]:  # names a part of the resource, as in `?tagging`
            operation = f"{request.method}?{name}"
    if operation == "POST?delete":
        operation = "DeleteObjects"
        asked["Keys"] = [unescape(found) for found in re.findall(r"<Key>(.*?)</Key>", body.decode())]
    return Call(number, "s3", operation, bucket, key or None, request.headers, asked)


@dataclass
class Exchange:
    """One call on its way, as faults handle it. `upstream`: the address of the service."""

    call: Call
    request: web.Request
    body: bytes
    session: aiohttp.ClientSession
    upstream: str
    _response: web.StreamResponse | None = None

    @contextlib.asynccontextmanager
    async def forwarded(self) -> AsyncIterator[aiohttp.ClientResponse]:
        """Let the service carry it out; the body of its answer is still to be read."""
        url = yarl.URL(self.upstream + self.request.raw_path, encoded=True)
        headers = _without(_FRAMING, self.request.headers)
        body = io.BytesIO(self.body) if self.body else None
        async with self.session.request(
            self.request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answered:
            yield answered

    def cut(self, answered: aiohttp.ClientResponse, after_bytes: int) -> int | None:
        """Where to cut the body: so that at least one byte is missing. None: there is no body."""
        length = answered.content_length
        if self.request.method == "HEAD" or length == 0:
            return None
        return after_bytes if length is None else min(after_bytes, length - 1)

    async def send(
        self,
        answered: aiohttp.ClientResponse,
        size_bytes: int | None = None,
        length_bytes: int | None = None,
    ) -> web.StreamResponse:
        """Send the next bytes of the body, or the rest; the headers first, perhaps with another length."""
        if self._response is None:
            headers = _without(_HOP_BY_HOP, answered.headers)
            if length_bytes is not None and "Content-Length" in headers:
                headers["Content-Length"] = str(length_bytes)
            self._response = web.StreamResponse(
                status=answered.status, reason=answered.reason, headers=headers
            )
            self.call.status = answered.status
            await self._response.prepare(self.request)
        left = sys.maxsize if size_bytes is None else size_bytes
        while chunk := await answered.content.read(min(_CHUNK_BYTES, left)):
            await self._response.write(chunk)
            left -= len(chunk)
        return self._response

    async def relay(self) -> web.StreamResponse:
        """Do what a proxy without faults does."""
        async with self.forwarded() as answered:
            return await self.send(answered)

    def error(self, status: int, code: str, message: str) -> web.StreamResponse:
        """Answer in the form of the protocol."""
        self.call.status = status
        headers = {"x-amzn-RequestId": f"proxy-{self.call.number}"}
        if self.call.service == "s3":
            kind = "application/xml"
            text = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
        else:
            kind = "application/x-amz-json-1.0"
            text = json.dumps({"__type": f"com.amazonaws.{self.call.service}#{code}", "message": message})
            headers["x-amzn-query-error"] = f"{code};{'Sender' if status < 500 else 'Receiver'}"
        body = None if self.request.method == "HEAD" else text
        return web.Response(status=status, headers=headers, text=body, content_type=kind)


def _drop(request: web.Request, *, rst: bool = False) -> web.StreamResponse:
    """Close the connection, after what has been written so far."""
    if request.transport is not None:
        if rst:
            sock = request.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        request.transport.close()
    return web.Response()  # the server wants one, and finds that it cannot be sent


def _without(names: set[str], headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in names)


@dataclass(frozen=True, eq=False)
class Fault:
    """Done to a call instead of passing it on."""

    name: str
    play: Callable[[Exchange], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, eq=False)
class Hold(Fault):
    """A fault that holds calls, even those whose clients have gone. `reached`: the first one is held."""

    reached: threading.Event = field(default_factory=threading.Event)
    _released: "Future[None]" = field(default_factory=Future)

    def release(self) -> None:
        """Let them go on, and all later ones; none does after the proxy was closed."""
        with contextlib.suppress(InvalidStateError):
            self._released.set_result(None)

    async def wait(self) -> None:
        """Be held."""
        self.reached.set()
        await asyncio.wrap_future(self._released)


def answer(status: int, code: str, message: str = "") -> Fault:
    """Answer with an error of the service, which never sees the call."""

    async def play(exchange: Exchange) -> web.StreamResponse:
        return exchange.error(status, code, message)

    return Fault(f"answer({status}, {code})", play)


def reset_before() -> Fault:
    """Reset the connection (RST); the service never sees the call."""

    async def play(exchange: Exchange) -> web.StreamResponse:
        return _drop(exchange.request, rst=True)

    return Fault("reset_before", play)


def lost_response() -> Fault:
    """Have it carried out, then close the connection without an answer."""

    async def play(exchange: Exchange) -> web.StreamResponse:
        async with exchange.forwarded() as answered:
            await answered.read()
        return _drop(exchange.request)

    return Fault("lost_response", play)


def reset_midway(after_bytes: int, *, rst: bool = False) -> Fault:
    """Close the connection within the body, after so many bytes and before the last one.

    `rst`: reset it; what is still on the way may be lost then. Without a body, no answer is given.
    """

    async def play(exchange: Exchange) -> web.StreamResponse:
        async with exchange.forwarded() as answered:
            size_bytes = exchange.cut(answered, after_bytes)
            if size_bytes is not None:
                await exchange.send(answered, size_bytes)
        return _drop(exchange.request, rst=rst)

    return Fault(f"reset_midway({after_bytes})", play)


def truncated(after_bytes: int) -> Fault:
    """Send a sound answer, of the length it says, whose body lacks all behind `after_bytes`."""

    async def play(exchange: Exchange) -> web.StreamResponse:
        async with exchange.forwarded() as answered:
            size_bytes = exchange.cut(answered, after_bytes)
            return await exchange.send(answered, size_bytes, size_bytes)

    return Fault(f"truncated({after_bytes})", play)


def rewritten(change: Callable[[CIMultiDict[str], bytes], tuple[int, bytes]]) -> Fault:
    """Send another answer: `change` may alter the headers it is given, and gives status and body."""

    async def play(exchange: Exchange) -> web.StreamResponse:
        async with exchange.forwarded() as answered:
            headers = _without(_HOP_BY_HOP | {"content-length"}, answered.headers)
            status, body = change(headers, await answered.read())
        exchange.call.status = status
        return web.Response(status=status, headers=headers, body=body)

    return Fault("rewritten", play)


def stall_midway(after_bytes: int) -> Hold:
    """Send so much of the body, never all, then nothing until it is released."""

    async def play(exchange: Exchange) -> web.StreamResponse:
        async with exchange.forwarded() as answered:
            size_bytes = exchange.cut(answered, after_bytes)
            if size_bytes is not None:
                await exchange.send(answered, size_bytes)
            await gate.wait()
            return await exchange.send(answered)

    gate = Hold(f"stall_midway({after_bytes})", play)
    return gate


def _held(name: str, *, carried_out: bool) -> Hold:
    async def play(exchange: Exchange) -> web.StreamResponse:
        if not carried_out:
            await gate.wait()
            return await exchange.relay()
        async with exchange.forwarded() as answered:
            await gate.wait()
            return await exchange.send(answered)

    gate = Hold(name, play)
    return gate


def hold(*, carried_out: bool = False) -> Hold:
    """Hold it until it is released: before it is passed on, or when it is `carried_out` and not answered."""
    return _held(f"hold(carried_out={carried_out})", carried_out=carried_out)


def stall() -> Hold:
    """Accept it and never answer: `hold` by the name of what a client sees."""
    return _held("stall", carried_out=False)


def delay(seconds: float) -> Fault:
    """Pass it on so much later, even if its client's call has timed out."""

    async def play(exchange: Exchange) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await exchange.relay()

    return Fault(f"delay({seconds:g})", play)


@dataclass(slots=True)
class _Rule:
    operation: str
    key: str | None
    fault: Fault
    after: int
    times: int | None
    seen: int = 0

    def is_due(self) -> bool:
        """Whether the call counted last is one of those to be spoiled."""
        return self.seen > self.after and (self.times is None or self.seen <= self.after + self.times)


class FaultProxy:
    """The proxy, in a thread of its own; a context manager that drops every connection when it is left.

    `upstream_url`: the address it stands for. Calls that are still held or delayed then are never passed on.
    """

    def __init__(self, upstream_url: str) -> None:
        self.url = ""
        self._upstream = upstream_url.rstrip("/")
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._rules: list[_Rule] = []
        self._chance: Callable[[], Fault | None] = lambda: None
        self._started: Future[Callable[[], object]] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve()), name="fault proxy", daemon=True
        )

    def __enter__(self) -> Self:
        """Start it; `url` is where it listens."""
        self._thread.start()
        self._started.result(_START_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it, whatever it holds."""
        self._started.result()()
        self._thread.join()

    @property
    def calls(self) -> list[Call]:
        """The calls so far, in the order of their arrival."""
        with self._lock:
            return list(self._calls)

    def count(self, operation: str, *, key: str | None = None) -> int:
        """How many calls there were, see `Call.matches`."""
        return sum(call.matches(operation, key) for call in self.calls)

    def fail(
        self, operation: str, fault: Fault, *, key: str | None = None, times: int | None = 1, after: int = 0
    ) -> None:
        """Let `after` such calls pass from now on, then spoil `times` of them; None: all, until `heal`.

        Every rule counts the calls that match it; the first one that is due has its way.
        """
        with self._lock:
            self._rules.append(_Rule(operation, key, fault, after, times))

    def fail_randomly(self, share: float, rng_seed: int, faults: Sequence[Fault]) -> None:
        """Spoil this share of all calls that no rule spoils, each by any of the faults, until `heal`."""
        dice = random.Random(rng_seed)
        with self._lock:
            self._chance = lambda: dice.choice(faults) if dice.random() < share else None

    def heal(self) -> None:
        """Spoil no other call; those being held stay so."""
        with self._lock:
            self._rules.clear()
            self._chance = lambda: None

    def _admit(self, request: web.Request, body: bytes) -> tuple[Call, Fault | None]:
        with self._lock:
            call = _call(len(self._calls) + 1, request, body)
            self._calls.append(call)
            matching = [rule for rule in self._rules if call.matches(rule.operation, rule.key)]
            for rule in matching:
                rule.seen += 1
            fault = next((rule.fault for rule in matching if rule.is_due()), None) or self._chance()
            call.fault = fault.name if fault else None
        return call, fault

    async def _handle(self, session: aiohttp.ClientSession, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.read()
            call, fault = self._admit(request, body)
            exchange = Exchange(call, request, body, session, self._upstream)
            return await (fault.play(exchange) if fault else exchange.relay())
        except (aiohttp.ClientError, web.RequestPayloadError, ConnectionError):
            return _drop(request)  # the service is gone, or the client

    async def _serve(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        # A connection for each call: a call that finds an old one closed would be sent twice.
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        async with aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        ) as session:
            app = web.Application(client_max_size=_BODY_LIMIT_BYTES)
            app.router.add_route("*", "/{path:.*}", functools.partial(self._handle, session))
            runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=0.1)
            try:
                await runner.setup()
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
                self._started.set_result(lambda: loop.call_soon_threadsafe(stop.set))
                await stop.wait()
            finally:
                # The server would wait for handlers, and forgets those whose clients have gone.
                handlers = asyncio.all_tasks() - {asyncio.current_task()}
                for handler in handlers:
                    handler.cancel()
                await asyncio.gather(*handlers, return_exceptions=True)
                await runner.cleanup()
