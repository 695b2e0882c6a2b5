"""What is measured: figures of ours, beside a baseline that ran in turn with them, and what is wanted of the two."""

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path

# How ours is held against what is beside it.
RATIO = "times"  # ours / beside
DIFFERENCE = "more"  # ours - beside
ALONE = ""  # ours, with nothing beside it
SHOWN = "-"  # ours, with no limit


@dataclass
class Wanted:
    how: str
    limit: float = 0
    at_least: bool = False

    def text(self, unit: str) -> str:
        if self.how == SHOWN:
            return ""
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.limit:g}" + (" ×" if self.how == RATIO else f" {unit}")


def at_most(limit: float) -> Wanted:
    return Wanted(ALONE, limit)


def ratio(limit: float, at_least: bool = False) -> Wanted:
    return Wanted(RATIO, limit, at_least)


def more(limit: float) -> Wanted:
    return Wanted(DIFFERENCE, limit)


def shown() -> Wanted:
    return Wanted(SHOWN)


@dataclass
class Figure:
    """`beside` has as many values as `ours`, measured in turn with them; or none, or one where it is what it is."""

    name: str
    unit: str
    wanted: Wanted
    ours: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    def add(self, ours: float, beside: float | None = None) -> "Figure":
        self.ours.append(ours)
        if beside is not None:
            self.beside.append(beside)
        return self

    def values(self) -> list[float]:
        """What is compared with the limit, a value for each pair."""
        match self.wanted.how:
            case "times":
                return [ours / beside for ours, beside in zip(self.ours, self.beside, strict=True)]
            case "more":
                return [ours - beside for ours, beside in zip(self.ours, self.beside, strict=True)]
        return self.ours

    def median(self) -> float:
        return statistics.median(self.values())

    def interval(self) -> tuple[float, float]:
        """Where the median lies: of ten pairs or more without the least and the greatest (98 %), else all of them."""
        values = sorted(self.values())
        return (values[1], values[-2]) if len(values) >= 10 else (values[0], values[-1])

    def met(self) -> bool | None:
        """Whether the limit lies in the interval or on its good side; None where nothing is wanted."""
        if self.wanted.how == SHOWN:
            return None
        low, high = self.interval()
        return high >= self.wanted.limit if self.wanted.at_least else low <= self.wanted.limit

    def as_json(self) -> dict:
        wanted = {"how": self.wanted.how, "limit": self.wanted.limit, "at_least": self.wanted.at_least}
        return {"name": self.name, "unit": self.unit, "wanted": wanted, "ours": self.ours, "beside": self.beside}

    @staticmethod
    def from_json(data: dict) -> "Figure":
        return Figure(data["name"], data["unit"], Wanted(**data["wanted"]), data["ours"], data["beside"])

    @staticmethod
    def read_all(file: Path) -> "list[Figure]":
        """Those that --output wrote."""
        return [Figure.from_json(each) for each in json.loads(file.read_text())["figures"]]
