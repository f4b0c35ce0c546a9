"""What was measured of the contenders, as it is kept in a file."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median


@dataclass(frozen=True, slots=True)
class Round:
    """One round: pages that were read, seconds from the first upload to the last result, processor time."""

    pages: int
    seconds: float
    processor_s: float

    @property
    def pages_per_minute(self) -> float:
        """The rate of the round."""
        return 60 * self.pages / self.seconds


@dataclass(slots=True)
class Measured:
    """One contender. `not_run`: why there are no figures; `start_s`: from its start until it can read.

    `peak_bytes`: the most memory of its processes, what they share counted once.
    """

    name: str
    is_what: str
    versions: dict[str, str] = field(default_factory=dict)
    not_run: str | None = None
    start_s: float = 0.0
    rounds: list[Round] = field(default_factory=list)
    peak_bytes: int = 0
    word_f1: float = 0.0

    @property
    def pages_per_minute(self) -> float:
        """The middle of its rounds."""
        return median(each.pages_per_minute for each in self.rounds)

    @property
    def processor_s_per_page(self) -> float:
        """Over all rounds."""
        return sum(each.processor_s for each in self.rounds) / sum(each.pages for each in self.rounds)

    def ratios(self, ours: "Measured") -> list[float]:
        """By how much `ours` is faster than this one, in each round."""
        pairs = zip(ours.rounds, self.rounds, strict=True)
        return [mine.pages_per_minute / its.pages_per_minute for mine, its in pairs]


@dataclass(slots=True)
class Run:
    """All contenders, side by side. `name`: documents and instructions; `about`: machine, date, commands."""

    name: str
    about: str
    contenders: list[Measured]


def load(path: Path) -> list[Run]:
    """Read the runs that are kept in a file; none if there is none."""
    return [_run(run) for run in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []


def _run(run: dict[str, object]) -> Run:
    contenders = run.pop("contenders")
    assert isinstance(contenders, list)
    measured = [
        Measured(**(each | {"rounds": [Round(**one) for one in each["rounds"]]})) for each in contenders
    ]
    return Run(**run, contenders=measured)  # type: ignore[arg-type]


def keep(path: Path, run: Run) -> list[Run]:
    """Put a run in the place of the one with the same name; returns all that are kept, the oldest first."""
    runs = {each.name: each for each in [*load(path), run]}
    path.write_text(json.dumps([asdict(each) for each in runs.values()], indent=1) + "\n", encoding="utf-8")
    return list(runs.values())
