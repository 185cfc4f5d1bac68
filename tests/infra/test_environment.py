"""The environments in which the commands are started: `pulumi install`'s, and those that lack something."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest

from infra.config import ROOT
from tests.imports import imports, sources


def test_what_pulumi_install_installs_is_all_that_the_commands_and_the_program_import() -> None:
    """Pulumi installs the requirements.txt in the folder of Pulumi.yaml's `main`."""
    assert missing_in("requirements.txt", [path for path in sources("infra") if not of_aws(path)]) == {}


def test_what_the_aws_target_imports_is_in_a_lock_of_its_own() -> None:
    theirs = [path for path in sources("infra") if of_aws(path)]
    assert len(theirs) > 20
    assert missing_in("requirements-aws.txt", sources("infra")) == {}
    assert missing_in("requirements.txt", theirs).keys() == {"boto3", "pulumi_aws"}


def of_aws(path: Path) -> bool:
    """Whether only a stack whose target is aws imports it, or gets to the import in it."""
    place = path.relative_to(ROOT / "infra").as_posix()
    return place.startswith(("components/aws/", "targets/aws.py", "targets/cloud/", "plugin/stack/tasks.py"))


def missing_in(lock: str, paths: Iterable[Path]) -> dict[str, str]:
    """What the modules import and a lock of infra/ does not have, with a module that does."""
    text = (ROOT / "infra" / lock).read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE))
    brings = metadata.packages_distributions()
    missing = {}
    for path in paths:
        for name in {imported.split(".")[0] for imported in imports(path)}:
            if name in sys.stdlib_module_names or name == "infra":
                continue
            packages = {re.sub(r"[-_.]+", "-", package).lower() for package in brings[name]}
            if not packages & locked:
                missing[name] = str(path.relative_to(ROOT))
    return missing


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project whose `.venv` has Python and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    for name in ("scripts", "infra", "container"):
        shutil.copytree(
            ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "Pulumi.yaml", folder)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True, timeout=60)
    return folder


def started(folder: Path, command: str, path: str) -> subprocess.CompletedProcess[str]:
    """A command of a copy, in an environment without Python's and Docker's variables."""
    environ = {"PATH": path, "HOME": str(folder), "DOCKER_HOST": "unix:///nowhere"}
    argv = [str(folder / "scripts" / command)]
    return subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("command", ["token", "down"])
def test_an_environment_that_lacks_a_package_is_one_sentence_with_the_remedy(
    command: str, bare: Path
) -> None:
    done = started(bare, command, os.defpath)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert re.fullmatch(r"error: .* lacks \w+(\.\w+)*; .*/scripts/setup infra installs .*", line)
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["token", "down"])
def test_no_environment_at_all_is_one_sentence_with_the_remedy(
    command: str, bare: Path, tmp_path: Path
) -> None:
    without = tmp_path / "clone"
    shutil.copytree(bare, without, symlinks=True, ignore=shutil.ignore_patterns(".venv"))
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "cat", "dirname", "env", "mkdir", "awk", "cmp", "mv", "flock", "sed"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    done = started(without, command, str(tools))
    assert done.returncode == 1
    assert done.stderr == "error: there is no Python environment; scripts/setup infra makes it\n"
