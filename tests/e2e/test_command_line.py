"""Output and exit status of the commands: in processes of their own if those matter, else in this one."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from consumer.domain.parts import Identity, PageRange, Piece
from tests.e2e import documents, in_process
from tests.e2e.stack import COMMAND_S, Consumer, Stack, bucket_ocr, until
from tests.viewer import documents as viewed

GOLDEN = Path(__file__).parents[1] / "golden"
NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


@pytest.fixture
def run(stack: Stack, tmp_path: Path) -> Run:
    """Run a command as a process; an empty variable counts as unset."""

    def command(*arguments: object, **variables: str) -> Done:
        return bucket_ocr(stack.environment() | variables, tmp_path, *arguments)

    return command


@pytest.fixture
def call(stack: Stack, tmp_path: Path) -> Run:
    """Run a command in this process."""

    def command(*arguments: object) -> Done:
        return in_process.bucket_ocr(stack.environment(), tmp_path, *arguments)

    return command


def _files(folder: Path, **bodies: bytes) -> list[Path]:
    paths = []
    for name, body in bodies.items():
        paths.append(folder / f"{name}.pdf")
        paths[-1].write_bytes(body)
    return paths


def _one_line(result: Done) -> str:
    """Return the problem: one line on standard error, and nothing on standard output."""
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


def test_submit_and_wait_fails_if_a_document_does(
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


def test_ctrl_c_is_quiet_and_130(stack: Stack, tmp_path: Path) -> None:
    (file,) = _files(tmp_path, cut=documents.pdf("CUT"))
    command = ["submit", "--wait", str(file), f"s3://{stack.silent_bucket}/cut.pdf"]
    with subprocess.Popen(
        [sys.executable, "-m", "consumer", *command],
        cwd=tmp_path,
        env=stack.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until(lambda: "cut.pdf" in stack.keys(silent=True), COMMAND_S, "upload")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=COMMAND_S) == ("", "")
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["status", "inbox/1page.pdf"], "s3://bucket/key"),
        (["submit", __file__, "inbox"], "s3://bucket/key"),
        (["submit", "missing.pdf", "s3://inbox/"], "missing.pdf"),
        (["submit", __file__, "s3://inbox/a.pdf.ocr.json"], "not a name that a source may have"),
        (["get", "--text", "--json", "s3://inbox/a.pdf"], "choose one of"),
        (["read"], "read"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_wrong(call: Run, arguments: list[str], problem: str) -> None:
    done = call(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr


def test_get_prints_text_markdown_or_the_whole_result(call: Run, stack: Stack, consumer: Consumer) -> None:
    stack.put("shown.pdf", documents.pdf("FIRST", "SECOND"))
    result = stack.result("shown.pdf")
    uri = f"s3://{stack.bucket}/shown.pdf"
    assert call("get", "--text", uri).stdout == "FIRST\n\fSECOND\n"
    assert json.loads(call("get", "--json", uri).stdout) == json.loads(call("get", uri).stdout) == result
    markdown = call("get", "--markdown", uri)
    assert (markdown.returncode, markdown.stdout) == (
        0,
        "\n\n".join(page["markdown"] for page in result["pages"]) + "\n",
    )


def test_get_of_a_failed_or_missing_result_is_1_and_says_why(
    call: Run, stack: Stack, consumer: Consumer
) -> None:
    stack.put("failed.pdf", b"")
    stack.result("failed.pdf")
    failed = call("get", "--text", f"s3://{stack.bucket}/failed.pdf")
    assert failed.returncode == 1
    assert failed.stderr.startswith("bucket-ocr: EMPTY_FILE: ")
    missing = call("get", f"s3://{stack.bucket}/missing.pdf")
    assert missing.returncode == 1
    assert "has no result" in _one_line(missing)


def test_view_writes_the_page_of_the_very_source_that_was_read(
    call: Run, stack: Stack, tmp_path: Path
) -> None:
    (source,) = _files(tmp_path, looked=documents.pdf("HARBOUR"))
    result = tmp_path / "result.json"
    etag = stack.put("looked.pdf", source.read_bytes(), silent=True)
    pages = viewed.read(source)
    viewed.write_result(result, pages, source.stat().st_size, etag=etag)
    stack.put("looked.pdf.ocr.json", result.read_bytes(), silent=True)
    uri = f"s3://{stack.silent_bucket}/looked.pdf"
    done = call("view", uri)
    assert (done.returncode, done.stdout, done.stderr) == (0, "looked.pdf.ocr.html\n", "")
    assert b"HARBOUR" in (tmp_path / "looked.pdf.ocr.html").read_bytes()
    stack.put("looked.pdf", documents.pdf("ANOTHER"), silent=True)
    assert "has changed since it was read" in _one_line(call("view", uri))
    assert "has no result (yet)" in _one_line(call("view", f"s3://{stack.silent_bucket}/nothing.pdf"))


def test_status_shows_the_state_of_each_source(call: Run, stack: Stack, consumer: Consumer) -> None:
    bodies = {"done": documents.pdf("DONE"), "failed": b"no PDF", "stale": documents.pdf("STALE")}
    for name, body in bodies.items():
        stack.put(f"s/{name}.pdf", body, silent=True)
        stack.request(f"s/{name}.pdf")
    for name in bodies:
        stack.result(f"s/{name}.pdf", silent=True)
    stack.put("s/stale.pdf", documents.pdf("NEWER"), silent=True)
    stack.put("s/pending.pdf", documents.pdf("PENDING"), silent=True)
    etag = stack.put("s/working.pdf", documents.pdf("WORKING"), silent=True)
    whose = Identity.of(etag, None, "any engine", 5000)
    for first, last in ((1, 70), (65, 130)):
        piece = Piece.named("s/working.pdf", whose, PageRange(first, last))
        stack.put(piece.key, b"", silent=True)
    stack.put("s/notes.txt", b"no source", silent=True)
    uri = f"s3://{stack.silent_bucket}/s/"
    states = ["done", "failed", "pending", "stale", "working"]
    progress = {"parts_done": 2, "parts": 79, "pages_done": 130, "pages": 5000}
    people = call("status", uri)
    assert (people.returncode, people.stdout.splitlines()) == (
        1,
        [
            *(f"{state:<8} {uri}{state}.pdf" for state in states[:-1]),
            f"working  2/79 parts (130/5000 pages) {uri}working.pdf",
        ],
    )
    assert people.stderr == "5 document(s): 1 pending, 1 working, 1 done, 1 failed, 1 stale\n"
    *lines, totals = map(json.loads, call("status", "--json", uri).stdout.splitlines())
    assert lines == [
        {"source": f"{uri}{state}.pdf", "state": state} | (progress if state == "working" else {})
        for state in states
    ]
    assert totals == {
        "totals": {"pending": 1, "working": 1, "done": 1, "partial": 0, "failed": 1, "stale": 1}
    }
    assert call("status", f"{uri}done.pdf").returncode == 0
    summary = call("status", "--summary", uri)
    assert (summary.returncode, summary.stdout, summary.stderr) == (1, people.stderr, "")
    assert json.loads(call("status", "--summary", "--json", uri).stdout) == totals
    assert "no document" in _one_line(call("status", f"{uri}none"))


def test_a_reader_that_leaves_early_ends_a_command_quietly(stack: Stack, tmp_path: Path) -> None:
    # Lines that are together more than a pipe takes at once.
    lines, length = 300, 500
    for number in range(lines):
        stack.put(f"many/{number}-{'x' * length}.pdf", b"%PDF-", silent=True)
    stack.put("many.pdf", b"%PDF-", silent=True)
    stack.put("many.pdf.ocr.json", long_result(lines, length), silent=True)
    for arguments, first in (
        (f"status s3://{stack.silent_bucket}/many/", b"pending  s3://"),
        (f"get --text s3://{stack.silent_bucket}/many.pdf", b"x" * 60),
    ):
        command = f'{sys.executable} -m consumer {arguments} | head -1; echo "status ${{PIPESTATUS[0]}}"'
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=stack.environment(),
            capture_output=True,
            timeout=COMMAND_S,
            check=True,
        )
        line, status = done.stdout.splitlines()
        assert (line[: len(first)], status, done.stderr) == (first, b"status 0", b"")


def long_result(lines: int, length: int) -> bytes:
    """A result document with so many lines of this length on one page."""
    line = {
        "text": "x" * length,
        "box": [[0, 0], [1, 0], [1, 1], [0, 1]],
        "confidence": 1.0,
        "page_number": 1,
    }
    document = {"schema_version": "1.0", "status": "SUCCESS", "page_count": 1, "detections": [line] * lines}
    return json.dumps(document).encode()


@pytest.mark.parametrize("arguments", [["--"], []])
def test_no_command_is_wrong_usage(call: Run, arguments: list[str]) -> None:
    done = call(*arguments)
    assert done.returncode == 2
    assert "Usage: " in done.stdout + done.stderr


def test_get_of_an_output_says_to_name_its_source(call: Run) -> None:
    done = call("get", "s3://inbox/a.pdf.ocr.pdf")
    assert done.returncode == 2
    assert "name its source" in " ".join(done.stderr.split())


def test_an_access_point_is_wrong_usage_that_says_what_to_name(call: Run) -> None:
    done = call("status", "s3://arn:aws:s3:us-east-1:123456789012:accesspoint/mine/a.pdf")
    assert (done.returncode, "name its bucket" in done.stderr) == (2, True)


@pytest.mark.parametrize("command", ["doctor", "run"])
def test_ctrl_c_while_the_modules_are_imported_is_quiet(stack: Stack, tmp_path: Path, command: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "consumer", command],
        cwd=tmp_path,
        env=stack.environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert any(" pydantic" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.readlines()
    assert process.returncode == 130
    assert [line for line in rest if not line.startswith("import time:")] == []


def test_a_missing_bucket_is_3_in_one_line(call: Run) -> None:
    done = call("status", "s3://no-such-bucket-here/")
    assert done.returncode == 3
    assert "NoSuchBucket" in _one_line(done)


def test_an_unreachable_service_or_missing_queue_is_3_in_one_line(run: Run, stack: Stack) -> None:
    unreachable = run("status", "s3://inbox/", **NOWHERE)
    assert unreachable.returncode == 3
    assert "127.0.0.1:9" in _one_line(unreachable)
    missing = f"{stack.queue_url}-missing"
    no_queue = run("run", BUCKET_OCR_QUEUE_URL=missing)
    assert no_queue.returncode == 3
    assert missing in _one_line(no_queue)


@pytest.mark.parametrize("variable", ["QUEUE_URL=", "ENGINE=tesseract", "DEVICE=gpu"])
def test_a_wrong_setting_is_2_in_one_line_that_names_it(run: Run, variable: str) -> None:
    name, _, value = f"BUCKET_OCR_{variable}".partition("=")
    done = run("run", **{name: value})
    assert done.returncode == 2
    assert name in _one_line(done)


def test_schema_prints_the_schema_that_is_kept_in_the_repository(call: Run) -> None:
    kept = (GOLDEN / "result.schema.json").read_text(encoding="utf-8")
    assert json.loads(call("schema").stdout) == json.loads(kept), "the schema changed: is it still 1.x?"
