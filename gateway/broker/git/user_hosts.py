"""`git` of `/api/settings`: which git hosts a user's sandboxes reach, with which token, at which repositories. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.broker.git.grants import Grant
from gateway.broker.git.hosts import REPOSITORY, GitHost
from gateway.errors import BadRequest
from gateway.fields import text

MAX_HOSTS: Final = 32
MAX_REPOSITORIES: Final = 64
MAX_TOKEN_CHARS: Final = 4096
MAX_USER_CHARS: Final = 256


def shown(grants: Mapping[str, Grant], known: Mapping[str, GitHost], *, mask: str) -> dict[str, Any]:
    """`{hosts: {name: {token?, user?, repositories?}}, known}`: tokens masked, and the names of the stack's hosts."""
    return {
        "hosts": {
            name: {
                **({"token": mask} if grant.token else {}),
                **({"user": grant.user} if grant.user else {}),
                **({"repositories": list(grant.repositories)} if grant.repositories else {}),
            }
            for name, grant in grants.items()
        },
        "known": sorted(known),
    }


def read(
    value: Any, kept: Mapping[str, Grant], known: Mapping[str, GitHost], *, mask: str
) -> dict[str, Grant]:
    """All of a user's hosts, from `{hosts: {name: {token?, user?, repositories?}}}`; `kept`: those of before, for what
    is masked, and hosts that the stack knows no longer stay. Raises `BadRequest` naming the field."""
    hosts = value.get("hosts") if isinstance(value, dict) else None
    if not isinstance(hosts, dict):
        raise BadRequest(
            "git must be an object {hosts: {host: {token, user, repositories}}}", field="git.hosts"
        )
    if len(hosts) > MAX_HOSTS:
        raise BadRequest(
            f"git.hosts has {len(hosts)} hosts; it may have at most {MAX_HOSTS}", field="git.hosts"
        )
    return {name.lower(): _grant(name.lower(), host, kept, known, mask) for name, host in hosts.items()}


def _grant(
    name: str, given: Any, kept: Mapping[str, Grant], known: Mapping[str, GitHost], mask: str
) -> Grant:
    where = f"git.hosts.{name[:64]}"
    if name not in known and name not in kept:
        there = ", ".join(sorted(known)) or "none"
        raise BadRequest(
            f"{name[:64]} is not among the git hosts of this deployment ({there}); whoever runs it may add it to "
            "gitHosts",
            field=where,
        )
    if not isinstance(given, dict):
        raise BadRequest(f"{where} must be an object {{token, user, repositories}}", field=where)
    for unknown in sorted(given.keys() - {"token", "user", "repositories"}):
        raise BadRequest(f"{where}.{unknown[:64]} is nothing that a git host has here", field=where)
    token = _word(given, where, "token", MAX_TOKEN_CHARS)
    if token == mask:
        if not (name in kept and kept[name].token):
            raise BadRequest(f"{where}.token is masked, and none is kept: send it", field=f"{where}.token")
        token = kept[name].token
    user = _word(given, where, "user", MAX_USER_CHARS)
    if ":" in user:
        raise BadRequest(f"{where}.user may have no colon", field=f"{where}.user")
    return Grant(token, user, _repositories(given.get("repositories", []), f"{where}.repositories"))


def _word(given: dict[str, Any], where: str, name: str, limit: int) -> str:
    field = f"{where}.{name}"
    value = (text({field: given.get(name, "")}, field, limit=limit) or "").strip()
    masked = set(value) == {"\u2022"}
    if not masked and (not (value.isascii() and value.isprintable()) or " " in value):
        raise BadRequest(f"{field} must be printable ASCII without spaces", field=field)
    return value


def _repositories(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_REPOSITORIES:
        raise BadRequest(f"{where} must be a list of at most {MAX_REPOSITORIES} paths", field=where)
    for one in value:
        if not isinstance(one, str) or not REPOSITORY.fullmatch(one.removesuffix("/*")):
            raise BadRequest(
                f"{where} must be paths such as acme/site, or acme for all that is below it", field=where
            )
    return tuple(value)
