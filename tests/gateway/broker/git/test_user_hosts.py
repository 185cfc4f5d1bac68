"""What users may say of git hosts, and what is shown of it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.broker.credentials import GIT, encrypt
from gateway.broker.git.grants import Grant, encrypt_grants, grants_of
from gateway.broker.git.hosts import BadGitHost, GitHost, allows, git_hosts
from gateway.broker.git.user_hosts import MAX_HOSTS, read, shown
from gateway.errors import BadRequest
from gateway.store.keyring import CredentialKeys

MASK = "\u2022" * 6
KNOWN = git_hosts(["github.com", "http://git.example.com:3000/team"])
KEYS = CredentialKeys.of("k" * 40)


def test_what_is_shown_is_taken_back_and_keeps_the_token() -> None:
    kept = {"github.com": Grant("ghp_one", "me", ("acme", "me/site")), "gone.example": Grant("two")}
    told = shown(kept, KNOWN, mask=MASK)
    assert told == {
        "hosts": {
            "github.com": {"token": MASK, "user": "me", "repositories": ["acme", "me/site"]},
            "gone.example": {"token": MASK},
        },
        "known": ["git.example.com:3000", "github.com"],
    }
    assert read({"hosts": told["hosts"]}, kept, KNOWN, mask=MASK) == kept
    assert read({"hosts": {"GitHub.com": {}}}, kept, KNOWN, mask=MASK) == {"github.com": Grant()}
    assert read({"hosts": {}}, kept, KNOWN, mask=MASK) == {}


@pytest.mark.parametrize(
    ("value", "field", "said"),
    [
        (None, "git.hosts", "must be an object"),
        ({"hosts": []}, "git.hosts", "must be an object"),
        ({"hosts": {f"h{n}.example": {} for n in range(MAX_HOSTS + 1)}}, "git.hosts", "at most"),
        ({"hosts": {"evil.example": {}}}, "git.hosts.evil.example", "git.example.com:3000, github.com"),
        ({"hosts": {"github.com": 7}}, "git.hosts.github.com", "must be an object"),
        ({"hosts": {"github.com": {"key": "x"}}}, "git.hosts.github.com", "nothing that a git host has"),
        ({"hosts": {"github.com": {"token": 7}}}, "git.hosts.github.com.token", ""),
        ({"hosts": {"github.com": {"token": "a b"}}}, "git.hosts.github.com.token", "without spaces"),
        ({"hosts": {"github.com": {"token": "a\nb"}}}, "git.hosts.github.com.token", "printable ASCII"),
        ({"hosts": {"github.com": {"token": MASK}}}, "git.hosts.github.com.token", "none is kept"),
        ({"hosts": {"github.com": {"user": "a:b"}}}, "git.hosts.github.com.user", "no colon"),
        ({"hosts": {"github.com": {"repositories": "acme"}}}, "git.hosts.github.com.repositories", "list"),
        ({"hosts": {"github.com": {"repositories": ["../x"]}}}, "git.hosts.github.com.repositories", "paths"),
        (
            {"hosts": {"github.com": {"repositories": ["a"] * 65}}},
            "git.hosts.github.com.repositories",
            "most",
        ),
    ],
)
def test_what_is_none_is_named(value: Any, field: str, said: str) -> None:
    with pytest.raises(BadRequest) as error:
        read(value, {}, KNOWN, mask=MASK)
    assert error.value.field == field
    assert said in error.value.message


@pytest.mark.parametrize(
    ("prefixes", "repository", "has"),
    [
        ((), "acme/site", True),
        (("acme",), "acme/site", True),
        (("acme/*",), "acme/site.git", True),
        (("acme/site",), "acme/site.git", True),
        (("acme/site.git",), "acme/site", True),
        (("acme",), "acmeevil/site", False),
        (("acme/site",), "acme/site2", False),
        (("acme",), "other/acme", False),
    ],
)
def test_repositories_are_below_what_is_named(prefixes: tuple[str, ...], repository: str, has: bool) -> None:
    assert allows(prefixes, repository) is has


def test_a_stacks_hosts() -> None:
    assert git_hosts(["GitHub.com", "https://git.example.com:8443/Team/", "git.example.com:8443/other"]) == {
        "github.com": GitHost("github.com", "https://github.com"),
        "git.example.com:8443": GitHost(
            "git.example.com:8443", "https://git.example.com:8443", ("Team", "other")
        ),
    }
    assert git_hosts(["github.com/acme", "github.com"])["github.com"].below == ()


@pytest.mark.parametrize(
    "entry", ["", "ssh://github.com", "git@github.com", "a b", "github.com/../x", "-x", "http://"]
)
def test_what_is_no_host_is_named(entry: str) -> None:
    with pytest.raises(BadGitHost, match="must be a host such as"):
        git_hosts([entry])


def test_with_tls_and_without_is_one_too_many() -> None:
    with pytest.raises(BadGitHost, match="with TLS and without"):
        git_hosts(["github.com", "http://github.com"])


def test_kept_encrypted_for_one_user_and_purpose() -> None:
    grants = {"github.com": Grant("ghp_secret", repositories=("acme",))}
    stored = encrypt_grants(KEYS, "ada", grants)
    assert "ghp_secret" not in stored
    assert grants_of(KEYS, "ada", {"git": stored}) == grants
    assert grants_of(KEYS, "eve", {"git": stored}) == {}
    assert grants_of(KEYS, "ada", {"git": encrypt(KEYS, "ada", "{}", purpose="credential")}) == {}
    assert grants_of(KEYS, "ada", {"git": {"github.com": {}}}) == {}
    assert encrypt(KEYS, "ada", "{}", purpose=GIT) != encrypt(KEYS, "ada", "{}", purpose=GIT)
