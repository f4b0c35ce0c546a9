"""Output and exit status of the commands: in processes of their own if those matter, else in this one."""

import hashlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from consumer.domain.parts import Identity, PageRange, Piece
from tests.e2e import documents, in_process, terminal
from tests.e2e.proxy import FaultProxy, answer
from tests.e2e.stack import COMMAND_S, Consumer, Stack, bucket_ocr, until
from tests.viewer import documents as viewed

GOLDEN = Path(__file__).parents[1] / "golden"
NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
PROGRESS = re.compile(r"\d+( of \d+)? (MB|files|documents|results|pages) .*")
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
    (line,) = _messages(result)
    assert line.startswith("bucket-ocr: ")
    return line


def _messages(result: Done) -> list[str]:
    """Return the lines on standard error, without those of progress, which a slow machine has."""
    return [line for line in result.stderr.splitlines() if not PROGRESS.fullmatch(line)]


def test_submit_and_wait_prints_each_outcome(
    run: Run, stack: Stack, consumer: Consumer, tmp_path: Path
) -> None:
    files = _files(tmp_path, one=documents.pdf("ONE"), two=documents.pdf("TWO"))
    done = run("submit", "--wait", *files, f"s3://{stack.bucket}/sent/")
    assert (done.returncode, _messages(done)) == (0, [])
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
    assert "1 document(s) without a result" in _one_line(done)
    assert "lonely.pdf" in stack.keys(silent=True)


def test_submit_uploads_folders_and_patterns_and_goes_on_after_a_file_that_cannot_be_read(
    call: Run, stack: Stack, tmp_path: Path
) -> None:
    (tmp_path / "scans" / "may").mkdir(parents=True)
    _files(tmp_path / "scans" / "may", one=b"%PDF-1", two=b"%PDF-2")
    (tmp_path / "scans" / "notes.txt").write_bytes(b"notes")
    (tmp_path / "gone.pdf").symlink_to("nowhere")
    (tmp_path / "scans" / b"latin-\xfc.pdf".decode(errors="surrogateescape")).write_bytes(b"%PDF-")
    uri = f"s3://{stack.silent_bucket}/folders"
    done = call("submit", "scans", "gone.pdf", f"{uri}/")
    assert done.returncode == 1
    assert sorted(done.stdout.splitlines()) == [f"uploaded {uri}/may/{name}.pdf" for name in ("one", "two")]
    assert _messages(done) == [
        "bucket-ocr: folders/latin-\\udcfc.pdf is not a name that a source may have",
        "skipped: 1 of other types",
        "bucket-ocr: gone.pdf: No such file or directory",
    ]
    head = stack.object("folders/may/two.pdf", silent=True)
    assert head is not None
    assert (head["ContentType"], head["ETag"]) == (
        "application/pdf",
        f'"{hashlib.md5(b"%PDF-2").hexdigest()}"',
    )
    pattern = call("submit", "--json", "scans/**/t*.pdf", f"{uri}/patterns/")
    assert [json.loads(line)["source"] for line in pattern.stdout.splitlines()] == [
        f"{uri}/patterns/may/two.pdf"
    ]
    assert "end it with /" in _one_line(call("submit", "scans", f"{uri}/all.pdf"))
    assert "have the same name" in _one_line(
        call("submit", "scans", "scans/may/../may/one.pdf", "scans", f"{uri}/")
    )
    (tmp_path / "empty").mkdir()
    nothing = call("submit", "empty", f"{uri}/")
    assert (nothing.returncode, _one_line(nothing)) == (1, "bucket-ocr: there is no document in empty")


def test_standard_input_is_one_document(stack: Stack, tmp_path: Path) -> None:
    def submit(body: bytes, key: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "consumer", "submit", "-", f"s3://{stack.silent_bucket}/{key}"],
            cwd=tmp_path,
            env=stack.environment(),
            input=body,
            capture_output=True,
            timeout=COMMAND_S,
            check=False,
        )

    assert submit(b"%PDF-1.7", "piped").returncode == 0
    head = stack.object("piped", silent=True)
    assert head is not None
    assert (head["ContentType"], head["ContentLength"]) == ("application/pdf", 8)
    empty = submit(b"", "empty.pdf")
    assert (empty.returncode, empty.stderr) == (
        1,
        b"bucket-ocr: standard input is empty: nothing was uploaded\n",
    )
    assert "empty.pdf" not in stack.keys(silent=True)


def test_refusals_of_a_few_files_are_told_and_one_of_all_is_3_in_one_line(
    stack: Stack, tmp_path: Path
) -> None:
    files = [tmp_path / f"{number}.pdf" for number in range(12)]
    for file in files:
        file.write_bytes(b"%PDF-")
    with FaultProxy(stack.cloud.endpoint_url) as proxy:
        environment = stack.seen_at(proxy.url).environment()
        proxy.fail("PutObject", answer(403, "AccessDenied"), key="some/3.pdf", times=None)
        some = in_process.bucket_ocr(
            environment, tmp_path, "submit", *files, f"s3://{stack.silent_bucket}/some/"
        )
        assert (some.returncode, len(some.stdout.splitlines())) == (1, 11)
        (line,) = _messages(some)
        assert "3.pdf: PUT s3://" in line
        assert "AccessDenied" in line
        proxy.fail("PutObject", answer(403, "AccessDenied"), times=None)
        every = in_process.bucket_ocr(
            environment, tmp_path, "submit", *files, f"s3://{stack.silent_bucket}/all/"
        )
        assert every.returncode == 3
        assert "AccessDenied" in _one_line(every)


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
        (["submit", "--timeout", "5", __file__, "s3://inbox/"], "--timeout is for --wait"),
        (["submit", __file__, "s3://inbox/a.pdf.ocr.json"], "not a name that a source may have"),
        (["get", "--text", "--json", "s3://inbox/a.pdf"], "choose one of"),
        (["read"], "read"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_wrong(call: Run, arguments: list[str], problem: str) -> None:
    done = call(*arguments)
    assert done.returncode == 2
    assert problem in (line := _one_line(done))
    assert re.search(r"\(see `bucket-ocr( [a-z]+)? --help`\)$", line)


def test_get_prints_text_markdown_or_the_whole_result(call: Run, stack: Stack, consumer: Consumer) -> None:
    stack.put("shown.pdf", documents.pdf("FIRST", "SECOND"))
    result = stack.result("shown.pdf")
    uri = f"s3://{stack.bucket}/shown.pdf"
    assert call("get", "--text", uri).stdout == "FIRST\n\fSECOND\n"
    assert call("get", "--text", "--pages", "2-", uri).stdout == "SECOND\n"
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
    assert _one_line(failed).startswith(f"bucket-ocr: s3://{stack.bucket}/failed.pdf: EMPTY_FILE: ")
    missing = call("get", f"s3://{stack.bucket}/missing.pdf")
    assert missing.returncode == 1
    assert "has no result" in _one_line(missing)


def test_get_of_several_prints_them_one_after_the_other_or_writes_a_file_for_each(
    call: Run, stack: Stack, tmp_path: Path
) -> None:
    for number, key in enumerate(("g/one.pdf", "g/sub/two.pdf", "g/../three.pdf")):
        stack.put(key, b"%PDF-", silent=True)
        stack.put(f"{key}.ocr.json", long_result(number + 1, 3), silent=True)
    bucket = f"s3://{stack.silent_bucket}"
    one, two = f"{bucket}/g/one.pdf", f"{bucket}/g/sub/two.pdf"
    assert call("get", "--text", one, two).stdout == "xxx\n\fxxx\nxxx\n"
    assert [json.loads(line)["page_count"] for line in call("get", one, two).stdout.splitlines()] == [1, 1]
    missing = call("get", "--text", one, f"{bucket}/g/none.pdf", two)
    assert (missing.returncode, missing.stdout) == (1, "xxx\n\fxxx\nxxx\n")
    assert [line for line in _messages(missing) if "g/none.pdf has no result" in line]

    (tmp_path / "old.txt").write_text("old")
    written = call("get", "--text", one, "-o", "old.txt")
    assert (written.returncode, written.stdout, (tmp_path / "old.txt").read_text()) == (0, "", "xxx\n")
    failed = call("get", "--text", f"{bucket}/g/none.pdf", "-o", "old.txt")
    assert (failed.returncode, (tmp_path / "old.txt").read_text()) == (1, "xxx\n")

    fresh = call("get", "--csv", one, "-o", "fresh/")
    assert (fresh.returncode, fresh.stdout) == (0, "fresh/one.pdf.ocr.csv\n")

    stack.put("g/pending.pdf", b"%PDF-", silent=True)
    folder = call("get", "--text", f"{bucket}/g/", "-o", "new/")
    assert folder.returncode == 1
    assert sorted(folder.stdout.splitlines()) == ["new/one.pdf.ocr.txt", "new/sub/two.pdf.ocr.txt"]
    assert {line.partition(":")[2][:40] for line in _messages(folder)} == {
        " 1 document(s) have no result (yet): wai",
        f" {bucket}/g/../three.pdf: its key names no file"[:40],
    }
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "old.txt",
        "one.pdf.ocr.csv",
        "one.pdf.ocr.txt",
        "two.pdf.ocr.txt",
    ]
    assert (tmp_path / "new" / "sub" / "two.pdf.ocr.txt").read_text() == "xxx\nxxx\n"
    assert "1 page(s), and none of these" in _one_line(call("get", one, "--pages", "2-"))


def test_a_watch_tells_what_changes_until_nothing_is_to_come(stack: Stack, tmp_path: Path) -> None:
    etags = {name: stack.put(f"w/{name}.pdf", b"%PDF-", silent=True) for name in ("a", "b", "c")}
    uri = f"s3://{stack.silent_bucket}/w/"

    def finish(name: str, status: str) -> None:
        metadata = {"ocr-status": status, "ocr-source-etag": etags[name], "ocr-fingerprint": "f"}
        stack.s3.put_object(
            Bucket=stack.silent_bucket, Key=f"w/{name}.pdf.ocr.json", Body=b"{}", Metadata=metadata
        )

    finish("a", "SUCCESS")
    with subprocess.Popen(
        [sys.executable, "-m", "consumer", "status", "--watch", uri],
        cwd=tmp_path,
        env=stack.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = iter(process.stdout)
        assert [next(lines) for _ in etags] == [
            f"done     {uri}a.pdf\n",
            f"pending  {uri}b.pdf\n",
            f"pending  {uri}c.pdf\n",
        ]
        finish("c", "FAILURE")
        assert next(lines) == f"failed   {uri}c.pdf\n"
        finish("b", "PARTIAL")
        assert list(lines) == [f"partial  {uri}b.pdf\n"]
        assert process.stderr.read() == "3 document(s): 1 done, 1 partial, 1 failed\n"
    assert process.returncode == 1
    stack.put("w/d.pdf", b"%PDF-", silent=True)
    late = in_process.bucket_ocr(
        stack.environment(), tmp_path, "status", "--watch", "--timeout", "1", f"{uri}d"
    )
    assert late.returncode == 124
    assert late.stdout in {"", f"pending  {uri}d.pdf\n"}
    assert f"not all results of {uri}d are there after 1 s" in late.stderr
    stack.s3.delete_object(Bucket=stack.silent_bucket, Key="w/d.pdf")
    seen = terminal.bucket_ocr(stack.environment(), tmp_path, "status", "--watch", uri, is_whole=True)
    assert (seen.returncode, seen.stderr.splitlines()) == (
        1,
        ["3 document(s): 1 done, 1 partial, 1 failed", f"failed   {uri}c.pdf"],
    )


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
    assert (done.returncode, done.stdout, _messages(done)) == (0, "looked.pdf.ocr.html\n", [])
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
    more: dict[str, dict[str, object]] = {"working": {**progress}, "failed": {"code": "UNSUPPORTED_TYPE"}}
    people = call("status", uri)
    assert (people.returncode, people.stdout.splitlines()) == (
        1,
        [
            *(
                f"{state:<8} {uri}{state}.pdf{' UNSUPPORTED_TYPE' * (state == 'failed')}"
                for state in states[:-1]
            ),
            f"working  2/79 parts (130/5000 pages) {uri}working.pdf",
        ],
    )
    (counts,) = _messages(people)
    assert counts == "5 document(s): 1 pending, 1 working, 1 done, 1 failed, 1 stale"
    *lines, totals = map(json.loads, call("status", "--json", uri).stdout.splitlines())
    assert lines == [
        {"source": f"{uri}{state}.pdf", "state": state, **more.get(state, {})} for state in states
    ]
    assert totals == {
        "totals": {"pending": 1, "working": 1, "done": 1, "partial": 0, "failed": 1, "stale": 1}
    }
    assert call("status", f"{uri}done.pdf").returncode == 0
    summary = call("status", "--summary", uri)
    assert (summary.returncode, summary.stdout, _messages(summary)) == (1, f"{counts}\n", [])
    assert json.loads(call("status", "--summary", "--json", uri).stdout) == totals
    assert "no document" in _one_line(call("status", f"{uri}none"))


def test_a_reader_that_leaves_early_ends_a_command_quietly(stack: Stack, tmp_path: Path) -> None:
    # Lines that are together more than a pipe takes at once.
    lines, length = 300, 500
    for number in range(lines):
        stack.put(f"many/{number}-{'x' * length}.pdf", b"%PDF-", silent=True)
    stack.put("many.pdf", b"%PDF-", silent=True)
    stack.put("many.pdf.ocr.json", long_result(lines, length), silent=True)
    uploaded = {f"left/{number}.pdf" for number in range(20)}
    (tmp_path / "left").mkdir()
    for key in uploaded:
        (tmp_path / key).write_bytes(b"%PDF-")
    for arguments, first in (
        (f"submit left s3://{stack.silent_bucket}/left/", b"uploaded s3://"),
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
    # What was to be done is done.
    assert uploaded <= stack.keys(silent=True)


def test_output_is_utf_8_whatever_the_locale(run: Run, stack: Stack) -> None:
    stack.put("文/ü.pdf", b"%PDF-", silent=True)
    uri = f"s3://{stack.silent_bucket}/文/ü.pdf"
    assert run("status", uri, PYTHONIOENCODING="ascii").stdout == f"pending  {uri}\n"


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
    assert done.stdout == ""
    assert re.search("Usage: |Missing command", done.stderr)


def test_get_of_an_output_says_to_name_its_source(call: Run) -> None:
    done = call("get", "s3://inbox/a.pdf.ocr.pdf")
    assert done.returncode == 2
    assert "name its source" in " ".join(done.stderr.split())


def test_an_access_point_is_wrong_usage_that_says_what_to_name(call: Run) -> None:
    done = call("status", "s3://arn:aws:s3:us-east-1:123456789012:accesspoint/mine/a.pdf")
    assert (done.returncode, "name its bucket" in done.stderr) == (2, True)


@pytest.mark.parametrize(("typed", "completed"), [("dlq re", ["redrive"]), ("get --pa", ["--pages"])])
def test_a_shell_completes_commands_and_options(
    stack: Stack, tmp_path: Path, typed: str, completed: list[str]
) -> None:
    words = f"bucket-ocr {typed}"
    variables = {
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
        "_BUCKET_OCR_COMPLETE": "complete_bash",
    }
    done = in_process.bucket_ocr(stack.environment() | variables, tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, completed)


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
