"""A bucket of many objects: how soon `status` begins to print, how long `backfill` plans, and their memory.

    make bench/status

A server that lists as many objects as are asked for, half of them results, and answers a HEAD of each. Beside
them runs `bucket-ocr --version`, which does nothing but start. It exits with 1 if `status` needs more than
two seconds of a processor until its first line, which on a busy machine come later, if one of them takes over
120 MB, or if a plan of 20,000 documents takes over a minute.
"""

import asyncio
import contextlib
import hashlib
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
from aiohttp import web

from bench.common import asked_for, report
from tests.e2e.stack import free_port

_PAGE = 1000
_MOST_S, _MOST_PLAN_S, _MOST_BYTES = 2.0, 60.0, 120e6
_ETAG = hashlib.md5(b"", usedforsecurity=False).hexdigest()


def main() -> int:
    """Measure once; returns the exit status."""
    count = asked_for(__doc__, "objects", 100_000)
    port = free_port()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(port, count // 2), daemon=True)
    server.start()
    environment = os.environ | {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    try:
        _wait_for(port)
        start = _run(["--version"], environment)
        listed = _run(["status", "s3://inbox/"], environment)
        planned = _run(["backfill", "s3://inbox/", "--summary", "--json"], environment)
    finally:
        server.kill()
    plan_s = planned.whole_s * 20_000 / (count // 2)
    figures = {
        "objects": count,
        "lines": listed.lines,
        "first_line_s": round(listed.first_s, 2),
        "start_alone_s": round(start.first_s, 2),
        "first_line_processor_s": round(listed.first_processor_s, 2),
        "start_alone_processor_s": round(start.first_processor_s, 2),
        "whole_s": round(listed.whole_s, 1),
        "most_mb": round(listed.most_bytes / 1e6, 1),
        "start_alone_mb": round(start.most_bytes / 1e6, 1),
        "plan_of_20000_s": round(plan_s, 1),
        "plan_most_mb": round(planned.most_bytes / 1e6, 1),
    }
    kept = listed.first_processor_s <= _MOST_S and plan_s <= _MOST_PLAN_S
    kept = kept and max(listed.most_bytes, planned.most_bytes) <= _MOST_BYTES
    return report(figures, kept=kept and (listed.lines, planned.lines) == (count // 2, 1))


@dataclass
class _Run:
    """A command: seconds, also of a processor, to its first line; seconds in all; most memory; lines."""

    first_s: float = 0.0
    first_processor_s: float = 0.0
    whole_s: float = 0.0
    most_bytes: int = 0
    lines: int = 0


def _run(arguments: Sequence[str], environment: dict[str, str]) -> _Run:
    started_s, run = time.monotonic(), _Run()
    command = [sys.executable, "-m", "consumer", *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        program = psutil.Process(process.pid)

        def watch() -> None:
            with contextlib.suppress(psutil.NoSuchProcess):
                while process.poll() is None:
                    run.most_bytes = max(run.most_bytes, program.memory_info().rss)
                    time.sleep(0.05)

        watching = threading.Thread(target=watch)
        watching.start()
        assert process.stdout is not None
        for _ in process.stdout:
            if not run.lines:
                run.first_s = time.monotonic() - started_s
                run.first_processor_s = sum(program.cpu_times()[:2])
            run.lines += 1
        process.wait()
        watching.join()
    run.whole_s = time.monotonic() - started_s
    return run


def _wait_for(port: int) -> None:
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)


def _serve(port: int, sources: int) -> None:
    """Serve a bucket with so many sources, each with its result, until killed."""
    keys = [f"{number:09}.pdf{ending}" for number in range(sources) for ending in ("", ".ocr.json")]

    async def answer(request: web.Request) -> web.Response:
        if request.method == "HEAD":
            return web.Response(
                headers={
                    "Content-Length": "9",
                    "ETag": f'"{_ETAG}"',
                    "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
                    "x-amz-meta-ocr-status": "SUCCESS",
                    "x-amz-meta-ocr-source-etag": _ETAG,
                    "x-amz-meta-ocr-fingerprint": "sha256:1",
                    "x-amz-meta-ocr-schema-version": "1.0",
                }
            )
        start = int(request.query.get("continuation-token", "0"))
        listed = keys[start : start + _PAGE]
        is_cut = start + _PAGE < len(keys)
        token = f"<NextContinuationToken>{start + _PAGE}</NextContinuationToken>" if is_cut else ""
        contents = "".join(
            f"<Contents><Key>{key}</Key><ETag>&quot;{_ETAG}&quot;</ETag><Size>9</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in listed
        )
        truncated = f"<IsTruncated>{str(is_cut).lower()}</IsTruncated>"
        body = f"<ListBucketResult>{truncated}{token}{contents}</ListBucketResult>"
        return web.Response(text=body, content_type="application/xml")

    async def run() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()

    asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main())
