"""`python -m gateway --dev`: all starts by one command, is there again the next day, and is gone when it ends."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from gateway.config import ConfigError
from gateway.dev import dev_settings, dynamodb, state_folder
from tests.gateway.development import START_SECONDS, development, of_this
from tests.gateway.stack import SECRET


@pytest.mark.slow
@pytest.mark.timeout(3 * START_SECONDS)
async def test_one_command_and_again_the_next_day(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as client:
        async with development(tmp_path) as first:
            async with client.post(
                f"{first.url}/api/sessions", json={"title": "kept"}, headers=first.headers
            ) as response:
                assert response.status == 201
            assert of_this(tmp_path)
        assert of_this(tmp_path) == []
        async with (
            development(tmp_path) as second,
            client.get(f"{second.url}/api/sessions", headers=first.headers) as response,
        ):
            # Yesterday's token and yesterday's session.
            assert [session["title"] for session in (await response.json())["sessions"]] == ["kept"]
    assert of_this(tmp_path) == []


def test_its_secrets_are_made_once_and_for_this_user_alone(tmp_path: Path) -> None:
    state = state_folder({"XDG_STATE_HOME": str(tmp_path)})
    assert state.stat().st_mode & 0o777 == 0o700
    first = dev_settings({}, state, port=8080, agent="demo")
    again = dev_settings({}, state, port=8080, agent="demo")
    assert (state / "secrets.json").stat().st_mode & 0o777 == 0o600
    secrets = [first.jwt_secret, first.sandbox_secret, first.credential_key]
    assert secrets == [again.jwt_secret, again.sandbox_secret, again.credential_key]
    assert len(set(secrets)) == 3
    assert first.host == "127.0.0.1"


def test_the_state_s_place(tmp_path: Path) -> None:
    home = str(tmp_path)
    assert state_folder({"VF_STATE": f"{home}/a", "HOME": home}) == tmp_path / "a" / "dev"
    assert state_folder({"XDG_STATE_HOME": f"{home}/b"}) == tmp_path / "b" / "vaporforge" / "dev"
    assert state_folder({"HOME": home}) == tmp_path / ".local" / "state" / "vaporforge" / "dev"


def test_variables_win_but_arguments_more(tmp_path: Path) -> None:
    environ = {
        "VF_JWT_SECRET": SECRET,
        "VF_AGENT": "claude",
        "VF_PORT": "1",
        "VF_MODEL_API_KEY": "k",
        "PATH": "x",
    }
    settings = dev_settings(environ, tmp_path, port=9000, agent="demo")
    assert (settings.jwt_secret, settings.model_api_key) == (SECRET, "k")
    assert (settings.agent, settings.port, settings.driver) == ("demo", 9000, "process")
    with pytest.raises(ConfigError, match="VF_JWT_SECRET has 5 bytes"):
        dev_settings({"VF_JWT_SECRET": "short"}, tmp_path, port=9000, agent="demo")


async def test_a_database_that_cannot_start_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"DynamoDB Local ended with status 1; its log is "):
        async with dynamodb("http://127.0.0.1:0", tmp_path):
            pass
    assert "--port must be 1 to 65535" in (tmp_path / "dynamodb.log").read_text()
