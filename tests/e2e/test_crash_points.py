"""A consumer that is killed at any step of a document loses nothing, and does nothing twice in vain."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from local_cloud import LocalCloud

from tests.e2e import documents
from tests.e2e.proxy import FaultProxy, hold
from tests.e2e.stack import QUICK, RESULT_S, Consumer, Stack, null_engine

LEASE_S = 5
PAGES = 3


@dataclass(frozen=True)
class Point:
    """When to kill: while this call is held, before it is passed on or when it is carried out.

    `of`: the object, by what follows the key of the source; None if the call names none.
    """

    operation: str
    of: str | None = ""
    carried_out: bool = False


#: The two whose calls name no object come first, and no message is left when they do; then the one whose
#: engine reads no page to its end, and nothing is left that has to be read.
POINTS: dict[str, Point | None] = {
    "after delete": Point("DeleteMessage", of=None, carried_out=True),
    "before delete": Point("DeleteMessage", of=None),
    "a page": None,
    "receive": Point("HeadObject"),
    "head": Point("GetObject"),
    "get": Point("GetObject", carried_out=True),
    "before put": Point("PutObject", of=".ocr.json"),
    "after put": Point("PutObject", of=".ocr.json", carried_out=True),
}
STORED = {"after put", "before delete", "after delete"}


@dataclass(frozen=True)
class Sweep:
    """A stack seen through a proxy, on which a consumer was killed at each of the points."""

    stack: Stack
    proxy: FaultProxy
    folder: Path

    def consumer(self, name: str, page: float | Path = 0.05) -> Consumer:
        program = (*QUICK, *null_engine(page, lines=1))
        seen = self.stack.seen_at(self.proxy.url)
        # One message at a time: a poll that outlives its consumer would take the next one's for a lease.
        settings = {"MAX_IN_FLIGHT": 1, "ENGINE_WORKERS": 1, "RENDER_WORKERS": 1, "LEASE_S": LEASE_S}
        return Consumer(seen, self.folder / name, program, **settings)

    def kill_at(self, name: str, point: Point | None, width_pt: int) -> None:
        key = f"{name}.pdf"
        self.stack.put(key, documents.blank_pdf(width_pt, PAGES), silent=True)
        # Never released: what a dead process has not sent is not sent.
        held = hold(carried_out=point is not None and point.carried_out)
        if point is not None:
            self.proxy.fail(point.operation, held, key=None if point.of is None else key + point.of)
        with self.consumer(name, 0.05 if point else self.folder / "never") as consumer:
            self.stack.request(key)
            if point is None:
                consumer.wait_at_work()
            else:
                assert held.reached.wait(RESULT_S), f"{name}: {point} was not reached"
            consumer.process.kill()
            consumer.process.wait()


@pytest.fixture(scope="module")
def sweep(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    with Stack.deployed(cloud, "e2e-crashes") as stack, FaultProxy(cloud.endpoint_url) as proxy:
        sweep = Sweep(stack, proxy, tmp_path_factory.mktemp("crashes"))
        # The message that S3 sends when a notification is set up would be the first to be deleted.
        stack.sqs.purge_queue(QueueUrl=stack.queue_url)
        for width_pt, (name, point) in enumerate(POINTS.items(), start=100):
            sweep.kill_at(name, point, width_pt)
        with sweep.consumer("last") as consumer:
            consumer.wait_ready()
            stack.wait_until_settled()
            assert consumer.stop() == 0
        yield sweep


@pytest.mark.parametrize("name", POINTS)
def test_a_consumer_killed_at_a_step_costs_no_document_its_result(sweep: Sweep, name: str) -> None:
    key = f"{name}.pdf"
    result = sweep.stack.result(key, silent=True)
    width_px = 2 * (100 + list(POINTS).index(name))
    assert (result["status"], result["page_count"]) == ("SUCCESS", PAGES)
    assert [line["text"].split(",")[1] for line in result["detections"]] == [f" {width_px} x 100"] * PAGES
    puts = [call for call in sweep.proxy.calls if call.matches("PutObject", f"{key}.ocr.json")]
    assert sum(call.status == 200 or call.fault == "hold(carried_out=True)" for call in puts) == 1
    reads = sweep.proxy.count("GetObject", key=key)
    assert reads <= (1 if name in STORED else 2)


def test_of_all_these_kills_no_message_is_left_nor_is_any_in_the_dead_letter_queue(sweep: Sweep) -> None:
    assert not sweep.stack.cloud.messages(sweep.stack.queue_url)
    assert sweep.stack.dead_letters() == set()
