"""Two builds of both programs in turn: whether the newer one is slower."""

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import SHOWN, Figure
from bench.table import lines, number

ROUNDS = 10
# A figure is worse if it is so in nine rounds of ten, and its median by more than this.
WORSE_ROUNDS = 0.9
TOLERANCE = 0.03


@dataclass
class Comparison:
    """A figure of both builds, a value of each for each round."""

    name: str
    unit: str
    more_is_better: bool
    old: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)

    def rounds_worse(self) -> int:
        return sum(new < old if self.more_is_better else new > old for old, new in zip(self.old, self.new, strict=True))

    def change(self) -> float:
        """The new median over the old one."""
        old = statistics.median(self.old)
        return statistics.median(self.new) / old if old else 1

    def is_worse(self) -> bool:
        beyond = self.change() < 1 - TOLERANCE if self.more_is_better else self.change() > 1 + TOLERANCE
        return beyond and self.rounds_worse() >= WORSE_ROUNDS * len(self.old)

    def row(self) -> list[str]:
        medians = [f"{number(statistics.median(values))} {self.unit}" for values in (self.old, self.new)]
        worse = f"{self.rounds_worse()} of {len(self.old)}"
        return [self.name, *medians, f"{self.change():.3f} ×", worse, "worse" if self.is_worse() else ""]


def measure_once(shim: Path, runner: Path, only: str | None, file: Path) -> list[Figure]:
    """One round of one build, by this program as a child: it takes its programs from the environment."""
    command = [sys.executable, "-m", "bench", "--round", "--output", str(file), *(["--only", only] if only else [])]
    environment = {**os.environ, "DSTACK_SHIM_BINARY": str(shim), "DSTACK_RUNNER_BINARY": str(runner)}
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if not file.exists():
        raise AssertionError(f"{shim} could not be measured: {done.stderr}")
    return Figure.read_all(file)


def compare(old: tuple[Path, Path], new: tuple[Path, Path], only: str | None, rounds: int = ROUNDS) -> list[Comparison]:
    """Figures that both builds have in every round; the builds are a shim and a runner each."""
    found: dict[str, Comparison] = {}
    with tempfile.TemporaryDirectory(prefix="dstack-rounds-") as folder:
        for number_of_round in range(rounds):
            builds = {"old": old, "new": new}
            # Whoever comes second finds warm caches: they take turns.
            order = ["old", "new"] if number_of_round % 2 == 0 else ["new", "old"]
            for side in order:
                for figure in measure_once(*builds[side], only, Path(folder) / f"{number_of_round}-{side}.json"):
                    if figure.wanted.how != SHOWN:
                        comparison = found.setdefault(figure.name, Comparison(figure.name, figure.unit, figure.wanted.at_least))
                        getattr(comparison, side).append(statistics.median(figure.ours))
            print(f"-- round {number_of_round + 1} of {rounds}", file=sys.stderr, flush=True)
    return [each for each in found.values() if len(each.old) == len(each.new) == rounds]


def table(comparisons: list[Comparison]) -> str:
    head = ["figure", "old", "new", "new / old", "rounds worse", ""]
    return "\n".join(lines(head, [each.row() for each in comparisons]))
