"""This project beside what one would pick instead: pages a minute, processor time, memory, words read.

    make bench/peers
    ONEDNN_MAX_CPU_ISA=AVX2 make bench/peers     # without AMX and AVX-512
    .venv/bin/python -m bench.peers --help       # with PYTHONPATH=localstack:.

Every contender is started, reads documents that are not counted, and then takes its turn in each round, in
which all read the same documents. The figures go to `bench/peers/measured.json`, and from there to the tables
in `bench/RESULTS.md` and to `bench/peers/peers.svg`. It needs 12 GB of memory, and about 20 minutes on two
processors.
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from local_cloud import LocalCloud

from bench.common import deployed
from bench.peers import report
from bench.peers.contenders import CONTENDERS
from bench.peers.documents import Document, made, of_corpus
from bench.peers.machine import instructions, limit_instructions, machine
from bench.peers.measured import Measured, Run, keep
from bench.peers.measurement import Measurement, share

_BENCH = Path(__file__).resolve().parents[1]
_MEASURED, _PLOT = _BENCH / "peers" / "measured.json", _BENCH / "peers" / "peers.svg"

#: Pages before the first round: each kind of document once.
_WARM_UP_PAGES = 7
_WARM_UP_FIRST = 600


def main() -> int:
    """Measure once; returns the exit status: 0 if anyone was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pages", type=int, default=42, help="pages in all rounds; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument(
        "--corpus", type=Path, help="a folder with accuracy.tsv and accuracy/, to be read instead"
    )
    parser.add_argument(
        "--usd-per-hour",
        type=float,
        default=report.USD_PER_HOUR,
        help="price of this machine; default: %(default)s",
    )
    arguments = parser.parse_args()
    limit_instructions()
    with tempfile.TemporaryDirectory(prefix="bucket-ocr-peers-") as folder:
        warm_up, documents = _documents(Path(folder), arguments.pages, arguments.corpus)
        about = (
            f"{machine()} {datetime.now(UTC):%Y-%m-%d}. {_described(documents)}, {arguments.rounds} rounds."
        )
        with deployed() as (stack, work):
            measured = _measure(stack.cloud, work, warm_up, share(documents, arguments.rounds))
    kind = f"Pages of {arguments.corpus.name}" if arguments.corpus else "Made pages"
    run = Run(f"{kind}, {instructions()}", about, measured)
    print(report.table(run, arguments.usd_per_hour))
    runs = keep(_MEASURED, run)
    report.rewrite(_BENCH / "RESULTS.md", runs, arguments.usd_per_hour)
    _PLOT.write_text(report.plot(runs[0]), encoding="utf-8")
    return 0 if any(each.rounds for each in measured) else 1


def _documents(folder: Path, pages: int, corpus: Path | None) -> tuple[list[Document], list[Document]]:
    """Give the documents that are not counted, and those that are."""
    if corpus is None:
        return made(folder, _WARM_UP_PAGES, first=_WARM_UP_FIRST), made(folder, pages)
    documents = of_corpus(corpus)
    # Neighbours are alike in a corpus: every round shall have some of each kind.
    step = max(1, len(documents) // pages)
    return documents[1::step][:_WARM_UP_PAGES], documents[::step][:pages]


def _measure(
    cloud: LocalCloud, folder: Path, warm_up: list[Document], rounds: list[list[Document]]
) -> list[Measured]:
    """Start all contenders, and let them take their turns."""
    measurements = [Measurement(contender) for contender in CONTENDERS]
    with ExitStack() as stack:
        for number, measurement in enumerate(measurements):
            measurement.start(stack, cloud, folder / str(number), warm_up)
            _say(measurement, "start")
        for number, documents in enumerate(rounds, 1):
            for measurement in measurements:
                measurement.round(documents)
                _say(measurement, f"round {number}")
    return [measurement.measured for measurement in measurements]


def _say(measurement: Measurement, what: str) -> None:
    measured = measurement.measured
    rate = f"{measured.rounds[-1].pages_per_minute:.1f} pages a minute" if measured.rounds else ""
    print(
        f"{what}: {measured.name}: {measured.not_run or rate or f'{measured.start_s:.1f} s'}", file=sys.stderr
    )


def _described(documents: list[Document]) -> str:
    return f"{len(documents)} documents of {sum(document.pages for document in documents)} pages"


if __name__ == "__main__":
    sys.exit(main())
