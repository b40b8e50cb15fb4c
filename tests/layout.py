"""How the house stands, in figures: `python tests/layout.py [FOLDER of a checkout]`.

Siblings in `llmrank`, imports between them, floors (the longest chain of imports), and
lines. A module of the old flat layout counts as a sibling, as a folder does.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path


def imported(source: str) -> Iterator[str]:
    """Yield what a source imports of `llmrank`, as dotted names."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts == ["llmrank"]:
                yield from (f"llmrank.{alias.name}" for alias in node.names)
            elif parts[0] == "llmrank":
                yield node.module


def figures(root: Path) -> dict[str, int]:
    """Count siblings, imports between them, floors and lines."""
    package = root / "llmrank"
    siblings = {
        path.stem
        for path in package.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    } - {"__init__", "__main__"}
    above: dict[str, set[str]] = defaultdict(set)
    for path in package.rglob("*.py"):
        own = path.relative_to(package).with_suffix("").parts[0]
        for name in imported(path.read_text("utf-8")) if own in siblings else ():
            other = name.split(".")[1]
            if other in siblings - {own}:
                above[own].add(other)

    @cache
    def floor(name: str) -> int:
        return 1 + max(map(floor, above[name]), default=0)

    return {
        "siblings in llmrank": len(siblings),
        "imports between them": sum(map(len, above.values())),
        "floors": max(map(floor, siblings)),
        "lines of llmrank": lines(package),
        "lines of pages": lines(root / "pages") + lines(root / "app.py"),
        "lines of tests": lines(root / "tests"),
    }


def lines(place: Path) -> int:
    """Count the lines of a Python file, or of all in a folder."""
    paths = place.rglob("*.py") if place.is_dir() else [place]
    return sum(path.read_text("utf-8").count("\n") for path in paths)


if __name__ == "__main__":
    checkout = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1])
    for what, count in figures(checkout).items():
        sys.stdout.write(f"{count:8,}  {what}\n")
