"""What a machine keeps of a stack, and what Pulumi is given of it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from infra.cli import state as state_module
from infra.cli.errors import CliError
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


def test_a_folder_that_is_named_from_here_is_one_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"VF_STATE": "mine", "PULUMI_HOME": str(tmp_path / "none")}
    added = State.of_machine(environ).environment(environ)
    assert added["PULUMI_BACKEND_URL"] == (tmp_path / "mine" / "deploy" / "backend").as_uri()


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


def test_what_a_command_says_is_over_all_that_is_configured(state: State) -> None:
    state.write_own("dev", {"running": "false"})
    path = state.write_merged("dev", {"running": "false"}, {"running": "true"})
    assert read_yaml(path)["config"]["vaporforge:running"] == "true"


def test_what_is_only_planned_is_in_a_file_of_its_own_and_not_remembered(state: State) -> None:
    state.write_own("dev", {"port": "9000", "agent": "claude"})
    kept = read_yaml(state.own_file("dev"))
    deployed = state.write_merged("dev", {})
    before = deployed.read_text()
    path = state.write_merged("dev", {}, {"running": "true"}, {"port": "9001", "agent": None})
    config = read_yaml(path)["config"]
    assert (config["vaporforge:port"], config["vaporforge:agent"]) == (
        "9001",
        "demo",
    )  # demo: the repository's
    assert config["vaporforge:running"] == "true"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path != deployed
    assert deployed.read_text() == before
    assert read_yaml(state.own_file("dev")) == kept


def test_configuration_of_others_is_passed_on_as_it_is(state: State) -> None:
    state.own_file("other").write_text("config: {'docker:host': 'tcp://a:1', 'vaporforge:port': '9'}\n")
    assert read_yaml(state.write_merged("other", {}))["config"] == {
        "docker:host": "tcp://a:1",
        "vaporforge:port": "9",
    }
    assert state.configured("other") == {"port": "9"}


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The repository's file of the stack `other`, which is not there yet."""
    path = tmp_path / "Pulumi.other.yaml"
    monkeypatch.setattr(state_module, "repository_file", lambda _: path)
    return path


SECRET = "config: {'vaporforge:modelApiKey': {secure: 'v1:x:y'}}\n"


def test_secrets_with_two_salts_are_refused_with_both_files_and_what_to_do(
    state: State, repository: Path
) -> None:
    repository.write_text("encryptionsalt: v1:abc\n" + SECRET)
    state.own_file("other").write_text("encryptionsalt: v1:def\n" + SECRET)
    with pytest.raises(CliError) as refused:
        state.write_merged("other", {})
    for part in (
        str(repository),
        str(state.own_file("other")),
        "pulumi config set --secret",
        "scripts/up --secret",
    ):
        assert part in str(refused.value)


def test_a_first_secret_beside_those_of_the_repository_is_refused_before_it_is_stored(
    state: State, repository: Path
) -> None:
    repository.write_text("encryptionsalt: v1:abc\n" + SECRET)
    state.own_file("other").write_text("encryptionsalt: v1:def\n")
    state.check_one_salt("other")
    with pytest.raises(CliError, match="another salt"):
        state.check_one_salt("other", more_secrets=True)


@pytest.mark.parametrize(
    ("theirs", "ours", "salt"),
    [
        ("encryptionsalt: v1:abc\n" + SECRET, "encryptionsalt: v1:def\n", "v1:abc"),
        ("encryptionsalt: v1:abc\n", "encryptionsalt: v1:def\n" + SECRET, "v1:def"),
        ("encryptionsalt: v1:abc\n" + SECRET, "encryptionsalt: v1:abc\n" + SECRET, "v1:abc"),
        ("config: {}\n", "encryptionsalt: v1:def\n", "v1:def"),
    ],
)
def test_the_salt_is_that_of_the_file_with_secrets(
    state: State, repository: Path, theirs: str, ours: str, salt: str
) -> None:
    repository.write_text(theirs)
    state.own_file("other").write_text(ours)
    assert read_yaml(state.write_merged("other", {}))["encryptionsalt"] == salt


def test_the_project_is_the_repository_s_with_stacks_files_elsewhere(state: State) -> None:
    ours = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    theirs = read_yaml(state.project_folder / "Pulumi.yaml")
    assert theirs["main"] == str(ROOT / "infra/__main__.py")
    assert "stackConfigDir" not in theirs
    # `pulumi` itself, in that folder, runs the program with the clone's packages.
    assert theirs["runtime"] == {"name": "python", "options": {"virtualenv": str(ROOT / ".venv")}}
    assert (theirs["name"], theirs["config"]) == (ours["name"], ours["config"])


def test_defaults_of_the_machine(tmp_path: Path) -> None:
    assert machine_defaults({}, tmp_path) == {}
    (tmp_path / "base-image").write_text("base:1\n")
    found = machine_defaults({"VF_CA_BUNDLE": "/etc/ca.pem"}, tmp_path)
    assert found == {"baseImage": "base:1", "caBundle": "/etc/ca.pem"}
    # An engine elsewhere has no image that was made here.
    assert machine_defaults({}, tmp_path, elsewhere=True) == {}
