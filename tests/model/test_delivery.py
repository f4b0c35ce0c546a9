"""Whatever happens to messages, objects, calls and consumers: every document gets its result, and keeps it.

Two real consumers over a model of S3 and SQS, in virtual time. A failing schedule is shrunk by Hypothesis,
and its events are printed with it.
"""

import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final
from urllib.parse import quote_plus

import hypothesis
import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from consumer.domain import identity, keys, parts
from consumer.domain.result import Engine
from tests.fakes import BUCKET, ENGINE, NEWER_ENGINE
from tests.fakes.cloud import BROKEN, LEASE_S, Cloud, Queued
from tests.fakes.network import Fault, Faults
from tests.fakes.outputs import are_texts
from tests.fakes.virtual_time import VirtualProcess, VirtualTime
from tests.model.consumers import PART_PAGES, Consumer

CONSUMERS: Final = 2

#: Also one that must be escaped, and one that promises nothing by its name.
KEYS: Final = ("a.pdf", "b/c +ü.pdf", "scan")

OPERATIONS: Final = (
    *("head", "download", "read_start", "read", "put", "announce", "receive", "send", "delete", "retry"),
    *("renew", "list", "put_new", "read_object", "delete_objects", "put_output"),
    # The most important ones fail most.
    *("put", "put", "delete", "renew", "renew"),
)

#: Longer than it takes to answer all that a schedule can ask for, with the waits between tries.
QUIET_AFTER_S: Final = 6 * 3600

#: Events in all schedules of a test.
TOTALS: Counter[str] = Counter()

#: What consumers may write besides results: nothing, an object, several.
OUTPUTS: Final = ((), ("markdown",), ("csv", "markdown"))

_keys = st.sampled_from(KEYS)
_consumers = st.integers(0, CONSUMERS - 1)
_chosen = st.integers(0, 1000)
#: Seconds per page: less than a lease, more than one, more than two.
_pages = st.lists(st.sampled_from((0.2, 4, 25, 50, 100)), min_size=1, max_size=5)

#: Of documents that have parts enough to be shared.
_long = st.lists(st.sampled_from((0.2, 4.0)), min_size=5, max_size=6)

#: A part of a paused consumer is passed on and on, and then read, well before that.
_TAKEN_OVER_S: Final = 90.0

#: A short document has its result by then, if a consumer is free.
_STORED_S: Final = 20.0

#: From the middle of a call to many leases.
_seconds = st.sampled_from((0.2, 0.5, 2.0, 5.0, LEASE_S / 3, LEASE_S + 1.0, 4.0 * LEASE_S))


class Delivery(RuleBasedStateMachine):
    """Two consumers, a bucket, a queue, and all that may happen."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="bucket-ocr-model-"))
        self._logs = structlog.testing.capture_logs()
        self._entries = self._logs.__enter__()
        self._time = VirtualTime(self._ended)
        self._number = 0
        self._incarnations = 0
        self._over = False

    @initialize(
        seed=st.integers(0, 2**32 - 1),
        versioned=st.booleans(),
        max_receive_count=st.sampled_from((10, 3, 2, 1, None)),
        older=st.sampled_from((CONSUMERS, 1)),
        outputs=st.sampled_from(OUTPUTS),
    )
    def start(
        self,
        seed: int,
        versioned: bool,
        max_receive_count: int | None,
        older: int = CONSUMERS,
        outputs: tuple[str, ...] = (),
    ) -> None:
        """Start consumers, of which so many have the older engine; the others are of a newer release."""
        self._cloud = Cloud(
            self._time.clock,
            rng=random.Random(seed),
            versioned=versioned,
            max_receive_count=max_receive_count,
            notifies=True,
        )
        self._journal, self._queue, self._bucket = self._cloud.journal, self._cloud.sqs, self._cloud.s3
        self._faults = Faults()
        self._seed = seed
        self._consumers: list[Consumer | None] = [None] * CONSUMERS
        self._engine, self._outputs = ENGINE, outputs
        for number in range(CONSUMERS):
            if number == older:
                self._engine = NEWER_ENGINE
            self.restart(number)

    # By clients.

    @rule(key=_keys, pages=_pages)
    def upload(self, key: str, pages: list[float]) -> None:
        self._number += 1
        texts = [f"{self._number}.{n} {seconds}" for n, seconds in enumerate(pages)]
        self._upload(key, b"%PDF-" + "\f".join(texts).encode())

    @rule(key=_keys, body=st.sampled_from((b"%PDF-" + BROKEN, b"no document", b"")))
    def upload_what_cannot_be_read(self, key: str, body: bytes) -> None:
        self._number += 1
        self._upload(key, body and body + b" %d" % self._number)

    @rule(key=_keys, chosen=_chosen)
    def upload_the_same_again(self, key: str, chosen: int) -> None:
        if uploads := self._bucket.uploads.get(key):
            self._upload(key, uploads[chosen % len(uploads)].body)

    def _upload(self, key: str, body: bytes) -> None:
        """Upload, but not into the hole that `test_the_same_bytes_again_while_a_put_is_under_way` shows."""
        again = any(body == stored.body for stored in self._bucket.uploads.get(key, ()))
        if not again or self._bucket.versioned or not self._cloud.puts[key]:
            self._bucket.upload(key, body)

    @rule(key=_keys)
    def delete_source(self, key: str) -> None:
        self._bucket.delete(key)

    @rule(chosen=_chosen)
    def delete_result(self, chosen: int) -> None:
        if there := [key for key in KEYS if keys.result_key(key) in self._bucket.objects]:
            self._bucket.delete_result(there[chosen % len(there)])

    @rule(chosen=_chosen)
    def force(self, chosen: int) -> None:
        if not (there := [key for key in KEYS if key in self._bucket.objects]):
            return
        key = there[chosen % len(there)]
        self._journal.note("force", key)
        self._queue.send(json.dumps({"bucket-ocr": 1, "bucket": BUCKET, "key": key, "force": True}), [key])

    @rule(names=st.lists(_keys, min_size=2, max_size=3, unique=True), malformed=st.booleans())
    def ask_for_several(self, names: list[str], malformed: bool) -> None:
        self._queue.send(_request(names, malformed=malformed), names, malformed=malformed)

    @rule(body=st.sampled_from(("", "{}", '{"Records": [{}]}', '{"Records": []}')))
    def send_nonsense(self, body: str) -> None:
        self._queue.send(body, (), malformed=True)

    def send_the_first_again(self, key: str) -> None:
        self._bucket.upload(key, self._bucket.uploads[key][0].body)

    # By SQS.

    @rule(chosen=_chosen)
    def deliver_twice(self, chosen: int) -> None:
        if (message := self._message(chosen)) is not None:
            self._queue.copy(message)

    @rule(chosen=_chosen)
    def replay(self, chosen: int) -> None:
        if (message := self._message(chosen)) is not None:
            self._queue.send(message.body, message.names, malformed=message.malformed)

    @rule(chosen=_chosen)
    def show_a_message_in_flight(self, chosen: int) -> None:
        if (message := self._message(chosen)) is not None and message in self._queue.waiting():
            self._queue.reappear(message)

    # By networks and hosts.

    @rule(operation=st.sampled_from(OPERATIONS), fault=st.sampled_from(Fault), times=st.integers(1, 3))
    def fail(self, operation: str, fault: Fault, times: int) -> None:
        for _ in range(times):
            self._faults.add(operation, fault)

    @rule(
        key=_keys,
        pages=_pages,
        operation=st.sampled_from(OPERATIONS),
        fault=st.sampled_from(Fault),
        seconds=_seconds,
    )
    def upload_while_something_fails(
        self, key: str, pages: list[float], operation: str, fault: Fault, seconds: float
    ) -> None:
        self._faults.add(operation, fault)
        self.upload(key, pages)
        self._time.advance(seconds)

    @rule(key=_keys, pages=_long, number=_consumers, before=_seconds, after=_seconds)
    def upload_a_long_one_while_a_consumer_pauses(
        self, key: str, pages: list[float], number: int, before: float, after: float
    ) -> None:
        """The other one is of another release, and may take the parts over."""
        if len({consumer.engine.fingerprint for consumer in self._consumers if consumer}) != CONSUMERS:
            return
        self.upload(key, pages)
        self._time.advance(before)
        self.pause(number)
        self._time.advance(_TAKEN_OVER_S)
        self.resume(number)
        self._time.advance(after)

    @rule(key=_keys, seconds=_seconds)
    def go_back_to_former_bytes_after_a_crash_between_outputs_and_result(
        self, key: str, seconds: float
    ) -> None:
        """The former result is current again, and its outputs may be of the bytes in between."""
        self.upload(key, [0.2])
        former = self._bucket.uploads[key][-1].body
        self._time.advance(_STORED_S)
        self._faults.add("put", Fault.CRASH_BEFORE)
        self.upload(key, [0.2])
        self._time.advance(_STORED_S)
        self._upload(key, former)
        self._time.advance(seconds)

    @rule(seconds=_seconds)
    def wait(self, seconds: float) -> None:
        self._time.advance(seconds)

    @rule(seconds=_seconds)
    def wait_more(self, seconds: float) -> None:
        self._time.advance(seconds)

    @rule(number=_consumers)
    def crash(self, number: int) -> None:
        if (consumer := self._consumers[number]) is not None:
            consumer.process.kill()
            self._time.reap()

    @rule(number=_consumers)
    def restart(self, number: int) -> None:
        if self._consumers[number] is None:
            self._incarnations += 1
            name = f"c{number}-{self._incarnations}"
            self._journal.note("start", f"{name} with {self._engine.fingerprint}")
            consumer = Consumer(
                self._cloud, self._faults, self._folder, name, self._seed, self._engine, self._outputs
            )
            self._consumers[number] = consumer
            self._time.add(consumer.process)

    @rule(number=_consumers)
    def pause(self, number: int) -> None:
        if (consumer := self._consumers[number]) is not None:
            self._journal.note("pause", consumer.process.name)
            consumer.process.pause()

    @rule(number=_consumers)
    def resume(self, number: int) -> None:
        if (consumer := self._consumers[number]) is not None:
            consumer.process.resume()

    @rule(number=_consumers)
    def terminate(self, number: int) -> None:
        if (consumer := self._consumers[number]) is not None:
            self._journal.note("SIGTERM", consumer.process.name)
            consumer.terminate()

    @rule(number=_consumers)
    def roll_out(self, number: int) -> None:
        """Replace a consumer by one of the newer release; all that start from now on are of that one."""
        self._engine = NEWER_ENGINE
        consumer = self._consumers[number]
        if consumer is None:
            self.restart(number)
        elif consumer.engine is not NEWER_ENGINE:
            self.terminate(number)

    @rule(outputs=st.sampled_from(OUTPUTS))
    def change_outputs(self, outputs: tuple[str, ...]) -> None:
        """Change the setting for consumers that start from now on."""
        self._outputs = outputs

    # Invariants.

    @invariant()
    def nothing_is_broken(self) -> None:
        for entry in self._entries:
            if entry["event"] == "message.abandoned" or entry.get("outcome") == "bug":
                self._journal.demand(False, "log", str(entry))
        if hasattr(self, "_bucket"):
            self._bucket.check_outputs(KEYS)
        if self._journal.violations and hypothesis.currently_in_test_context():
            hypothesis.note("\n".join(self._journal.events))
        assert not self._journal.violations

    @property
    def counts(self) -> Counter[str]:
        """Events so far."""
        return self._journal.counts

    def teardown(self) -> None:
        try:
            if hasattr(self, "_consumers"):
                self._end_well()
        finally:
            self._over = True
            for process in self._living():
                process.kill()
            self._time.reap()
            self._logs.__exit__(None, None, None)
            shutil.rmtree(self._folder)
            TOTALS.update(self._journal.counts)
            TOTALS["schedules"] += 1
            TOTALS.update(entry["job_result"] for entry in self._entries if "job_result" in entry)

    def _end_well(self) -> None:
        """With everything well again, all that is left to do is done; so it is with the dead letters."""
        self.nothing_is_broken()
        self._faults.heal()
        for number, consumer in enumerate(self._consumers):
            self.resume(number)
            if consumer is not None and consumer.engine is not self._engine:
                self.terminate(number)
        self._until_quiet()
        for key in sorted(self._bucket.unasked & set(self._bucket.objects)):
            # Now somebody asks for it.
            self._queue.send(_request([key], malformed=False), [key])
        self._until_quiet()
        for key in self._unanswered():
            announced = any(message.dead and key in message.names for message in self._queue.there())
            self._journal.demand(
                announced, "I2", f"{key} has no result in the end, and no dead letter tells of it"
            )
        self._journal.note("redrive")
        self._queue.redrive()
        self._until_quiet()
        self._journal.demand(not self._unanswered(), "end", f"{self._unanswered()} cannot be read in peace")
        self._check_results()
        # Three kinds are for the lifecycle rule. An ordinary document is not looked at for pieces, which a
        # stop leaves if the message comes again as it was. Pieces may stay when S3 fails as they are removed.
        # And those of an engine that is gone stay, if nobody settles on one.
        excused = {entry["key"] for entry in self._entries if entry["event"] == "pieces.not_removed"}
        leftovers = [
            key
            for key in self._bucket.objects
            if _is_of_long_document(key, self._engine) and parts.source_key(key) not in excused
        ]
        self._journal.demand(not leftovers, "leftovers", f"{leftovers} are left")
        self.nothing_is_broken()

    def _until_quiet(self) -> None:
        """Let consumers work, and restart those that have ended, until there is nothing to do."""
        until = self._time.clock.seconds + QUIET_AFTER_S
        # Calls in flight still arrive.
        self._time.advance(2 * LEASE_S)
        while any(self._is_pending(message) for message in self._queue.waiting()):
            for number in range(CONSUMERS):
                self.restart(number)
            self._time.advance(20)
            self._journal.demand(self._time.clock.seconds < until, "end", "there is no end of tries")
            self.nothing_is_broken()

    def _is_pending(self, message: Queued) -> bool:
        """Whether somebody will settle it. Without dead letters, nobody ever does with a malformed one."""
        return not message.malformed or self._queue.max_receive_count is not None

    def _unanswered(self) -> list[str]:
        return [key for key in self._bucket.objects if not self._bucket.is_answered(key)]

    def _check_results(self) -> None:
        for key, source in self._bucket.objects.items():
            if source.is_document:
                metadata = self._bucket.objects[keys.result_key(key)].metadata
                same = metadata[identity.SOURCE_ETAG], metadata.get(identity.SOURCE_VERSION_ID)
                self._journal.demand(same == source.identity, "I2", f"{key} has the result of another")
                announced = self._cloud.was_announced(source)
                self._journal.demand(announced, "announce", f"the result of {key} was not announced")
                if "markdown" in str(metadata.get("ocr-outputs")) and key not in self._bucket.late:
                    text = self._bucket.objects[f"{key}.ocr.md"].body
                    said = are_texts(text, source, metadata[identity.FINGERPRINT])
                    self._journal.demand(said, "content", f"{key}.ocr.md is not the text of its source")
                known = metadata[identity.FINGERPRINT] in {ENGINE.fingerprint, self._engine.fingerprint}
                self._journal.demand(known, "I2", f"{key} was read by another engine")

    def _living(self) -> list[VirtualProcess]:
        consumers = getattr(self, "_consumers", [])
        return [consumer.process for consumer in consumers if consumer is not None]

    def _ended(self, process: VirtualProcess) -> None:
        """Note that a process is gone; by itself it ends only after SIGTERM."""
        assert process.main is not None
        crashed = process.main.cancelled()
        if not self._over:
            self._journal.note("crash" if crashed else "exit", process.name)
        error = None if crashed else process.main.exception()
        self._journal.demand(error is None, "process", f"{process.name} ended by {error!r}")
        self._queue.check_orphans(process.name)
        self._consumers = [
            None if consumer is not None and consumer.process is process else consumer
            for consumer in self._consumers
        ]

    def _message(self, chosen: int) -> Queued | None:
        """Choose a message; the newest are the most likely."""
        messages = self._queue.messages
        return messages[-1 - min(chosen % len(messages), chosen % 5)] if messages else None


@pytest.mark.parametrize(
    "fault",
    [
        Fault.SLOW,
        pytest.param(
            Fault.PAUSE_BEFORE,
            marks=pytest.mark.xfail(
                strict=True, reason="it is stopped for longer than its lease during the put"
            ),
        ),
    ],
)
def test_the_same_bytes_again_while_a_put_is_under_way(fault: Fault) -> None:
    """Without versions A, B, A: A's result is still there, its second event is answered; then B's comes."""
    for seed in range(8):
        machine = Delivery()
        machine.start(seed=seed, versioned=False, max_receive_count=10)
        machine.upload("a.pdf", [0.2])
        machine.wait(20)
        machine.fail("put", fault, times=1)
        machine.upload("a.pdf", [0.2])
        while not machine.counts[f"fault {fault.name}"]:
            machine.wait(0.1)
        machine.send_the_first_again("a.pdf")
        machine.wait(100)
        machine.teardown()


def test_bytes_that_are_no_document_promise_no_outputs_of_former_ones() -> None:
    """The former result stays beside them, and its outputs may be of bytes in between."""
    for seed in range(8):
        machine = Delivery()
        machine.start(seed=seed, versioned=False, max_receive_count=10, older=2, outputs=("markdown",))
        machine.go_back_to_former_bytes_after_a_crash_between_outputs_and_result("scan", 0.2)
        machine.upload_what_cannot_be_read("scan", b"")
        machine.teardown()


def _is_of_long_document(key: str, engine: Engine) -> bool:
    """Whether it is a piece of a document that is read in parts, by this engine."""
    source_key = parts.source_key(key)
    piece = parts.Piece.parse(source_key, key) if source_key else None
    if piece is None or piece.identity.engine != parts.engine_digest(engine.fingerprint):
        return False
    return piece.identity.page_count > PART_PAGES


def _request(names: list[str], *, malformed: bool) -> str:
    records: list[object] = [
        {
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": BUCKET}, "object": {"key": quote_plus(key, safe="/")}},
        }
        for key in names
    ]
    return json.dumps({"Records": [*records, {}] if malformed else records})


def _run(machine: type[Delivery], schedules: int, steps: int) -> str:
    """Run schedules; returns what happened in them."""
    TOTALS.clear()
    # Shrinking takes minutes, and is for people.
    phases = set(Phase) - ({Phase.shrink, Phase.explain} if "MODEL_BRIEF" in os.environ else set())
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=schedules,
            phases=list(phases),
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            derandomize=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    for happened in (
        "delete",
        "crash",
        "pause",
        "SIGTERM",
        "lease lost",
        "conflict",
        "redelivery",
        "sent again",
        "piece",
        "force",
        "output",
        "result deleted",
        "dead letter",
    ):
        assert TOTALS[happened], f"no schedule had a {happened}"
    return ", ".join(f"{kind}: {count}" for kind, count in sorted(TOTALS.items()))


def _say(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{text}\n")


def test_every_document_gets_its_result_whatever_happens(capsys: pytest.CaptureFixture[str]) -> None:
    happened = _run(Delivery, schedules=150, steps=45)
    _say(capsys, happened)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_document_gets_its_result_in_a_thousand_schedules(capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("MODEL_SEED") or random.SystemRandom().getrandbits(32))
    _say(capsys, f"MODEL_SEED={seed}")
    happened = _run(hypothesis.seed(seed)(Delivery), schedules=1500, steps=60)
    _say(capsys, happened)
