"""Settings: read once, every mistake named; the agent's environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from container.settings import CODE_ROOT, Settings, SettingsError, agent_environment
from tests.container.conftest import settings_in


def test_the_defaults(tmp_path: Path) -> None:
    given = {
        "VF_SANDBOX_TOKEN": "t",
        "VF_SESSION": "s",
        "VF_WORKSPACE": str(tmp_path),
        "VF_HOME": str(tmp_path),
    }
    settings = Settings.from_env(given)
    assert (settings.host, settings.port, settings.port_file) == ("0.0.0.0", 8765, None)
    assert settings.agent.argv[1:] == ("-m", "container.agents.demo")
    assert settings.agent.cwd == CODE_ROOT
    assert settings.seed_pending == Path("/tmp/vf-pending-query.json")
    assert settings.runs_dir == tmp_path / ".vaporforge" / "runs"


def test_frame_logs_are_in_the_servers_own_folder_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    given = settings_in(tmp_path, VF_SERVER_STATE=str(tmp_path / "state"))
    assert given.runs_dir == tmp_path / "state" / "runs"
    nobodys = settings_in(tmp_path, VF_SERVER_STATE=str(tmp_path / "none"))
    assert nobodys.runs_dir == nobodys.old_runs_dir == tmp_path / "home" / ".vaporforge" / "runs"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VF_SANDBOX_TOKEN", ""),
        ("VF_SESSION", "a/b"),
        ("VF_PORT", "65536"),
        ("VF_PORT", "-1"),
        ("VF_WORKSPACE", "/no/such/place"),
        ("VF_HOME", "/no/such/place"),
        ("VF_AGENT", "'unclosed"),
        ("VF_AGENT", " "),
        ("VF_DEMO_DELAY_MS", "abc"),
        ("VF_DEMO_DELAY_MS", "-1"),
        ("VF_DEMO_DELAY_MS", "inf"),
        ("VF_DEMO_DELAY_MS", "nan"),
    ],
)
def test_a_bad_one_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        settings_in(tmp_path, **{"agent": "demo", name: value} if name != "VF_AGENT" else {"agent": value})


def test_a_command_line_is_an_agent(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, "my-agent --flag 'a b'")
    assert settings.agent.argv == ("my-agent", "--flag", "a b")
    assert settings.agent.cwd == tmp_path / "workspace"
    assert not settings.agent.kept


def test_a_querys_env_is_merged_over_the_processes(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    env = agent_environment(
        settings, {"PATH": "/bin", "HOME": "/root", "A": "1", "VF_SANDBOX_TOKEN": "t"}, {"A": "2", "B": "3"}
    )
    assert env == {
        "PATH": "/bin",
        "HOME": str(tmp_path / "home"),
        "VF_WORKSPACE": str(tmp_path / "workspace"),
        "A": "2",
        "B": "3",
    }
