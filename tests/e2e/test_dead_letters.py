"""`bucket-ocr dlq` on the queues of a stack."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from deploy import deploy
from local_cloud import LocalCloud

from tests.e2e import in_process, terminal
from tests.e2e.actions import arn, needed
from tests.e2e.proxy import FaultProxy, answer, hold
from tests.e2e.stack import COMMAND_S, Stack, bucket_ocr, until
from tests.infra.permissions import consumer_policy, listed, may

EVENTS = Path(__file__).parents[1] / "golden" / "events"
Done = subprocess.CompletedProcess[str]
Call = Callable[..., Done]


class DeadLetters:
    """Dead letters of a stack, as an operator of SQS puts and sees them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def add(self, body: str) -> str:
        """Put a message there; returns its id."""
        answer = self.stack.sqs.send_message(QueueUrl=self.stack.dead_letter_queue_url, MessageBody=body)
        return answer["MessageId"]

    def add_event(self, key: str) -> str:
        """Put AWS's own event there, in which the key is encoded; returns the id of the message."""
        name = {"a b/ü+1%.pdf": "s3_encoded_key.json", "x&y=z;'\"<>.pdf": "s3_encoded_special.json"}[key]
        event = json.loads((EVENTS / name).read_text(encoding="utf-8"))
        event["Records"][0]["s3"]["bucket"]["name"] = self.stack.silent_bucket
        return self.add(json.dumps(event))

    def add_request(self, key: str) -> str:
        """Put a request for an object of the silent bucket there."""
        return self.add(json.dumps({"bucket-ocr": 1, "bucket": self.stack.silent_bucket, "key": key}))

    def visible(self) -> dict[str, bool]:
        """By id, whether each can be received now."""
        found = self.stack.cloud.messages(self.stack.dead_letter_queue_url)
        return {message.message_id: message.visible for message in found}

    def source(self, key: str, code: str | None, status: str = "FAILURE") -> None:
        """Upload a source, with a result of this status and code; None: with no result."""
        etag = self.stack.put(key, b"%PDF-", silent=True)
        if status != "FAILURE" or code is not None:
            metadata = {"ocr-status": status, "ocr-source-etag": etag, "ocr-fingerprint": "none"}
            self.stack.s3.put_object(
                Bucket=self.stack.silent_bucket,
                Key=f"{key}.ocr.json",
                Body=b"{}",
                Metadata=metadata | ({"ocr-code": code} if code else {}),
            )

    def taken(self) -> list[tuple[str, int]]:
        """Receive all messages of the work queue; returns the body and the receive count of each."""
        found = []
        url = self.stack.queue_url
        while messages := self.stack.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["ApproximateReceiveCount"]
        ).get("Messages"):
            for message in messages:
                found.append((message["Body"], int(message["Attributes"]["ApproximateReceiveCount"])))
                self.stack.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found


@pytest.fixture(scope="module")
def module_stack(cloud: LocalCloud) -> Iterator[Stack]:
    with Stack.deployed(cloud, "dead-letters") as stack:
        yield stack


@pytest.fixture
def letters(module_stack: Stack) -> DeadLetters:
    for url in (module_stack.queue_url, module_stack.dead_letter_queue_url):
        module_stack.sqs.purge_queue(QueueUrl=url)
    return DeadLetters(module_stack)


@pytest.fixture
def dlq(letters: DeadLetters, tmp_path: Path) -> Call:
    """Run a command of `dlq` in this process."""

    def command(*arguments: object) -> Done:
        return in_process.bucket_ocr(letters.stack.environment(), tmp_path, "dlq", *arguments)

    return command


def lines(done: Done) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_looking_hides_nothing_and_a_redriven_message_has_all_its_tries(
    dlq: Call, letters: DeadLetters
) -> None:
    letters.source("a/one.pdf", "RETRIES_EXHAUSTED")
    ids = {letters.add_request("a/one.pdf") for _ in range(23)}
    for _ in range(2):
        (group,) = lines(dlq("list", "--json"))
        assert (group["code"], group["messages"], group["without_result"]) == ("RETRIES_EXHAUSTED", 23, 0)
        assert letters.visible() == dict.fromkeys(ids, True)
    moved = dlq("redrive")
    assert (moved.returncode, moved.stderr) == (0, "23 message(s) moved\n")
    assert len(moved.stdout.splitlines()) == 23
    assert letters.visible() == {}
    assert [receives for _, receives in letters.taken()] == [1] * 23


def test_messages_are_grouped_by_code_and_by_the_folder_below_the_prefix(
    dlq: Call, letters: DeadLetters
) -> None:
    letters.source("g/x/one.pdf", "RETRIES_EXHAUSTED")
    letters.source("g/x/two.pdf", None)
    letters.source("g/y/z/three.pdf", "RETRIES_EXHAUSTED")
    for key in ("g/x/one.pdf", "g/x/two.pdf", "g/y/z/three.pdf", "g/gone.pdf"):
        letters.add_request(key)
    letters.add("no message of ours")
    bucket = letters.stack.silent_bucket
    found = {(line["code"], line["prefix"]): line["messages"] for line in lines(dlq("list", "--json"))}
    assert found == {
        ("RETRIES_EXHAUSTED", f"s3://{bucket}/g/"): 2,
        ("NO_RESULT", f"s3://{bucket}/g/"): 1,
        ("GONE", f"s3://{bucket}/g/"): 1,
        ("MALFORMED", ""): 1,
    }
    below = lines(dlq("list", "--json", "--prefix", f"s3://{bucket}/g/"))
    assert {(line["code"], line["prefix"]) for line in below} == {
        ("RETRIES_EXHAUSTED", f"s3://{bucket}/g/x/"),
        ("RETRIES_EXHAUSTED", f"s3://{bucket}/g/y/"),
        ("NO_RESULT", f"s3://{bucket}/g/x/"),
        ("GONE", f"s3://{bucket}/g/"),
    }
    people = dlq("list")
    assert people.stderr == "5 message(s), 2 without a result\n"
    assert f"s3://{bucket}/g/" in people.stdout.splitlines()[0]


def test_a_redrive_by_code_moves_exactly_those(dlq: Call, letters: DeadLetters) -> None:
    letters.source("c/exhausted.pdf", "RETRIES_EXHAUSTED")
    letters.source("c/corrupt.pdf", "CORRUPT_DOCUMENT")
    letters.source("c/waiting.pdf", None)
    exhausted = letters.add_request("c/exhausted.pdf")
    others = {letters.add_request("c/corrupt.pdf"), letters.add_request("c/waiting.pdf")}
    moved = lines(dlq("redrive", "--code", "retries_exhausted", "--json"))
    assert [(line["outcome"], line["message_id"]) for line in moved] == [("redriven", exhausted)]
    assert letters.visible() == dict.fromkeys(others, True)
    ((body, _),) = letters.taken()
    assert json.loads(body)["key"] == "c/exhausted.pdf"


def test_a_prefix_is_compared_with_the_key_and_not_with_its_encoded_form(
    dlq: Call, letters: DeadLetters
) -> None:
    spaced, special = letters.add_event("a b/ü+1%.pdf"), letters.add_event("x&y=z;'\"<>.pdf")
    bucket = letters.stack.silent_bucket
    for prefix, wanted in (("a b/ü+", [spaced]), ("a+b/", []), ("x&y=", [special]), ("x%26y", [])):
        found = lines(dlq("export", "--prefix", f"s3://{bucket}/{prefix}"))
        assert [line["message_id"] for line in found] == wanted
    (moved,) = lines(dlq("redrive", "--prefix", f"s3://{bucket}/a b/", "--json"))
    assert (moved["message_id"], moved["sources"]) == (spaced, [f"s3://{bucket}/a b/ü+1%.pdf"])
    assert letters.visible() == {special: True}


def test_a_purge_keeps_what_has_no_result_unless_told_twice(dlq: Call, letters: DeadLetters) -> None:
    letters.source("p/failed.pdf", "CORRUPT_DOCUMENT")
    letters.source("p/read.pdf", None, "SUCCESS")
    letters.source("p/waiting.pdf", None)
    settled = {letters.add_request(f"p/{name}.pdf") for name in ("failed", "read", "gone")}
    waiting = {letters.add_request("p/waiting.pdf"), letters.add("no message of ours")}
    planned = dlq("purge")
    assert planned.returncode == 0
    assert {line.split()[0] for line in planned.stdout.splitlines()} == {"deletable", "kept"}
    assert planned.stderr.splitlines()[-1] == "nothing was changed: add --yes to delete"
    assert letters.visible() == dict.fromkeys(settled | waiting, True)
    purged = dlq("purge", "--yes")
    assert (purged.returncode, purged.stderr) == (1, "3 message(s) deleted, 2 kept without a result\n")
    assert letters.visible() == dict.fromkeys(waiting, True)
    assert dlq("purge", "--yes", "--without-result").returncode == 0
    assert letters.visible() == {}


def test_one_message_is_shown_and_all_are_exported_whole(dlq: Call, letters: DeadLetters) -> None:
    letters.source("s/one.pdf", "RETRIES_EXHAUSTED")
    body = json.dumps({"bucket-ocr": 1, "bucket": letters.stack.silent_bucket, "key": "s/one.pdf"})
    message_id = letters.add(body)
    letters.add("another")
    shown = dlq("show", message_id)
    assert shown.returncode == 0
    assert shown.stdout.endswith(f"\n\n{body}\n")
    assert f"s3://{letters.stack.silent_bucket}/s/one.pdf" in shown.stdout
    assert {line["body"] for line in lines(dlq("export"))} == {body, "another"}
    missing = dlq("show", "no-such-id")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "no-such-id" in missing.stderr
    assert set(letters.visible().values()) == {True}


def test_an_interrupted_look_shows_its_messages_again(letters: DeadLetters, tmp_path: Path) -> None:
    ids = {letters.add_request("i/slow.pdf") for _ in range(3)}
    with FaultProxy(letters.stack.cloud.endpoint_url) as proxy:
        held = hold()
        proxy.fail("HeadObject", held)
        with subprocess.Popen(
            [sys.executable, "-m", "consumer", "dlq", "list"],
            cwd=tmp_path,
            env=letters.stack.seen_at(proxy.url).environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            until(lambda: proxy.count("HeadObject"), COMMAND_S, "a look at a source")
            assert False in letters.visible().values()
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=COMMAND_S) == ("", "")
        held.release()
    assert process.returncode == 130
    assert letters.visible() == dict.fromkeys(ids, True)


@pytest.mark.parametrize("run", [bucket_ocr, terminal.bucket_ocr], ids=["pipe", "terminal"])
def test_standard_output_has_data_alone_and_what_is_wrong_is_one_line(
    run: Call, letters: DeadLetters, tmp_path: Path
) -> None:
    letters.add_request("e/gone.pdf")
    with FaultProxy(letters.stack.cloud.endpoint_url) as proxy:
        environment = letters.stack.seen_at(proxy.url).environment()
        (group,) = lines(run(environment, tmp_path, "dlq", "list", "--json"))
        assert group["code"] == "GONE"
        proxy.fail("GetQueueAttributes", answer(403, "InvalidClientTokenId"))
        _is_one_line(run(environment, tmp_path, "dlq", "list"), 3, "InvalidClientTokenId")
        proxy.fail("ReceiveMessage", answer(403, "AccessDenied"))
        _is_one_line(run(environment, tmp_path, "dlq", "redrive"), 3, "AccessDenied")
    nowhere = environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    _is_one_line(run(nowhere, tmp_path, "dlq", "purge"), 3, "127.0.0.1:9")
    unset = environment | {"BUCKET_OCR_QUEUE_URL": ""}
    _is_one_line(run(unset, tmp_path, "dlq", "export"), 2, "BUCKET_OCR_QUEUE_URL is not set")
    bad = run(environment, tmp_path, "dlq", "redrive", "--code", "NONE")
    assert (bad.returncode, bad.stdout, "unknown code NONE" in bad.stderr) == (2, "", True)


def _is_one_line(done: Done, status: int, words: str) -> None:
    line = done.stderr.removesuffix("\n")
    assert "\n" not in line, ascii(line)
    assert (done.returncode, done.stdout, line.startswith("bucket-ocr: ")) == (status, "", True), line
    assert words in line


def test_a_queue_without_dead_letters_is_wrong_usage(dlq: Call, letters: DeadLetters, tmp_path: Path) -> None:
    plain = letters.stack.sqs.create_queue(QueueName="without-dead-letters")["QueueUrl"]
    environment = letters.stack.environment(QUEUE_URL=plain)
    done = in_process.bucket_ocr(environment, tmp_path, "dlq", "list")
    _is_one_line(done, 2, "has no dead-letter queue")


def test_the_policy_of_operators_has_what_the_commands_need_and_no_more(
    cloud: LocalCloud, letters: DeadLetters, tmp_path: Path
) -> None:
    stack = letters.stack
    with contextlib.closing(cloud.client("cloudformation")) as cloudformation:
        names = dict.fromkeys(("stack", "bucket", "queue"), stack.bucket)
        outputs = deploy(cloudformation, **names)
    for key in ("gone.pdf", "also-gone.pdf"):
        letters.add(json.dumps({"bucket-ocr": 1, "bucket": stack.bucket, "key": key}))
    with FaultProxy(cloud.endpoint_url) as proxy:
        environment = stack.seen_at(proxy.url).environment()
        place = f"s3://{stack.bucket}/gone"
        for arguments in (["list"], ["redrive", "--prefix", place], ["purge", "--yes"]):
            assert in_process.bucket_ocr(environment, tmp_path, "dlq", *arguments).returncode == 0
        calls = proxy.calls
    policy = consumer_policy(cloud, outputs["OperatorPolicyArn"])
    wanted = {(action, arn(call)) for call in calls for action in needed(call)}
    assert [each for each in wanted if not may(policy, *each)] == []
    given = {action for statement in policy["Statement"] for action in listed(statement["Action"])}
    assert given == {action for action, _ in wanted}
