"""Break the consumer on purpose, one way at a time, and see the tests fail: `make mutants`.

Each mutant is applied to a copy of the project, whose tests are run, the quick ones first, until one fails. A
mutant that all of them let live is a promise that nobody proves; then the exit status is 1.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Run one after the other; the tests of `e2e` take minutes, and see what no smaller world shows.
STAGES = (("tests/unit", "tests/model"), ("tests/contract",), ("tests/e2e",))

_FAILED = 1
_DEADLINE_S = 1200.0


@dataclass(frozen=True)
class Mutant:
    """A way to be wrong: `old`, found once in the file, becomes `new`."""

    name: str
    file: str
    old: str
    new: str


MUTANTS = (
    Mutant(
        "the message is deleted before the result is put",
        "consumer/service/message.py",
        "            is_again = context.message.receive_count > 1\n",
        "            is_again = context.message.receive_count > 1\n"
        "            await self.settler.queue.delete(context.message)\n",
    ),
    Mutant(
        "the first result is put without If-None-Match",
        "consumer/aws/s3.py",
        '{"IfNoneMatch": "*"} if replaces is None',
        "{} if replaces is None",
    ),
    Mutant(
        "the lease is never renewed",
        "consumer/aws/lease.py",
        "            end = self._renew(message, schedule, watchdog)\n",
        "            lease.released.wait()\n",
    ),
    Mutant(
        "keys are decoded as URLs are, and not as forms are",
        "consumer/domain/events.py",
        "from urllib.parse import unquote_plus\n",
        "from urllib.parse import unquote as unquote_plus\n",
    ),
    Mutant(
        "the message is settled with a stale receipt, although its lease is lost",
        "consumer/service/message.py",
        "                if not lease.lost.is_set():\n"
        "                    disposition = await self.settler.decide(context, outcome)\n"
        "            finally:\n"
        "                for end in ends:\n"
        "                    end.cancel()\n"
        "                self._work.discard(work)\n"
        "        if lease.lost.is_set():\n"
        "            return Outcome.LEASE_LOST, settle.NoAction()\n",
        "                disposition = await self.settler.decide(context, outcome)\n"
        "            finally:\n"
        "                for end in ends:\n"
        "                    end.cancel()\n"
        "                self._work.discard(work)\n",
    ),
    Mutant(
        "events are told apart by their sequencer alone",
        "consumer/domain/events.py",
        "            result = kind.model_validate(record).job()\n",
        "            result = kind.model_validate(record).job()\n"
        '            sequencer = record.get("s3", {}).get("object", {}).get("sequencer")\n'
        '            seen = globals().setdefault("_SEEN", set())\n'
        "            if sequencer in seen and sequencer is not None:\n"
        '                result = "duplicate"\n'
        "            seen.add(sequencer)\n",
    ),
    Mutant(
        "the source is not looked at again before the put",
        "consumer/service/publisher.py",
        "            await sources.require_unchanged(self.store, source)\n            try:\n",
        "            try:\n",
    ),
    Mutant(
        "the source is not looked at again after the put",
        "consumer/service/publisher.py",
        "                await sources.require_unchanged(self.store, source)\n",
        "                pass\n",
    ),
    Mutant(
        "a refused put is taken for a stored result",
        "consumer/service/publisher.py",
        "                if not (match := _accepted(existing, attempt.replaces, source, accepts)):\n"
        "                    continue\n"
        '                reason, head = "stored meanwhile", match\n',
        '                reason, head = "stored meanwhile", ResultHead.of(result.head)\n',
    ),
    Mutant(
        "the holder does not wait for a renewal in flight",
        "consumer/aws/lease.py",
        "                await lease.ended.wait()\n",
        "                lease.ended.set()\n",
    ),
    Mutant(
        "a message that comes with the last poll is not released",
        "consumer/service/worker.py",
        "                await self.handler.release(context)\n",
        "",
    ),
    Mutant(
        "a release counts towards giving up",
        "consumer/domain/settle.py",
        "            return SendAgain(delay_s)\n",
        "            return RetryAfter(delay_s)\n",
    ),
    Mutant(
        "work in flight is not cancelled at the end of the drain",
        "consumer/service/message.py",
        "        for work in self._work:\n            work.cancel()\n",
        "",
    ),
    Mutant(
        "the download is not pinned to the object that was looked at",
        "consumer/aws/s3.py",
        ', "IfMatch": f\'"{source.etag}"\'}\n    if source',
        "}\n    if source",
    ),
    Mutant(
        "a body that is too short counts as whole",
        "consumer/aws/s3.py",
        "        if (written := file.tell()) != source.size_bytes:\n",
        "        if (written := file.tell()) < 0:\n",
    ),
    Mutant(
        "a result that says that tries ran out counts as current",
        "consumer/domain/identity.py",
        "frozenset({Code.RETRIES_EXHAUSTED, Code.INVALID_OPTIONS})",
        "frozenset({Code.INVALID_OPTIONS})",
    ),
    Mutant(
        "a refused page range counts as a reading",
        "consumer/domain/identity.py",
        "frozenset({Code.RETRIES_EXHAUSTED, Code.INVALID_OPTIONS})",
        "frozenset({Code.RETRIES_EXHAUSTED})",
    ),
    Mutant(
        "three hanging pages within one batch are not noticed",
        "consumer/service/scheduler.py",
        "        while self.pending and self.pending[0].done() and not self.is_hopeless:\n",
        "        while self.pending and self.pending[0].done():\n",
    ),
    Mutant(
        "the outputs beside the result are not stored",
        "consumer/service/publisher.py",
        "        record = await self._stored_outputs.put(result, there, own, watchdog)\n",
        "        record = result.record\n",
    ),
    Mutant(
        "a lost machine uses up a try of a part, although it has stored pages",
        "consumer/service/part_reader.py",
        "            if is_again and gaps != [part.pages]:\n",
        "            if False:\n",
    ),
    Mutant(
        "each part of a document is read by the engine that receives it",
        "consumer/service/jobs.py",
        "            if job.part.engine not in {None, self.documents.parts.requests.engine}:\n",
        "            if False:\n",
    ),
    Mutant(
        "the parts of a forced document find the result that they are to replace",
        "consumer/service/publisher.py",
        "    if existing is None or existing.etag == replaces:\n",
        "    if existing is None:\n",
    ),
    Mutant(
        "a hopeless document costs three time-outs for each of its parts",
        "consumer/service/part_reader.py",
        "        if code := self._hopeless.code(whose, self.clock.monotonic()):\n",
        "        if code := None:\n",
    ),
    Mutant(
        "a part reads pages again that are stored",
        "consumer/service/part_reader.py",
        "if gaps := pages_of.missing(part.pages, await parts.read_ranges(source, whose)):",
        "if gaps := [part.pages]:",
    ),
    Mutant(
        "the message of a long document is deleted before those of its parts are sent",
        "consumer/service/part_requests.py",
        "            await self.queue.send(bodies, min(start // _PARTS_PER_SECOND, _MAX_DELAY_S))\n",
        "",
    ),
    Mutant(
        "pieces of all identities are joined",
        "consumer/service/parts.py",
        "        own = [piece for piece in pieces if piece.identity == whose]\n        if parts.is",
        "        own = pieces\n        if parts.is",
    ),
    Mutant(
        "pieces stay when their document is joined",
        "consumer/service/pieces.py",
        "        return whose.replaces != parts.result_digest(self.current_etag)\n",
        "        return False\n",
    ),
    Mutant(
        "pieces of a newer source are removed",
        "consumer/service/pieces.py",
        "            return False\n        return whose.replaces",
        "            return True\n        return whose.replaces",
    ),
    Mutant(
        "a part goes on when its source is gone",
        "consumer/service/part_reader.py",
        "        await sources.require_unchanged(parts.pieces.store, source)\n",
        "",
    ),
    Mutant(
        "pages are stored at the end of a part alone",
        "consumer/service/part_reader.py",
        "CHECKPOINT_S: Final = 5.0",
        "CHECKPOINT_S: Final = 5000.0",
    ),
    Mutant(
        "of two that settle on different engines nobody asks for what the other has removed",
        "consumer/service/parts.py",
        "        await self.requests.send_missing(source, attempt, winner, [*left, *asked])\n",
        "",
    ),
    Mutant(
        "nobody is asked to join the pages of the leading engine",
        "consumer/service/parts.py",
        "        if not asked:\n",
        "        if False:\n",
    ),
    Mutant(
        "whoever finds that two engines share a document settles on its own",
        "consumer/service/parts.py",
        "            winner = whose if is_stray else parts.leading(by_anyone)\n",
        "            winner = whose\n",
    ),
    Mutant(
        "pages that are given up do not count for the result that is to be replaced",
        "consumer/service/parts.py",
        "        attempt.replaces = part.replaces\n",
        "",
    ),
    Mutant(
        "a refused put of a forced result takes the old result for the new one",
        "consumer/service/publisher.py",
        "                if not (match := _accepted(existing, attempt.replaces, source, accepts)):\n",
        "                if not (match := _accepted(existing, None, source, accepts)):\n",
    ),
    Mutant(
        "parts multiply while the queue deletes nothing",
        "consumer/service/settler.py",
        "        if outcome is not Outcome.RELEASED and self._has_refused_lately:\n",
        "        if False:\n",
    ),
    Mutant(
        "a part that is given up counts as read",
        "consumer/service/parts.py",
        "in await self._own(source, whose) if not piece.exhausted]",
        "in await self._own(source, whose)]",
    ),
    Mutant(
        "an output is put over whatever is there",
        "consumer/service/output_store.py",
        "            etag = there.of_output(output.name).get(output.key)\n",
        "            there = await self.listing(source)\n"
        "            etag = there.of_output(output.name).get(output.key)\n",
    ),
    Mutant(
        "outputs are not looked at again after the result is put",
        "consumer/service/publisher.py",
        "            if await self._stored_outputs.lacking(source, head):\n",
        "            if False:\n",
    ),
    Mutant(
        "a current result counts whatever has become of its outputs",
        "consumer/domain/outputs.py",
        "if name in _PATTERNS and value is not None and value != digest(there.of_output(name)):\n",
        "if False:\n",
    ),
    Mutant(
        "objects of pages that are gone stay",
        "consumer/service/output_store.py",
        "            if stale:\n",
        "            if False:\n",
    ),
    Mutant(
        "an output that cannot be written takes the result along",
        "consumer/service/outputs.py",
        "        except TransientError:\n            raise\n",
        "        except Exception:\n            raise\n",
    ),
    Mutant(
        "an output that could not be written is tried again with every message",
        "consumer/domain/outputs.py",
        "if name not in self.digests)",
        "if self.digests.get(name) is None)",
    ),
)


def main() -> int:
    """Try all mutants, or those whose names contain the argument; returns the exit status."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [mutant for mutant in MUTANTS if wanted in mutant.name]
    if (broken := _killer(None)) is not None:
        print(f"the project itself fails: {broken}")
        return 1
    lived = [mutant.name for mutant in chosen if not _try(mutant)]
    print(f"{len(chosen) - len(lived)} of {len(chosen)} mutants killed")
    return 1 if lived or not chosen else 0


def _try(mutant: Mutant) -> bool:
    """Say whether the tests kill it."""
    began = time.monotonic()
    killer = _killer(mutant)
    seconds = time.monotonic() - began
    print(
        f"{'killed' if killer else 'LIVES '} {seconds:5.0f} s  {mutant.name}\n    {killer or ''}", flush=True
    )
    return killer is not None


def _killer(mutant: Mutant | None) -> str | None:
    """Name the first test that fails; None where all pass. Without a mutant only the quick ones are run."""
    with _copied(mutant) as copy:
        for stage in STAGES if mutant else STAGES[:-1]:
            if (failed := _failed(stage, copy)) is not None:
                break
        else:
            return None
    if stage is STAGES[-1]:
        # These were not seen to pass yet.
        with _copied(None) as sound:
            if _failed((failed,), sound) is not None:
                raise SystemExit(f"{failed} fails without a mutant")
    return failed


@contextlib.contextmanager
def _copied(mutant: Mutant | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bucket-ocr-mutant-") as folder:
        copy = Path(folder) / "project"
        _copy(copy)
        if mutant is not None:
            _apply(mutant, copy)
        yield copy


def _copy(copy: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    (copy / "localstack" / ".venv").symlink_to(ROOT / "localstack" / ".venv")


def _apply(mutant: Mutant, copy: Path) -> None:
    path = copy / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: {mutant.file} has changed, and this mutant must follow")
    mutated = text.replace(mutant.old, mutant.new)
    # What is no program would be killed by any test.
    compile(mutated, mutant.file, "exec")
    path.write_text(mutated, encoding="utf-8")


def _failed(tests: tuple[str, ...], copy: Path) -> str | None:
    """Run tests until one fails; returns its name."""
    # The installed package is the project itself, and the copy must come before it.
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "MODEL_BRIEF": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    if done.returncode == 0:
        return None
    # A fixture that fails is an ERROR of its test.
    failed = re.findall(r"^(?:FAILED|ERROR) (tests/\S+?::.*?)(?: - |$)", done.stdout, re.MULTILINE)
    if done.returncode != _FAILED or not failed:
        raise SystemExit(
            f"pytest ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
    return str(failed[0])


if __name__ == "__main__":
    sys.exit(main())
