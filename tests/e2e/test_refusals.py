"""Storage that refuses every put, as while a key is disabled: the pages that were read wait for it."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.proxy import FaultProxy, answer
from tests.e2e.stack import QUICK, RESULT_S, SCRIPTED, Consumer, Stack, free_port, null_engine, until

LETTERS = 12
OUTAGE_S = 600.0
_DENIED = answer(403, "AccessDenied", "The ciphertext refers to a customer master key that is disabled.")


def _uploaded(stack: Stack, max_receive_count: int) -> list[str]:
    """Letters with their messages, on a queue that allows so many receives."""
    arn = stack.sqs.get_queue_attributes(QueueUrl=stack.dead_letter_queue_url, AttributeNames=["QueueArn"])[
        "Attributes"
    ]["QueueArn"]
    policy = {"deadLetterTargetArn": arn, "maxReceiveCount": max_receive_count}
    stack.sqs.set_queue_attributes(QueueUrl=stack.queue_url, Attributes={"RedrivePolicy": json.dumps(policy)})
    keys = [f"{number}.pdf" for number in range(LETTERS)]
    for key in keys:
        stack.put(key, documents.blank_pdf(100), silent=True)
        stack.request(key)
    return keys


def _is_ready(consumer: Consumer) -> bool:
    status, text = consumer.asked("/readyz")
    if status == 503:
        assert "AccessDenied" in text
        assert "doctor --write" in text
    return status == 200


def _outlasts_refusals(
    lone_stack: Stack,
    start: Start,
    folder: Path,
    program: Sequence[str],
    last: Callable[[FaultProxy, Consumer], None],
) -> None:
    """Refuse every put while `last` runs: each letter is read once, and none becomes a dead letter."""
    journal = folder / "journal"
    with FaultProxy(lone_stack.cloud.endpoint_url) as proxy:
        stack = lone_stack.seen_at(proxy.url)
        proxy.fail("PutObject", _DENIED, times=None)
        keys = _uploaded(stack, max_receive_count=3)
        engine = null_engine(0.01, lines=1, journal=journal)
        consumer = start(stack, "consumer", (*program, *engine), MAX_IN_FLIGHT=4, HEALTH_PORT=free_port())
        consumer.line(RESULT_S, event="host.unhealthy")
        last(proxy, consumer)
        assert not _is_ready(consumer)
        proxy.heal()
        for key in keys:
            assert stack.result(key, silent=True, deadline_s=2 * RESULT_S)["status"] == "SUCCESS"
        stack.wait_until_settled()
        until(lambda: _is_ready(consumer), RESULT_S, "a consumer that is ready")
        assert consumer.stop() == 0
    assert stack.dead_letters() == set()
    assert len(journal.read_text().splitlines()) == LETTERS


def test_letters_whose_results_are_refused_are_read_once_and_none_becomes_a_dead_letter(
    lone_stack: Stack, start: Start, tmp_path: Path
) -> None:
    def last(proxy: FaultProxy, _: Consumer) -> None:
        refused = proxy.count("PutObject")
        until(lambda: proxy.count("PutObject") > refused + 30, RESULT_S, "other tries")

    _outlasts_refusals(lone_stack, start, tmp_path, QUICK, last)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_ten_minutes_of_refusals_cost_no_page_and_no_letter(
    lone_stack: Stack, start: Start, tmp_path: Path
) -> None:
    def last(_: FaultProxy, consumer: Consumer) -> None:
        ends_at = time.monotonic() + OUTAGE_S
        until(lambda: time.monotonic() > ends_at or _is_ready(consumer), 2 * OUTAGE_S, "the end", every_s=1.0)
        assert time.monotonic() > ends_at, "it was ready while nothing could be stored"

    _outlasts_refusals(lone_stack, start, tmp_path, SCRIPTED, last)
