"""Every command: data alone on standard output, what is wrong in one line, and its exit status.

Each runs as a process, at a terminal or not, against services that work, refuse, or are not there.
"""

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from local_cloud import LocalCloud

from consumer.domain.identity import FINGERPRINT, SOURCE_ETAG, STATUS
from tests.e2e import documents, forked
from tests.e2e.proxy import FaultProxy, answer
from tests.e2e.stack import Stack
from tests.viewer import documents as viewed

Done = subprocess.CompletedProcess[str]

#: Arguments of every command that ends, and the lines that it prints. SOURCE is read, FILE is here.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "submit": ("FILE BUCKET/sent/", r"uploaded s3://\S+"),
    "get": ("--text SOURCE", "HARBOUR"),
    "status": ("SOURCE", r"done     s3://\S+"),
    "status --watch": ("SOURCE", r"done     s3://\S+"),
    "view": ("SOURCE", r"read\.pdf\.ocr\.html"),
    "backfill": ("--yes --force SOURCE --json", r"\{.+\}"),
    "dlq list": ("", r"NO_RESULT  .+"),
    "dlq show": ("LETTER", r"(message_id|code|has_result|sources|sent_at|receives)  .+|\{.+\}|"),
    "dlq export": ("", r"\{.+\}"),
    "dlq redrive": ("--code GONE", "nothing"),
    "dlq purge": ("", r"kept +NO_RESULT .+"),
    "doctor": ("", r"(ok|warning) .+|        -> .+"),
    "models list": ("", r"rapidocr: .+"),
    "models verify": ("", r"rapidocr: .+"),
    "schema": ("", r"\{|  .+|\}"),
}
WITHOUT_SERVICES = {"models list", "models verify", "schema"}
#: Its business is to say what is wrong with services.
REPORTS = {"doctor"}
AT_SERVICES = [name for name in COMMANDS if name not in WITHOUT_SERVICES | REPORTS]
FAULTS = {"wrong key id": "InvalidAccessKeyId", "no permission": "AccessDenied", "no network": ""}

Cell = tuple[str, str]
Run = Callable[[str, str], Done]


def is_terminal(name: str, how: str) -> bool:
    """Every command is seen at a terminal and without, and so is every fault."""
    return (list(COMMANDS).index(name) + [*FAULTS, "bad option", "works"].index(how)) % 2 == 0


@pytest.fixture(scope="module")
def outcome(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run all, a few at the same time: most wait for a service that is not there."""
    folder = tmp_path_factory.mktemp("conventions")
    with (
        Stack.deployed(cloud, "conventions") as stack,
        FaultProxy(cloud.endpoint_url) as wrong_key,
        FaultProxy(cloud.endpoint_url) as denied,
        ThreadPoolExecutor(4) as pool,
        ThreadPoolExecutor(1) as alone,
    ):
        wrong_key.fail("*", answer(403, "InvalidAccessKeyId"), times=None)
        denied.fail("*", answer(403, "AccessDenied"), times=None)
        places = _prepared(stack, folder)
        ends = {
            "wrong key id": wrong_key.url,
            "no permission": denied.url,
            "no network": "http://127.0.0.1:9",
        }
        running: dict[Cell, Future[Done]] = {}
        for name, (arguments, _) in COMMANDS.items():
            for how in ("works", "bad option", *(ends if name in AT_SERVICES else [])):
                words = [*name.split(), *(places.get(word, word) for word in arguments.split())]
                words = [word.replace("BUCKET", places["BUCKET"]) for word in words]
                own = folder / f"{name} {how}"
                own.mkdir()
                environment = stack.seen_at(ends.get(how, cloud.endpoint_url)).environment(ENGINE="rapidocr")
                # One that looks at the dead letters hides them from others meanwhile.
                running[name, how] = (alone if name.startswith("dlq") and how == "works" else pool).submit(
                    forked.bucket_ocr,
                    environment,
                    own,
                    *words,
                    *(["--wrong"] if how == "bad option" else []),
                    is_terminal=is_terminal(name, how),
                )
        yield lambda name, how: running[name, how].result()


def _prepared(stack: Stack, folder: Path) -> dict[str, str]:
    """Put a source with a result there, and a dead letter of one without."""
    bucket = f"s3://{stack.silent_bucket}"
    source, result = folder / "here.pdf", folder / "result.json"
    source.write_bytes(documents.pdf("HARBOUR"))
    etag = stack.put("read.pdf", source.read_bytes(), silent=True)
    viewed.write_result(result, viewed.read(source), source.stat().st_size, etag=etag)
    metadata = {STATUS: "SUCCESS", SOURCE_ETAG: etag, FINGERPRINT: "f"}
    with result.open("rb") as body:
        stack.s3.put_object(Bucket=stack.silent_bucket, Key="read.pdf.ocr.json", Body=body, Metadata=metadata)
    stack.put("unread.pdf", b"%PDF-", silent=True)
    letter = stack.sqs.send_message(
        QueueUrl=stack.dead_letter_queue_url,
        MessageBody=f'{{"bucket-ocr": 1, "bucket": "{stack.silent_bucket}", "key": "unread.pdf"}}',
    )
    return {
        "BUCKET": bucket,
        "SOURCE": f"{bucket}/read.pdf",
        "FILE": str(source),
        "LETTER": letter["MessageId"],
    }


def _problem(done: Done, status: int) -> str:
    """Return the one line that says what is wrong."""
    assert (done.returncode, done.stdout) == (status, ""), done
    (line,) = done.stderr.splitlines()
    assert line.startswith("bucket-ocr: ")
    return line


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_works_prints_data_and_is_0(outcome: Run, name: str) -> None:
    done = outcome(name, "works")
    assert done.returncode == 0, done
    pattern = re.compile(COMMANDS[name][1])
    assert [line for line in done.stdout.splitlines() if not pattern.fullmatch(line)] == []
    assert bool(done.stdout) is (pattern.pattern != "nothing")
    assert "bucket-ocr: " not in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_bad_option_is_2_and_says_where_to_read_on(outcome: Run, name: str) -> None:
    line = _problem(outcome(name, "bad option"), 2)
    command = name.removesuffix(" --watch")
    assert line.startswith("bucket-ocr: No such option: --wrong")
    assert line.endswith(f"(see `bucket-ocr {command} --help`)")


@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("name", AT_SERVICES)
def test_a_service_that_refuses_or_is_not_there_is_3_and_says_what_to_do(
    outcome: Run, name: str, how: str
) -> None:
    line = _problem(outcome(name, how), 3)
    assert "s3://conventions-silent/" in line or "queue http" in line
    if how == "no network":
        assert "127.0.0.1:9" in line
        assert "check the network" in line
    else:
        # A HEAD has no body that could tell the code.
        assert FAULTS[how] in line or "403" in line
        assert "check the credentials" in line
