"""The layer rule: what each package, and each room in it, may import, read from the source itself."""

import sys
from pathlib import Path

import pytest

from tests.imports import PACKAGES, ROOT, circles, graph, imports, names
from tests.imports import sources as modules
from tests.map import MARKS, PAGE, picture
from tests.rooms import FLOORS, floor_of, room_of

OURS = frozenset({"container", "gateway", "infra", "tests"})
PURE = (
    *("container/protocol.py", "container/claim.py", "container/runs/framelog.py", "container/agent/cut.py"),
    *(name.as_posix() for name in (ROOT / "container/redaction").glob("*.py")),
)
LARGE = frozenset({"gateway", "gateway/store", "infra", "infra/cli", "infra/plugin"})
IMPURE = frozenset({"asyncio", "aiohttp", "time", "random"})


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
def test_gateway_imports_of_ours_only_what_both_sides_have(path: Path) -> None:
    ours = {name for name in imports(path) if top(name) in OURS - {"gateway"}}
    shared = ("container.protocol", "container.claim", "container.listener", "container.redaction")
    assert {name for name in ours if not any(within(name, module) for module in shared)} == set()


@pytest.mark.parametrize("path", modules("infra"), ids=name_of)
def test_infra_imports_neither(path: Path) -> None:
    assert {name for name in imports(path) if top(name) in OURS - {"infra"}} == set()


@pytest.mark.parametrize("name", PURE)
def test_the_protocol_core_has_no_loop_no_clock_and_no_chance(name: str) -> None:
    assert {top(found) for found in imports(ROOT / name)} & IMPURE == set()


@pytest.mark.parametrize("package", ["container", "gateway", "infra"])
def test_there_is_something_to_look_at(package: str) -> None:
    assert modules(package)


@pytest.mark.parametrize("module", names())
def test_imports_point_down(module: str) -> None:
    package, room = room_of(module)
    for imported in graph()[module]:
        if imported.partition(".")[0] == package and room_of(imported)[1] != room:
            lower = room_of(imported)[1]
            assert floor_of(package, lower) < floor_of(package, room), f"{module} imports {imported}"


def test_no_modules_and_no_rooms_import_each_other_in_a_circle() -> None:
    assert circles(graph()) == []
    rooms: dict[str, set[str]] = {}
    for module, imported in graph().items():
        rooms.setdefault(".".join(room_of(module)), set()).update(
            ".".join(room_of(name)) for name in imported
        )
    assert circles({room: frozenset(found - {room}) for room, found in rooms.items()}) == []


def test_a_circle_is_found() -> None:
    edges = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("b"), "d": frozenset("a")}
    assert circles(edges) == [["b", "c"]]


def test_every_room_has_something_in_it() -> None:
    named = {
        (package, room) for package in FLOORS for floor in FLOORS[package] for room in floor.split(" | ")
    }
    assert named == {room_of(module) for module in graph()}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_room_has_at_most_a_dozen_files(package: str) -> None:
    """A folder past that wants a room in it; the store's modules are one object's, the package's own are words,
    and a command is a module."""
    counts: dict[str, int] = {}
    for path in modules(package):
        counts[path.parent.relative_to(ROOT).as_posix()] = (
            counts.get(path.parent.relative_to(ROOT).as_posix(), 0) + 1
        )
    assert {folder: count for folder, count in counts.items() if count > 13 and folder not in LARGE} == {}


def test_the_tests_mirror_the_rooms() -> None:
    rooms = {path.parent.relative_to(ROOT) for package in PACKAGES for path in modules(package)}
    tests = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    mirrored = {folder for folder in tests if folder.parts and folder.parts[0] in PACKAGES}
    assert mirrored - {Path(room) for room in rooms} == set()


def test_the_picture_in_the_docs_is_of_these_imports() -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = MARKS.search(page)
    assert shown is not None
    assert shown[0] == shown[1] + "\n".join(picture()) + "\n" + shown[2], "stale: run scripts/map"
