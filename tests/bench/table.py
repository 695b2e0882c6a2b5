"""The figures as a table for a person: GitHub's markdown, which a terminal shows well enough."""

import statistics

from bench.figures import ALONE, RATIO, SHOWN, Figure

HEAD = ["figure", "ours", "beside it", "compared", "interval", "wanted", ""]


def number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def row(figure: Figure) -> list[str]:
    sign = "×" if figure.wanted.how == RATIO else figure.unit
    low, high = figure.interval()
    compared = "" if figure.wanted.how in (ALONE, SHOWN) else f"{number(figure.median())} {sign}"
    interval = "" if low == high else f"{number(low)} … {number(high)}"
    beside = f"{number(statistics.median(figure.beside))} {figure.unit}" if figure.beside else ""
    verdict = {True: "met", False: "missed", None: ""}[figure.met()]
    ours = f"{number(statistics.median(figure.ours))} {figure.unit}"
    return [figure.name, ours, beside, compared, interval, figure.wanted.text(figure.unit), verdict]


def lines(head: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(len(line[column]) for line in [head, *rows]) for column in range(len(head))]
    rule = ["-" * width for width in widths]
    return ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in [head, rule, *rows]]


def table(figures: list[Figure]) -> str:
    return "\n".join(lines(HEAD, [row(figure) for figure in figures]))


def against(figures: list[Figure], earlier: list[Figure]) -> str:
    """The figures beside those of an earlier run, of those that both have."""
    before = {figure.name: figure for figure in earlier}
    rows = []
    for figure in figures:
        if figure.name in before:
            old, new = before[figure.name].median(), figure.median()
            rows.append([figure.name, number(old), number(new), f"{new / old:.2f} ×" if old else ""])
    return "\n".join(lines(["figure", "earlier", "now", "now / earlier"], rows))
