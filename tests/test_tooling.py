"""The tools agree with each other: one version, locks by hash and without addresses, commands with help."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from container.protocol import VERSION
from tests.conftest import END_TO_END_TOOLS

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts"
COMMANDS = sorted(path for path in SCRIPTS.iterdir() if path.is_file() and not path.suffix)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {
    "dev": "requirements.txt",
    "gateway": "gateway/requirements.txt",
    "agent": "container/requirements.txt",
    "agent-claude": "container/requirements-claude.txt",
    "infra": "infra/requirements.txt",
    "aws": "infra/requirements-aws.txt",
    "setup": "scripts/lib/uv-requirements.txt",
    "cloud": "tests/aws/cloud/requirements.txt",
}


def name_of(path: Path) -> str:
    return path.name


def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*argv], capture_output=True, text=True, timeout=50, check=False)


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", (ROOT / lock).read_text(), re.MULTILINE))


def wanted(group: str) -> dict[str, str]:
    """Return what a dependency group, with those it includes, asks for: `{name: specifier}`."""
    found: dict[str, str] = {}
    for entry in PROJECT["dependency-groups"][group]:
        if isinstance(entry, dict):
            found |= wanted(entry["include-group"])
        else:
            match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?(.*)", entry)
            assert match, entry
            found[match[1].lower()] = match[2]
    return found


def versions() -> dict[str, str]:
    return dict(re.findall(r"^([A-Z_]+)=(\S+)$", (SCRIPTS / "lib/versions.sh").read_text(), re.MULTILINE))


def test_the_version_is_a_release() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


def test_the_version_is_written_down_once() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "container.protocol.VERSION"}
    sources = [path for folder in ("container", "gateway", "infra") for path in (ROOT / folder).rglob("*.py")]
    naming = [path for path in sources if f'"{VERSION}"' in path.read_text()]
    assert naming == [ROOT / "container/protocol.py"]


@pytest.mark.parametrize(("group", "lock"), LOCKS.items())
def test_a_lock_holds_what_its_group_asks_for(group: str, lock: str) -> None:
    locked = pins(lock)
    for name, specifier in wanted(group).items():
        assert name in locked, f"{lock} lacks {name}: run scripts/lock"
        if specifier.startswith("=="):
            assert locked[name] == specifier.removeprefix("==")


@pytest.mark.parametrize("lock", LOCKS.values())
def test_a_lock_pins_by_hash_and_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text
    assert "--index" not in text


@pytest.mark.parametrize(
    "lock", [lock for group, lock in LOCKS.items() if group not in {"dev", "setup", "cloud"}]
)
def test_a_package_has_the_tested_version_in_every_lock(lock: str) -> None:
    """So that an environment for tests is one for deploying too."""
    assert pins(lock).items() <= pins("requirements.txt").items()


def test_infra_asks_for_what_it_imports() -> None:
    """An environment of `infra/requirements.txt` alone is what `scripts/up` and `pulumi install` have."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "infra").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    tops = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"infra"}
    assert {"jwt", "pulumi"} <= tops
    of = metadata.packages_distributions()
    locked = pins("infra/requirements.txt") | pins("infra/requirements-aws.txt")  # apart: test_environment.py
    missing = [
        top
        for top in sorted(tops)
        if not {name.lower().replace("_", "-") for name in of[top]} & locked.keys()
    ]
    assert missing == []


def test_up_sets_up_what_deploying_needs_and_tests_more() -> None:
    assert '/scripts/setup" infra' in (SCRIPTS / "up").read_text()
    assert '/scripts/setup" python' not in (SCRIPTS / "up").read_text()
    assert "scripts/setup python" in (SCRIPTS / "test").read_text()
    tests_alone = {"mypy", "playwright", "claude-agent-sdk", "pytest", "ruff"}
    assert tests_alone <= pins("requirements.txt").keys()
    assert not tests_alone & pins("infra/requirements.txt").keys()


def test_the_slim_agent_has_no_sdk() -> None:
    assert "claude-agent-sdk" not in pins("container/requirements.txt")


def test_the_pulumi_cli_is_as_old_as_its_library() -> None:
    assert versions()["PULUMI_VERSION"] == pins("infra/requirements.txt")["pulumi"]
    module = (SCRIPTS / "lib/pulumi-cli/go.mod").read_text()
    for part in ("pkg", "sdk"):
        assert f"\tgithub.com/pulumi/pulumi/{part}/v3 v{versions()['PULUMI_VERSION']}" in module


@pytest.mark.parametrize("command", COMMANDS, ids=name_of)
def test_a_command_is_one_word_and_explains_itself(command: Path) -> None:
    assert re.fullmatch(r"[a-z]+", command.name)
    assert command.stat().st_mode & 0o111 == 0o111
    result = run(command, "--help")
    assert result.returncode == 0, result.stderr
    assert result.stdout.lower().startswith("usage: ")
    assert len(result.stdout.splitlines()) >= 3
    # Who asks only for help is not made to wait for packages.
    assert set(re.findall(r"^==> ([a-z-]+): ready", result.stderr, re.MULTILINE)) <= {"python", "infra"}


@pytest.mark.parametrize("command", ["setup", "check", "dynamodb", "lock"])
def test_a_command_refuses_what_it_does_not_know(command: str) -> None:
    result = run(SCRIPTS / command, "no-such-thing")
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "no-such-thing" in result.stderr


def test_every_part_of_setup_is_explained() -> None:
    parts = {path.stem for path in (SCRIPTS / "lib").glob("*.sh") if "\nsetup_" in path.read_text()}
    help_text = run(SCRIPTS / "setup", "--help").stdout
    assert parts == set(re.findall(r"^  ([a-z-]+)  ", help_text, re.MULTILINE))


def test_what_is_kept_outside_the_clone_goes_where_the_environment_says(tmp_path: Path) -> None:
    script = '. "$0"; printf "%s\\n" "$VF_CACHE" "$VF_STATE" "${PATH%%:*}"'
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "VF_CACHE": str(tmp_path / "c")}
    result = subprocess.run(
        ["bash", "-euc", script, SCRIPTS / "lib/env.sh"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert result.stdout.split() == [
        str(tmp_path / "c"),
        str(tmp_path / ".local/state/vaporforge"),
        str(tmp_path / "c/bin"),
    ]


def in_shell(folder: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script after env.sh and docker.sh, with commands in `folder/fakes` before all others on PATH."""
    return subprocess.run(
        ["bash", "-euc", f'. "$0/lib/env.sh"; . "$0/lib/docker.sh"; PATH="$FAKES:$PATH"; {script}', SCRIPTS],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "VF_CACHE": str(folder / "c"),
            "VF_STATE": str(folder / "s"),
            "FAKES": str(folder / "fakes"),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def fake(folder: Path, name: str, script: str) -> None:
    path = folder / "fakes" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_programs_with_roots_of_their_own_trust_the_bundle(tmp_path: Path) -> None:
    names = ("NODE_EXTRA_CA_CERTS", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS", "SSL_CERT_FILE")
    show = "; ".join(f'echo "{name}=${{{name}:-}}"' for name in names)
    told = in_shell(tmp_path, show, VF_CA_BUNDLE="/ca.pem", UV_NATIVE_TLS="false").stdout
    # SSL_CERT_FILE would take the place of the system's own roots.
    assert told.split() == [
        "NODE_EXTRA_CA_CERTS=/ca.pem",
        "UV_SYSTEM_CERTS=true",
        "UV_NATIVE_TLS=false",
        "SSL_CERT_FILE=",
    ]


@pytest.mark.parametrize(
    ("running", "held", "ends"),
    [
        ("", "", True),
        ("echo 1", "", False),
        ("", "docker_hold", False),
        # From another folder for state, on the same engine.
        ("", 'mkdir -p "$HOME/o/locks"; VF_STATE=$HOME/o; docker_hold', False),
    ],
)
def test_an_engine_that_nothing_uses_any_more_is_ended(
    running: str, held: str, ends: bool, tmp_path: Path
) -> None:
    fake(tmp_path, "docker", f'[ "$DOCKER_HOST" = unix:///var/run/docker.sock ] && {running or ":"}')
    # A process that is called as the engine is.
    shutil.copy("/bin/sleep", tmp_path / "fakes" / "dockerd")
    hold = "held="
    if held:
        hold = f"({held}; : >held; exec sleep 60) & held=$!; until [ -e held ]; do sleep 0.02; done"
    script = f"""
        cd "$VF_STATE"
        dockerd 60 & echo $! >"$VF_STATE/dockerd.pid"; daemon=$!
        until [ "$(cat "/proc/$daemon/comm")" = dockerd ]; do sleep 0.02; done  # it is the shell at first
        {hold}
        docker_stop_unused
        if kill -0 "$daemon" 2>/dev/null; then echo goes on; kill "$daemon"; else echo ended; fi
        [ -z "$held" ] || kill "$held"
    """
    done = in_shell(tmp_path, script, DOCKER_HOST="tcp://elsewhere:1")
    assert done.stdout.split("\n")[0] == ("ended" if ends else "goes on"), done.stderr
    assert ("scripts/up starts it again" in done.stderr) is ends
    assert (tmp_path / "s" / "dockerd.pid").exists() is not ends


def test_asking_down_for_help_ends_no_engine(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "dockerd.pid").write_text("1")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "VF_STATE": str(tmp_path / "s")}
    done = subprocess.run(
        [SCRIPTS / "down", "--help"], env=environment, capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout.startswith("usage: scripts/down")
    assert (tmp_path / "s" / "dockerd.pid").exists()


def test_down_leaves_no_engine_behind_and_up_holds_it() -> None:
    assert (SCRIPTS / "down").read_text().splitlines()[-1] == "docker_stop_unused"
    for command in ("up", "test"):
        assert "docker_hold" in (SCRIPTS / command).read_text(), command


def test_pulumi_finds_the_packages_from_the_program_s_folder() -> None:
    # `pulumi install` takes `virtualenv: .venv` of Pulumi.yaml from where `main` lies; so does Pulumi's plugin for
    # dynamic resources, which states of VaporForge 0.20 have.
    assert (ROOT / "infra/.venv").is_symlink()
    assert (ROOT / "infra/.venv").readlink() == Path("../.venv")


def test_dynamodb_refuses_a_port_that_is_none() -> None:
    result = run(SCRIPTS / "dynamodb", "--port", "70000")
    assert result.returncode == 1
    assert "70000" in result.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "tests/e2e").glob("test_*.py")), ids=name_of)
def test_end_to_end_tests_are_marked(path: Path) -> None:
    marks = [
        ast.unparse(node.value)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    ]
    assert any("pytest.mark.e2e" in mark for mark in marks), f"{path.name} lacks pytestmark = pytest.mark.e2e"


@pytest.mark.parametrize("tool", END_TO_END_TOOLS)
def test_only_end_to_end_tests_have_a_tool(tool: str) -> None:
    result = run(tool, "version")
    assert result.returncode == 127
    assert result.stderr == f"error: only tests that are marked e2e have {tool}\n"


def test_ci_runs_what_people_run() -> None:
    assert (ROOT / ".ci/run").read_text().splitlines()[1:] == ['exec "$(dirname -- "$0")/../scripts/test"']


def test_images_get_only_what_the_ignore_file_lets_in() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert next(line for line in lines if not line.startswith("#")) == "*"


def shell_files() -> list[Path]:
    listed = run("bash", "-euc", f'. "{SCRIPTS}/lib/env.sh"; . "{SCRIPTS}/lib/sources.sh"; shell_files')
    assert listed.returncode == 0, listed.stderr
    return [Path(line) for line in listed.stdout.splitlines()]


def test_every_shell_file_is_looked_at() -> None:
    written = {
        path for path in sources() if re.match(r"#!.*sh$|# shellcheck", path.read_text(), re.MULTILINE)
    }
    assert {ROOT / "scripts/test", ROOT / "infra/proxy/start", ROOT / "scripts/lib/env.sh"} < written
    assert written == set(shell_files())


def sources() -> list[Path]:
    """The repository's own files of text that say something to a shell, to pytest or to node's runner."""
    kinds = {"", ".sh", ".py", ".js", ".mjs", ".yaml", ".yml"}
    folders = [ROOT / name for name in (".ci", "container", "gateway", "infra", "scripts", "tests")]
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    left_out = {"node_modules", "vendor", "__pycache__", ".venv"}
    return [path for path in files if path.suffix in kinds and not left_out & set(path.parts)]


HIDES = re.compile(r"\|\| *(?:true|:)(?![\w:=/-])|\bset \+e\b|; *true *$", re.MULTILINE)
"""What makes a command that fails look as if it had not, to the shell and to whoever reads its output."""


@pytest.mark.parametrize(
    ("line", "hides"),
    [
        ("check || true", True),
        ("check ||:", True),
        ("told=$(check) || :; next", True),
        ("trap 'kill 1 || :' EXIT", True),
        ("set +e", True),
        ("check; true", True),
        ("check || die 'no'", False),
        ("check || truest", False),
        ("while true; do", False),
    ],
)
def test_what_hides_errors_is_known(line: str, hides: bool) -> None:
    assert bool(HIDES.search(line)) is hides


def test_shell_is_free_of_what_hides_errors() -> None:
    """Also where it stands in a test, an image's build or a file of settings."""
    images = [path for path in ROOT.rglob("Dockerfile*") if not {"node_modules", ".venv"} & set(path.parts)]
    assert len(images) >= 3
    said = [
        path for path in [*sources(), *images] if path != Path(__file__).resolve() and path.suffix != ".js"
    ]
    assert [str(path.relative_to(ROOT)) for path in said if HIDES.search(path.read_text())] == []


LEFT_OUT = re.compile(
    r"pytest\.(?:mark\.)?(?:skip|xfail|importorskip)|unittest\.skip|SkipTest"
    r"|\b(?:test|it|describe|t)\.(?:skip|todo|only)\b|\{\s*(?:skip|todo|only)\s*[:,}]"
)
"""How a test is left out of a run, or all others are, and the run passes."""


@pytest.mark.parametrize(
    ("line", "left_out"),
    [
        ("@pytest.mark.skipif(True)", True),
        ("    pytest.skip('no engine')", True),
        ("@pytest.mark.xfail", True),
        ("docker = pytest.importorskip('docker')", True),
        ("test.skip('x', () => {});", True),
        ("test('x', { skip: true }, () => {});", True),
        ("t.todo();", True),
        ("assert image.inputs['skipPush'] is False", False),
        ("]  # fmt: skip", False),
    ],
)
def test_what_leaves_a_test_out_is_known(line: str, left_out: bool) -> None:
    assert bool(LEFT_OUT.search(line)) is left_out


def test_no_test_is_left_out() -> None:
    tests = [
        path for path in sources() if ROOT / "tests" in path.parents and path != Path(__file__).resolve()
    ]
    assert len(tests) > 200
    assert [str(path.relative_to(ROOT)) for path in tests if LEFT_OUT.search(path.read_text())] == []


def test_what_the_set_up_says_is_never_on_stdout(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "scripts" / "lib" / "page.sh").write_text("setup_page() { echo noise; }\n")
    environ = {**os.environ, "VF_CACHE": str(tmp_path / "cache"), "VF_STATE": str(tmp_path / "state")}
    command = [str(tmp_path / "scripts" / "setup"), "page"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout == ""
    assert "noise" in done.stderr


DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_the_lines_of_docs_are_short(page: Path) -> None:
    """But a table's rows, which Markdown wants on one line each."""
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_a_file_that_docs_name_is_there(page: Path) -> None:
    """From the root, or from tests/ in the table of the seed's features."""
    folders = "gateway|container|infra|scripts|tests|docs"
    named = re.findall(rf"`((?:{folders})/[\w./-]+)`", page.read_text(encoding="utf-8"))
    places = (ROOT, ROOT / "tests")
    missing = [name for name in named if not any((place / name).exists() for place in places)]
    assert [name for name in missing if name != "gateway/static/vendor"] == []
