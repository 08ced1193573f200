"""How plain the code is, in figures: python benchmarks/house.py [FOLDER ...]

For each folder with Python files (default: src/w2sweep), such as those of two checkouts side by
side: the floors and circles of its import graph, long lines, comprehensions, lengths of functions.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median, quantiles

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LONG = 100
"""Columns from which on a line counts as long."""


def main(folders: list[str]) -> None:
    columns = [figures(Path(folder)) for folder in folders or ["src/w2sweep"]]
    for name in columns[0]:
        print(f"{name:45}", *(f"{column[name]:>12}" for column in columns))


def figures(folder: Path) -> dict[str, str]:
    """What there is to say of a folder, by name."""
    files = {path: path.read_text("utf-8") for path in sorted(folder.rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in files.items()}
    lines = [line for text in files.values() for line in text.splitlines()]
    written = [line for line in lines if line.strip()]
    lengths = [length for tree in trees.values() for length in function_lengths(tree)]
    graph = imports(folder, trees)
    rings = circles(graph)
    dense = [n for tree in trees.values() for n in comprehensions_by_statement(tree)]
    return {
        "files": str(len(files)),
        "lines": f"{len(lines):,}",
        "arrows of the import graph": str(sum(map(len, graph.values()))),
        "floors (circles counted as one)": str(floors(graph, rings)),
        "circles of files": str(len(rings)),
        f"lines of {LONG} columns or more, %": percent(
            sum(len(line) >= LONG for line in written), len(written)
        ),
        "comprehensions per 100 lines": f"{100 * sum(dense) / len(written):.1f}",
        "statements with two comprehensions or more": str(sum(n > 1 for n in dense)),
        "functions": str(len(lengths)),
        "lines of a function, median": f"{median(lengths):g}",
        "lines of a function, 90th percentile": f"{quantiles(lengths, n=10)[-1]:g}",
        "lines of the longest function": str(max(lengths)),
    }


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}"


def function_lengths(tree: ast.AST) -> Iterator[int]:
    """Lines of code of each function, without its signature, docstring and blank lines."""
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body:
                yield (body[-1].end_lineno or 0) - body[0].lineno + 1


def comprehensions_by_statement(tree: ast.AST) -> Iterator[int]:
    """How many comprehensions each simple statement, or head of a compound one, has."""
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            found = sum(isinstance(part, COMPREHENSIONS) for part in own_parts(node))
            if found:
                yield found


def own_parts(statement: ast.stmt) -> Iterator[ast.AST]:
    """The nodes of a statement, without the statements inside it."""
    for child in ast.iter_child_nodes(statement):
        if not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from ast.walk(child)


def imports(folder: Path, trees: dict[Path, ast.Module]) -> dict[str, set[str]]:
    """Module -> modules of the folder that it imports, under TYPE_CHECKING and in functions too."""
    package = folder.name
    names = {module_name(folder, path): path for path in trees}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        graph[name] = set()
        for node in ast.walk(trees[path]):
            for target in imported(node):
                head, _, rest = target.partition(".")
                while rest and rest not in names:
                    rest = rest.rpartition(".")[0]
                if head == package and rest != name and rest in names:
                    graph[name].add(rest)
    graph.pop("", None)  # the package's own file only names what is public
    return {name: found - {""} for name, found in graph.items()}


def module_name(folder: Path, path: Path) -> str:
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imported(node: ast.AST) -> list[str]:
    """The dotted names that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Groups of two modules or more that all reach each other."""

    @cache
    def reached(name: str) -> frozenset[str]:
        found, queue = set(), [name]
        while queue:
            for other in graph.get(queue.pop(), ()):
                if other not in found:
                    found.add(other)
                    queue.append(other)
        return frozenset(found)

    groups: list[set[str]] = []
    for name in graph:
        group = {other for other in reached(name) if name in reached(other)} | {name}
        if len(group) > 1 and group not in groups:
            groups.append(group)
    return groups


def floors(graph: dict[str, set[str]], rings: list[set[str]]) -> int:
    """The longest way down the import graph, in modules."""
    ring_of = {name: frozenset(ring) for ring in rings for name in ring}

    def node(name: str) -> frozenset[str]:
        return ring_of.get(name, frozenset([name]))

    @cache
    def depth(group: frozenset[str]) -> int:
        below = {node(other) for name in group for other in graph.get(name, ())}
        return 1 + max((depth(other) for other in below - {group}), default=0)

    return max(depth(node(name)) for name in graph)


if __name__ == "__main__":
    main(sys.argv[1:])
