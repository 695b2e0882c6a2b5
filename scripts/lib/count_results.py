"""Adds up the JUnit files in a folder and prints `N passed, N failed`. Exit status 1 if a test failed or none ran.

    count_results.py FOLDER EXPECTED...     EXPECTED: the reports that must be there
"""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def outcomes(report: Path):
    for case in ElementTree.parse(report).iter("testcase"):
        yield case, {child.tag for child in case}


def main(folder: Path, expected_reports: list[str]) -> int:
    passed = failed = skipped = 0
    for report in sorted(folder.glob("*.xml")):
        for case, tags in outcomes(report):
            if tags & {"failure", "error"} or case.get("status") == "fail":
                failed += 1
                print(f"failed: {case.get('classname')} {case.get('name')}", file=sys.stderr)
            elif "skipped" in tags or case.get("status") in ("notrun", "disabled"):
                skipped += 1
                print(f"skipped: {case.get('classname')} {case.get('name')}", file=sys.stderr)
            else:
                passed += 1
    for expected in expected_reports:
        if not (folder / expected).exists():
            failed += 1
            print(f"failed: {expected} is missing, its tests did not run", file=sys.stderr)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
