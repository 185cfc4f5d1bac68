"""The layer rule: what each of our packages may import, read from the source itself."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = frozenset({"container", "gateway", "infra", "tests"})
PURE = ("container/protocol.py", "container/runs/framelog.py", "container/agent/cut.py")
IMPURE = frozenset({"asyncio", "aiohttp", "time", "random"})


def modules(package: str) -> list[Path]:
    return sorted(path for path in (ROOT / package).rglob("*.py") if "node_modules" not in path.parts)


def imports(path: Path) -> Iterator[str]:
    """Yield the full dotted name of everything that a module imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            # `from container import protocol` names container.protocol as much as `import container.protocol`.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top(name: str) -> str:
    return name.partition(".")[0]


def within(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules("container"), ids=name_of)
def test_container_imports_the_standard_library_and_aiohttp(path: Path) -> None:
    allowed = sys.stdlib_module_names | {"container", "aiohttp"}
    if name_of(path).startswith("container/agents/claude"):
        allowed |= {"claude_agent_sdk"}
    assert {top(name) for name in imports(path)} <= allowed


@pytest.mark.parametrize("path", modules("gateway"), ids=name_of)
def test_gateway_imports_of_ours_only_the_protocol(path: Path) -> None:
    ours = {name for name in imports(path) if top(name) in OURS - {"gateway"}}
    assert {name for name in ours if not within(name, "container.protocol")} == set()


@pytest.mark.parametrize("path", modules("infra"), ids=name_of)
def test_infra_imports_neither(path: Path) -> None:
    assert {name for name in imports(path) if top(name) in OURS - {"infra"}} == set()


@pytest.mark.parametrize("name", PURE)
def test_the_protocol_core_has_no_loop_no_clock_and_no_chance(name: str) -> None:
    assert {top(found) for found in imports(ROOT / name)} & IMPURE == set()


@pytest.mark.parametrize("package", ["container", "gateway", "infra"])
def test_there_is_something_to_look_at(package: str) -> None:
    assert modules(package)
