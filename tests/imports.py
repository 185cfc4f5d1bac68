"""Who imports whom: read from the source itself, also what is imported for types only or within a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("container", "gateway", "infra")


def sources(package: str) -> list[Path]:
    """Every module of a package."""
    return sorted(path for path in (ROOT / package).rglob("*.py") if "node_modules" not in path.parts)


@cache
def imports(path: Path) -> frozenset[str]:
    """The full dotted name of everything that a module imports, wherever in it the import stands."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            # `from container import protocol` names container.protocol as much as `import container.protocol`.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def names() -> dict[str, Path]:
    """Every module of ours, by its dotted name."""
    return {name_of(path): path for package in PACKAGES for path in sources(package)}


@cache
def graph() -> Mapping[str, frozenset[str]]:
    """Every module of ours, and which of ours it imports."""
    paths = names()
    found: dict[str, frozenset[str]] = {}
    for name, path in paths.items():
        known = (_known(imported, paths) for imported in imports(path))
        found[name] = frozenset(module for module in known if module not in (None, name))
    return found


def circles(edges: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """The groups of nodes that reach each other (Tarjan's strongly connected components of two and more)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges.get(node, frozenset()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for node in edges:
        if node not in index:
            visit(node)
    return found


def _known(imported: str, paths: Mapping[str, Path]) -> str | None:
    while imported and imported not in paths:
        imported = imported.rpartition(".")[0]
    return imported or None
