"""What a machine keeps of a stack, and what Pulumi is given of it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from infra.cli.state import State, machine_defaults, read_yaml
from infra.config import ROOT


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State.of_machine({"VF_STATE": str(tmp_path), "PULUMI_HOME": str(tmp_path / "none")})


def test_without_a_login_there_is_a_backend_and_a_passphrase_of_its_own(state: State) -> None:
    added = state.environment({"PULUMI_HOME": str(state.folder / "none")})
    assert added["PULUMI_BACKEND_URL"] == (state.folder / "backend").as_uri()
    passphrase = Path(added["PULUMI_CONFIG_PASSPHRASE_FILE"])
    assert stat.S_IMODE(passphrase.stat().st_mode) == 0o600
    assert len(passphrase.read_text()) >= 32
    assert stat.S_IMODE(state.folder.stat().st_mode) == 0o700


def test_the_passphrase_is_made_once(state: State) -> None:
    environ = {"PULUMI_HOME": str(state.folder / "none")}
    first = Path(state.environment(environ)["PULUMI_CONFIG_PASSPHRASE_FILE"]).read_text()
    assert Path(state.environment(environ)["PULUMI_CONFIG_PASSPHRASE_FILE"]).read_text() == first


@pytest.mark.parametrize(
    "environ",
    [
        {"PULUMI_BACKEND_URL": "s3://bucket", "PULUMI_CONFIG_PASSPHRASE": ""},
        {"PULUMI_ACCESS_TOKEN": "pul-not-real", "PULUMI_CONFIG_PASSPHRASE_FILE": "/some/file"},
    ],
)
def test_what_is_set_is_respected(state: State, environ: dict[str, str]) -> None:
    assert state.environment({**environ, "PULUMI_HOME": str(state.folder / "none")}) == {}


def test_a_login_is_respected(state: State, tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text('{"current": "https://api.pulumi.com"}')
    added = state.environment({"PULUMI_HOME": str(tmp_path), "PULUMI_CONFIG_PASSPHRASE": "x"})
    assert added == {}


def test_this_machine_s_word_is_the_last(state: State) -> None:
    state.write_own("dev", {"agent": "claude", "port": "9000"})
    path = state.write_merged("dev", {"logLevel": "WARNING", "baseImage": "mine:1"})
    config = read_yaml(path)["config"]
    assert config["vaporforge:agent"] == "claude"  # the repository says demo
    assert config["vaporforge:logLevel"] == "DEBUG"  # the repository's, over the machine's default
    assert config["vaporforge:baseImage"] == "mine:1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_option_is_kept_until_it_is_forgotten(state: State) -> None:
    state.write_own("dev", {"port": "9000"})
    state.write_own("dev", {"agent": "claude"})
    assert read_yaml(state.own_file("dev"))["config"] == {
        "vaporforge:port": "9000",
        "vaporforge:agent": "claude",
    }
    state.write_own("dev", {"port": None})
    assert read_yaml(state.own_file("dev"))["config"] == {"vaporforge:agent": "claude"}


def test_the_salt_goes_with_the_configuration(state: State) -> None:
    state.own_file("other").write_text("encryptionsalt: v1:abc\n")
    assert read_yaml(state.write_merged("other", {})) == {"encryptionsalt": "v1:abc", "config": {}}


def test_the_project_is_the_repository_s_with_stacks_files_elsewhere(state: State) -> None:
    ours = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    theirs = read_yaml(state.project_folder / "Pulumi.yaml")
    assert theirs["main"] == str(ROOT / "infra/__main__.py")
    assert "stackConfigDir" not in theirs
    assert (theirs["name"], theirs["config"]) == (ours["name"], ours["config"])


def test_defaults_of_the_machine(tmp_path: Path) -> None:
    assert machine_defaults({}, tmp_path) == {}
    (tmp_path / "base-image").write_text("base:1\n")
    found = machine_defaults({"VF_CA_BUNDLE": "/etc/ca.pem"}, tmp_path)
    assert found == {"baseImage": "base:1", "caBundle": "/etc/ca.pem"}
