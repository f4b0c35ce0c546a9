"""The commands as a user runs them: what they print, and their exit status."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import documents
from tests.e2e.stack import Consumer, Stack, bucket_ocr

GOLDEN = Path(__file__).parents[1] / "golden"
NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(stack: Stack, tmp_path: Path) -> Run:
    """Run a command; `variables` with their full names, an empty one counts as unset."""

    def command(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return bucket_ocr(stack.environment() | variables, tmp_path, *arguments)

    return command


def _files(folder: Path, **bodies: bytes) -> list[Path]:
    paths = []
    for name, body in bodies.items():
        paths.append(folder / f"{name}.pdf")
        paths[-1].write_bytes(body)
    return paths


def _one_line(result: subprocess.CompletedProcess[str]) -> str:
    """What went wrong, on standard error and in one line."""
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("bucket-ocr: ")
    return line


def test_submit_and_wait_prints_each_outcome(
    run: Run, stack: Stack, consumer: Consumer, tmp_path: Path
) -> None:
    files = _files(tmp_path, one=documents.pdf("ONE"), two=documents.pdf("TWO"))
    done = run("submit", "--wait", *files, f"s3://{stack.bucket}/sent/")
    assert (done.returncode, done.stderr) == (0, "")
    uris = [f"s3://{stack.bucket}/sent/{name}.pdf" for name in ("one", "two")]
    assert sorted(done.stdout.splitlines()) == [f"SUCCESS  {uri}" for uri in uris]


def test_submit_and_wait_fails_with_a_document(
    run: Run, stack: Stack, consumer: Consumer, tmp_path: Path
) -> None:
    files = _files(tmp_path, good=documents.pdf("GOOD"), bad=b"no PDF")
    done = run("submit", "--wait", "--json", *files, f"s3://{stack.bucket}/mixed/")
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert {fact["source"][-8:]: fact["status"] for fact in outcomes} == {
        "good.pdf": "SUCCESS",
        "/bad.pdf": "FAILURE",
    }


def test_submit_gives_up_waiting_after_the_timeout(run: Run, stack: Stack, tmp_path: Path) -> None:
    (file,) = _files(tmp_path, lonely=documents.pdf("LONELY"))
    done = run("submit", "--wait", "--timeout", 1, file, f"s3://{stack.silent_bucket}/lonely.pdf")
    assert done.returncode == 124
    assert "no result of 1 document(s) after 1 s" in _one_line(done)
    assert "lonely.pdf" in stack.keys(silent=True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["status", "inbox/1page.pdf"], "s3://bucket/key"),
        (["submit", __file__, "inbox"], "s3://bucket/key"),
        (["submit", "missing.pdf", "s3://inbox/"], "missing.pdf"),
        (["submit", __file__, "s3://inbox/a.pdf.ocr.json"], "not a name that a source may have"),
        (["get", "--text", "--json", "s3://inbox/a.pdf"], "choose one of"),
        (["read"], "read"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_wrong(run: Run, arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_get_prints_text_markdown_or_the_whole_result(run: Run, stack: Stack, consumer: Consumer) -> None:
    stack.put("shown.pdf", documents.pdf("FIRST", "SECOND"))
    result = stack.result("shown.pdf")
    uri = f"s3://{stack.bucket}/shown.pdf"
    assert run("get", "--text", uri).stdout == "FIRST\n\fSECOND\n"
    assert json.loads(run("get", "--json", uri).stdout) == json.loads(run("get", uri).stdout) == result
    markdown = run("get", "--markdown", uri)
    assert (markdown.returncode, markdown.stdout) == (
        0,
        "\n\n".join(page["markdown"] for page in result["pages"]) + "\n",
    )


def test_get_of_a_failed_or_missing_result_is_1_and_says_why(
    run: Run, stack: Stack, consumer: Consumer
) -> None:
    stack.put("failed.pdf", b"")
    stack.result("failed.pdf")
    failed = run("get", "--text", f"s3://{stack.bucket}/failed.pdf")
    assert failed.returncode == 1
    assert failed.stderr.startswith("bucket-ocr: EMPTY_FILE: ")
    missing = run("get", f"s3://{stack.bucket}/missing.pdf")
    assert missing.returncode == 1
    assert "has no result" in _one_line(missing)


def test_status_tells_the_state_of_each_source(run: Run, stack: Stack, consumer: Consumer) -> None:
    bodies = {"done": documents.pdf("DONE"), "failed": b"no PDF", "stale": documents.pdf("STALE")}
    for name, body in bodies.items():
        stack.put(f"s/{name}.pdf", body, silent=True)
        stack.request(f"s/{name}.pdf")
    for name in bodies:
        stack.result(f"s/{name}.pdf", silent=True)
    stack.put("s/stale.pdf", documents.pdf("NEWER"), silent=True)
    stack.put("s/pending.pdf", documents.pdf("PENDING"), silent=True)
    stack.put("s/notes.txt", b"no source", silent=True)
    uri = f"s3://{stack.silent_bucket}/s/"
    states = ["done", "failed", "pending", "stale"]
    people = run("status", uri)
    assert (people.returncode, people.stdout.splitlines()) == (
        1,
        [f"{state:<8} {uri}{state}.pdf" for state in states],
    )
    assert people.stderr == "4 document(s): 1 pending, 1 done, 1 failed, 1 stale\n"
    *lines, totals = map(json.loads, run("status", "--json", uri).stdout.splitlines())
    assert lines == [{"source": f"{uri}{state}.pdf", "state": state} for state in states]
    assert totals == {"totals": {"pending": 1, "done": 1, "partial": 0, "failed": 1, "stale": 1}}
    assert run("status", f"{uri}done.pdf").returncode == 0
    assert "no document" in _one_line(run("status", f"{uri}none"))


def test_an_unreachable_or_missing_service_is_3_in_one_line(run: Run, stack: Stack) -> None:
    unreachable = run("status", "s3://inbox/", **NOWHERE)
    assert unreachable.returncode == 3
    assert "127.0.0.1:9" in _one_line(unreachable)
    no_bucket = run("status", "s3://no-such-bucket-here/")
    assert no_bucket.returncode == 3
    assert "NoSuchBucket" in _one_line(no_bucket)
    missing = f"{stack.queue_url}-missing"
    no_queue = run("run", BUCKET_OCR_QUEUE_URL=missing)
    assert no_queue.returncode == 3
    assert missing in _one_line(no_queue)


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({"BUCKET_OCR_QUEUE_URL": ""}, "BUCKET_OCR_QUEUE_URL"),
        ({"BUCKET_OCR_LEASE_S": "5"}, "BUCKET_OCR_LEASE_S"),
        ({"BUCKET_OCR_LEASE_S": "90", "BUCKET_OCR_STALL_S": "60"}, "BUCKET_OCR_STALL_S"),
        ({"BUCKET_OCR_ENGINE": "tesseract"}, "BUCKET_OCR_ENGINE"),
        ({"BUCKET_OCR_DEVICE": "gpu"}, "BUCKET_OCR_DEVICE"),
        ({"BUCKET_OCR_WORK_DIR": "/nowhere"}, "BUCKET_OCR_WORK_DIR"),
    ],
)
def test_wrong_settings_are_2_in_one_line_that_names_the_setting(
    run: Run, variables: dict[str, str], names: str
) -> None:
    done = run("run", **variables)
    assert done.returncode == 2
    assert names in _one_line(done)


def test_schema_prints_the_schema_that_is_kept_in_the_repository(run: Run) -> None:
    kept = (GOLDEN / "result.schema.json").read_text(encoding="utf-8")
    assert json.loads(run("schema").stdout) == json.loads(kept), "the schema changed: is it still 1.x?"
