"""Git's settings in a sandbox."""

from __future__ import annotations

from container.git import git_environment


def test_hosts_are_asked_at_the_broker_however_they_are_written() -> None:
    told = {
        "ANTHROPIC_BASE_URL": "http://gateway:8081/",
        "ANTHROPIC_API_KEY": "key",
        "VF_GIT_HOSTS": "github.com, http://git.example.com:3000/team, GitHub.com/other",
    }
    env = git_environment(told)
    count = int(env["GIT_CONFIG_COUNT"])
    assert [(env[f"GIT_CONFIG_KEY_{n}"], env[f"GIT_CONFIG_VALUE_{n}"]) for n in range(count)] == [
        ("http.http://gateway:8081/git/.extraHeader", "Authorization: Bearer key"),
        ("url.http://gateway:8081/git/github.com/.insteadOf", "https://github.com/"),
        ("url.http://gateway:8081/git/github.com/.insteadOf", "ssh://git@github.com/"),
        ("url.http://gateway:8081/git/github.com/.insteadOf", "git@github.com:"),
        ("url.http://gateway:8081/git/git.example.com:3000/.insteadOf", "http://git.example.com:3000/"),
    ]
    assert env["GIT_TERMINAL_PROMPT"] == "0"


def test_without_hosts_or_broker_git_is_left_alone() -> None:
    assert git_environment({"ANTHROPIC_BASE_URL": "http://gateway:8081", "VF_GIT_HOSTS": " ,"}) == {}
    assert git_environment({"VF_GIT_HOSTS": "github.com"}) == {}
