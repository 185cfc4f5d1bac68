"""The repository's stack files under the Pulumi commands that the documents tell."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from infra.config import ROOT

DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

FILES = sorted((ROOT / "infra" / "stacks").glob("Pulumi.*.yaml"))


def told(command: str) -> list[str]:
    """Every such command in the documents, with its arguments."""
    texts = [path.read_text(encoding="utf-8") for path in DOCUMENTS]
    return [found.strip() for text in texts for found in re.findall(rf"{command}[^\n&;#`]*", text)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_value_is_as_pulumi_writes_it(file: Path) -> None:
    values = yaml.safe_load(file.read_text(encoding="utf-8"))["config"]
    assert {key: value for key, value in values.items() if not isinstance(value, str)} == {}


def test_no_document_tells_to_remove_a_stack_with_its_file() -> None:
    commands = [command for command in told("pulumi stack rm") if command != "pulumi stack rm"]
    assert commands != []
    assert [command for command in commands if "--preserve-config" not in command] == []


@pytest.mark.e2e
@pytest.mark.timeout(120)
@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_a_stack_that_comes_and_goes_leaves_its_file(stack: str, tmp_path: Path) -> None:
    """By the documents' own commands: made, configured, and removed."""
    shutil.copy(ROOT / "Pulumi.yaml", tmp_path)
    shutil.copytree(ROOT / "infra" / "stacks", tmp_path / "infra" / "stacks")
    (tmp_path / "backend").mkdir()
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PULUMI_")}
    environ |= {
        "PULUMI_BACKEND_URL": (tmp_path / "backend").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "of this test",
    }
    file = tmp_path / "infra" / "stacks" / f"Pulumi.{stack}.yaml"
    before = file.read_text(encoding="utf-8").splitlines()

    def pulumi(command: str, given: str = "") -> None:
        # From where the set-up puts it.
        argv = ["bash", "-c", f'. {shlex.quote(str(ROOT))}/scripts/lib/env.sh && exec "$@"', "-"]
        argv += shlex.split(command.replace(" dev", f" {stack}").replace(" prod", f" {stack}"))
        argv += ["--non-interactive"] + ["--yes"] * ("stack rm" in command)
        done = subprocess.run(
            argv, cwd=tmp_path, env=environ, input=given, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (argv, done.stderr)

    def added() -> list[str]:
        lines = file.read_text(encoding="utf-8").splitlines()
        assert lines[: len(before)] == before
        return [line.split(":")[0].strip() for line in lines[len(before) :]]

    pulumi(told("pulumi stack init")[0])
    assert added() == ["encryptionsalt"]
    running, again = told("pulumi config set vaporforge:running"), told("pulumi config rm vaporforge:running")
    pulumi(running[0])
    pulumi(again[0])
    assert added() == ["encryptionsalt"]
    pulumi(told("pulumi config set --secret vaporforge:modelApiKey")[0], "a key")
    assert added() == ["vaporforge", "secure", "encryptionsalt"]
    [removal] = [command for command in told("pulumi stack rm") if command != "pulumi stack rm"]
    pulumi(removal)
    assert added() == ["vaporforge", "secure", "encryptionsalt"]
