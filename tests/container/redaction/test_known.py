"""Which values are known to be secrets."""

from __future__ import annotations

import pytest

from container.redaction.known import is_secret, secrets_of, secrets_of_servers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GITHUB_TOKEN", "abc12345"),
        ("API_KEY", "12345678"),
        ("ANTHROPIC_API_KEY", "sk-12345678"),
        ("DB_PASSWORD", "correct-horse"),
        ("Authorization", "abc12345xyz"),
        ("X-Api-Key", "abc12345xyz"),
        ("accessToken", "abc12345xyz"),
        ("ANYTHING", "q8Zk2mXw91LpR7tYv3Bn"),
        ("ANYTHING", "prefix_q8Zk2mXw91LpR7tYv3Bn"),
        ("CI_TOKEN", "9c07d06af6548518ceb6490465b19d40185b1521"),
        ("SENTRY_DSN", "https://9c07d06af65@sentry.example.com/1"),
        ("SIGNED_KEY", "https://host.example.com/x?signature=abc"),
        ("VF_SANDBOX_TOKEN", "abc12345"),
    ],
)
def test_a_secret(name: str, value: str) -> None:
    assert is_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NODE_ENV", "production"),
        ("API_KEY", "short"),
        ("API_KEY", "password"),
        ("PWD", "/workspace/project-1"),
        ("VF_SESSION", "01JDZK3V9QW2X8Y7T6R5P4N3M2"),
        ("GPG_KEY", "A035C8C19219BA821ECEA86B64E628F8D684696D"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("KEYBOARD_LAYOUT", "de-latin1"),
        ("VF_SESSION_TIMES", "12345678901234567890"),
        ("ANTHROPIC_BASE_URL", "http://gateway:8081/a/b/c/d1"),
        ("Accept", "application/json, text/event-stream"),
        ("DESCRIPTION", "a sentence with 3 numbers and 2 more words"),
        ("VF_MODEL", "claude-sonnet-4-5-20250929"),
        ("ANTHROPIC_MODEL", "claude-sonnet-4-5-20250929"),
        ("VF_START", "01JDZK3V9QW2X8Y7T6R5P4N3M2"),
        ("PYTHON_SHA256", "ed5b4ef9a4ba8ba8cb9ee8a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"),
        ("GIT_COMMIT", "9c07d06af6548518ceb6490465b19d40185b1521"),
        ("HOSTNAME", "ip-10-0-12-123.eu-central-1.compute.internal"),
        ("MACHINE", "12345678901234567890"),
        ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE_PLATFORM_1"),
        ("SSH_AUTH_SOCK", "/tmp/ssh-Xy12ab/agent.12"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/run/secrets/gcp-1.json"),
        ("TOKEN_URL", "https://login.example.com/oauth2/token"),
    ],
)
def test_no_secret(name: str, value: str) -> None:
    assert not is_secret(name, value)


def test_secrets_of_an_environment_are_called_by_their_names() -> None:
    named = {"HOME": "/home/agent", "MY_TOKEN": "abc12345", "ODD NAME\n_KEY": "abc123456", "N": 3}
    assert dict(secrets_of(named)) == {"abc12345": "MY_TOKEN", "abc123456": "ODD?NAME?_KEY"}


def test_of_an_address_the_password_is_a_secret() -> None:
    named = {
        "DATABASE_URL": "postgres://ada:corr3ct-horse@db:5432/app",
        "HTTPS_PROXY": "http://gateway:3128",
        "REDIS_URL": "redis://:q8Zk2mXw@cache",
    }
    assert dict(secrets_of(named)) == {"corr3ct-horse": "DATABASE_URL", "q8Zk2mXw": "REDIS_URL"}


def test_secrets_of_servers_are_those_of_env_and_headers_without_the_scheme() -> None:
    servers = {
        "git": {"command": "x", "args": ["--token"], "env": {"GIT_TOKEN": "abc12345", "MODE": "production"}},
        "web": {
            "url": "https://host",
            "headers": {"Authorization": "Bearer abcd-1234-efgh", "Accept": "text/plain1"},
        },
        "odd": {"env": ["x"], "headers": None},
        "none": "text",
    }
    assert dict(secrets_of_servers(servers)) == {"abc12345": "GIT_TOKEN", "abcd-1234-efgh": "Authorization"}
