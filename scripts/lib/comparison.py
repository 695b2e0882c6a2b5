"""Writes the table of scripts/compare into a README, between its two marks (at the end of "Why" if there are none yet).

comparison.py README FOLDER NAME...     FOLDER: NAME.ours.json and NAME.theirs.json, from scripts/bench --output
"""

import json
import statistics
import sys
from pathlib import Path

BEGIN, END = "<!-- scripts/compare: begin -->", "<!-- scripts/compare: end -->"


def medians(file: Path) -> dict[str, tuple[float, str]]:
    return {each["name"]: (statistics.median(each["ours"]), each["unit"]) for each in json.loads(file.read_text())["figures"]}


def number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def rows(folder: Path, names: list[str]) -> list[str]:
    lines = []
    for name in names:
        ours, theirs = (medians(folder / f"{name}.{side}.json") for side in ("ours", "theirs"))
        lines += [f"| {figure} | {number(value)} {unit} | {number(theirs[figure][0])} {unit} |" for figure, (value, unit) in ours.items() if figure in theirs]
    return lines


def main() -> None:
    readme, folder, *names = sys.argv[1:]
    table = "\n".join([BEGIN, "| figure | these programs | the Go pair |", "|---|---|---|", *rows(Path(folder), names), END])
    text = Path(readme).read_text()
    if BEGIN in text:
        text = text[: text.index(BEGIN)] + table + text[text.index(END) + len(END) :]
    else:
        text = text.replace("\n## Install\n", f"\n{table}\n\n## Install\n", 1)
    Path(readme).write_text(text)
    print(table)


main()
