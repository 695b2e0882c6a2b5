"""Two files outside common/ that define a function of the same name and body: it belongs into common/ once.

    duplicate_functions.py ROOT         reads ROOT/shim and ROOT/runner; prints what it finds and fails
    duplicate_functions.py --self-test  shows that it finds one
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

# A definition at the beginning of a line, as clang-format leaves it: up to the brace, and to the brace that closes it.
FUNCTION = re.compile(
    r"^(?!namespace|class|struct|enum|union|using|extern)[^\s#/}][^;{}]*?\b(\w+)\([^;{}]*\)[^;{}()]*"
    r"\{(?:\n(?P<lines>.*?)^\}|(?P<line>[^\n]*)\}$)",
    re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"//[^\n]*")


def functions(text: str) -> list[tuple[str, str]]:
    """Name and body, without comments and line breaks, of each function."""
    found = []
    for match in FUNCTION.finditer(text):
        body = " ".join(COMMENT.sub("", match["lines"] or match["line"] or "").split())
        if body:
            found.append((match.group(1), body))
    return found


def duplicates(sources: dict[str, str]) -> dict[tuple[str, str], list[str]]:
    places: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path, text in sources.items():
        for function in functions(text):
            places[function].add(path)
    return {function: sorted(paths) for function, paths in places.items() if len(paths) > 1}


def self_test() -> None:
    one = "namespace {\n\n// Why.\nint twice(int number) {\n  // A comment.\n  return number * 2;\n}\n\n}  // namespace\n"
    other = "static int twice(int number) {\n  return number *\n         2;\n}\n\nint half(int n) {\n  if (n < 2) {\n    return 0;\n  }\n  return n / 2;\n}\n\nint thrice(int n) { return 3 * n; }\n"
    changed = other.replace("* 2", "* 3").replace("number *\n         2", "number * 4")
    assert [name for name, _ in functions(other)] == ["twice", "half", "thrice"], functions(other)
    assert list(duplicates({"a.cpp": one, "b.cpp": other})) == [("twice", "return number * 2;")]
    assert not duplicates({"a.cpp": one, "b.cpp": changed})
    assert len(duplicates({"a.cpp": other, "b.cpp": other})) == 3
    assert not duplicates({"a.cpp": other, "b.cpp": other.replace("n / 2", "n / 3").replace("2;", "5;").replace("3 *", "4 *")})


def main() -> int:
    if sys.argv[1] == "--self-test":
        self_test()
        return 0
    root = Path(sys.argv[1])
    sources = {str(path.relative_to(root)): path.read_text() for folder in ("shim", "runner")
               for path in sorted((root / folder).rglob("*.cpp"))}
    if not sources:
        print(f"no sources below {root}")
        return 1
    found = duplicates(sources)
    for (name, _), paths in sorted(found.items()):
        print(f"{name}() is defined in {' and in '.join(paths)}: move it to common/, to a folder named by what it does")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
