"""Whether memory grows with the tasks that a process has served."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Slope:
    value: float  # bytes a task
    error: float  # its standard error
    points: int
    processes: int

    @property
    def lower(self) -> float:
        """Of the 95 % confidence interval, nearly."""
        return self.value - 2 * self.error

    def __str__(self) -> str:
        return f"{self.value:.0f} ± {self.error:.0f} bytes a task ({self.points} points of {self.processes} processes)"


def common_slope(series: list[list[tuple[float, float]]]) -> Slope | None:
    """The least-squares slope that all series share, each with a level of its own; None with too few points."""
    series = [points for points in series if len(points) >= 2]
    centred = []
    for points in series:
        x0 = sum(x for x, _ in points) / len(points)
        y0 = sum(y for _, y in points) / len(points)
        centred += [(x - x0, y - y0) for x, y in points]
    spread = sum(x * x for x, _ in centred)
    freedom = len(centred) - len(series) - 1
    if freedom < 1 or spread == 0:
        return None
    slope = sum(x * y for x, y in centred) / spread
    residue = sum((y - slope * x) ** 2 for x, y in centred)
    return Slope(slope, math.sqrt(residue / freedom / spread), len(centred), len(series))
