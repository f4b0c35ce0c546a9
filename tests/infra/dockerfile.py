"""The Dockerfile, read as far as tests want its facts."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Instruction:
    name: str
    text: str

    def argv(self) -> list[str]:
        """Give the exec form, which is JSON; raises if it is the shell form."""
        found: list[str] = json.loads(self.text.partition("CMD ")[2] or self.text)
        return found


@dataclass(frozen=True)
class Dockerfile:
    """`stages`: by name, what each is made from (a stage or an image) and its instructions."""

    stages: dict[str, tuple[str, list[Instruction]]]

    @classmethod
    def read(cls) -> Self:
        text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
        text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
        stages: dict[str, tuple[str, list[Instruction]]] = {}
        arguments: dict[str, str] = {}
        for line in filter(None, text.splitlines()):
            name, rest = line.split(maxsplit=1)
            if name == "FROM":
                base, _, stage = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], rest).split()
                stages[stage] = (base, [])
            elif stages:
                stages[stage][1].append(Instruction(name, rest))
            else:
                argument, _, value = rest.partition("=")
                arguments[argument] = value
        return cls(stages)

    def image(self, stage: str) -> list[Instruction]:
        """All that made the image of a stage, from its base on."""
        base, own = self.stages[stage]
        return [*(self.image(base) if base in self.stages else []), *own]

    def all(self, name: str, stage: str | None = None) -> list[Instruction]:
        """Find instructions, of the image of a stage or of the whole file."""
        found = self.image(stage) if stage else [each for _, own in self.stages.values() for each in own]
        return [each for each in found if each.name == name]

    def environment(self, stage: str) -> dict[str, str]:
        return dict(pair for each in self.all("ENV", stage) for pair in re.findall(r"(\w+)=(\S*)", each.text))

    def user(self, stage: str) -> str:
        """The user that an image runs as; everything after USER would be that user's."""
        return self.image(stage)[-1].text if self.image(stage)[-1].name == "USER" else "0:0"
