"""Uploads of `submit`, and the results that they wait for."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consumer.aws.client_upload import ClientUploads
from consumer.cli.exits import ExitStatus
from consumer.cli.local_files import FileBody
from consumer.cli.uploads import Upload
from consumer.domain import identity
from consumer.domain.errors import ForbiddenError
from consumer.domain.result import Source
from consumer.ports import NewObject, ObjectInfo
from tests.fakes import BUCKET
from tests.fakes.virtual_time import EPOCH, running_loop

WAIT_S = 600.0


class Uploads:
    """Takes so long for each upload."""

    def __init__(self, upload_s: float = 0.0) -> None:
        self.upload_s = upload_s

    async def upload(self, *_: object) -> str:
        await asyncio.sleep(self.upload_s)
        return "etag"


class Results:
    """Has a result of every source from its time on, in seconds; a request takes `request_s`."""

    def __init__(self, *at_s: float, request_s: float = 0.0) -> None:
        self.request_s = request_s
        self.at_s = {f"{number}.pdf.ocr.json": at_s for number, at_s in enumerate(at_s)}

    async def head(self, bucket: str, key: str) -> ObjectInfo | None:
        await asyncio.sleep(self.request_s)
        if running_loop().time() < self.at_s[key]:
            return None
        metadata = {identity.STATUS: "SUCCESS", identity.SOURCE_ETAG: "etag", identity.FINGERPRINT: "f"}
        facts: dict[str, Any] = {"bucket": bucket, "key": key, "etag": "r", "size": 1, "last_modified": EPOCH}
        return ObjectInfo(Source.model_construct(**facts), metadata)


class Clients:
    def __init__(self, uploads: Any, store: Any) -> None:
        self.uploads, self.store = uploads, store


@pytest.fixture
def targets(tmp_path: Path) -> Callable[[int], list[tuple[Path, str]]]:
    def make(count: int) -> list[tuple[Path, str]]:
        path = tmp_path / "a.pdf"
        path.write_bytes(b"%PDF-")
        return [(path, f"{number}.pdf") for number in range(count)]

    return make


Targets = Callable[[int], list[tuple[Path, str]]]


async def submitted(uploads: Uploads, results: Results, targets: list[tuple[Path, str]]) -> ExitStatus:
    clients: Any = Clients(uploads, results)
    return await Upload(BUCKET, WAIT_S, as_json=False).run(clients, targets)


async def test_the_time_out_begins_after_the_last_upload(
    targets: Targets, capsys: pytest.CaptureFixture[str]
) -> None:
    done = await submitted(Uploads(2 * WAIT_S), Results(3 * WAIT_S - 60), targets(1))
    assert (done, capsys.readouterr().out) == (ExitStatus.DONE, f"SUCCESS  s3://{BUCKET}/0.pdf\n")


async def test_every_result_begins_the_time_out_anew(targets: Targets) -> None:
    done = await submitted(Uploads(), Results(*(number * WAIT_S * 0.9 for number in range(5))), targets(5))
    assert done is ExitStatus.DONE


async def test_no_result_for_the_time_out_is_124_and_tells_how_many_are_missing(
    targets: Targets, capsys: pytest.CaptureFixture[str]
) -> None:
    done = await submitted(Uploads(), Results(100, 1e9, 1e9), targets(3))
    assert done is ExitStatus.TIMED_OUT
    assert f"2 document(s) without a result, such as s3://{BUCKET}/1.pdf" in capsys.readouterr().err
    assert 100 + WAIT_S <= running_loop().time() < 2 * WAIT_S


async def test_a_time_out_at_the_moment_of_the_last_result_is_none(
    targets: Targets, capsys: pytest.CaptureFixture[str]
) -> None:
    # Less than what the loop's clock can tell: both are due in the same round.
    done = await submitted(Uploads(), Results(0, request_s=WAIT_S - 5e-10), targets(1))
    assert (done, capsys.readouterr().out) == (ExitStatus.DONE, f"SUCCESS  s3://{BUCKET}/0.pdf\n")


class Parts:
    """S3 that takes parts and may refuse to remove them."""

    def __init__(self, *, refuses_aborts: bool = False) -> None:
        self.refuses_aborts = refuses_aborts
        self.has_part = asyncio.Event()
        self.aborted: list[str] = []

    async def create_multipart_upload(self, **_: object) -> dict[str, str]:
        return {"UploadId": "u"}

    async def upload_part(self, **_: object) -> dict[str, str]:
        self.has_part.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def abort_multipart_upload(self, **upload: str) -> None:
        if self.refuses_aborts:
            raise ForbiddenError("AccessDenied")
        self.aborted.append(upload["UploadId"])


@pytest.mark.parametrize("refuses_aborts", [False, True])
async def test_an_upload_that_is_interrupted_leaves_no_parts_or_tells_of_them(
    tmp_path: Path, refuses_aborts: bool
) -> None:
    path, s3, told = tmp_path / "a.pdf", Parts(refuses_aborts=refuses_aborts), list[str]()
    path.write_bytes(bytes(20))
    client: Any = s3
    with FileBody.opened(path) as body:
        new = NewObject("b", "a.pdf", body, {}, "application/pdf")
        uploads = ClientUploads(client, told.append, part_bytes=10)
        upload = asyncio.create_task(uploads.upload(new, lambda: None, lambda _: None))
        await s3.has_part.wait()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
    if refuses_aborts:
        (line,) = told
        assert "AccessDenied: parts stay" in line
    else:
        assert (s3.aborted, told) == (["u"], [])
