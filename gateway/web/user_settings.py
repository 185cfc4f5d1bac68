"""`/api/settings`: a user's MCP servers and the agent's credential, kept encrypted; secrets are never given back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from container.protocol import RUN_ID
from gateway.broker.credentials import encrypt, encrypt_servers, keys_for, renewed, servers_of
from gateway.broker.git import user_hosts
from gateway.broker.git.grants import Grant, encrypt_grants, grants_of
from gateway.errors import BadRequest
from gateway.fields import text
from gateway.web.request import audited
from gateway.web.request.app_keys import AUTH, GIT_HOSTS, STORE
from gateway.web.request.bodies import json_response, read_json

MAX_BODY_BYTES: Final = 128 * 1024
MAX_SERVERS: Final = 32
MAX_SERVERS_BYTES: Final = 64 * 1024
"""The servers of one user together, as JSON; they travel with every query."""
MAX_CREDENTIAL_CHARS: Final = 4096
MAX_STRING_CHARS: Final = 8192
MAX_ITEMS: Final = 128

MASK: Final = "\u2022" * 6
"""Stands for a value that is kept and not shown; sent back, it keeps that value."""

_SECRET: Final = ("env", "headers")
"""Keys of an MCP server whose values may be tokens."""

_SHAPES: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "stdio": (frozenset({"command"}), frozenset({"args", "env"})),
    "http": (frozenset({"url"}), frozenset({"headers"})),
    "sse": (frozenset({"url"}), frozenset({"headers"})),
    "relay": (frozenset(), frozenset()),
}
"""Type of an MCP server → (keys that it must have, keys that it may have besides)."""


async def read(request: web.Request) -> web.Response:
    """`GET /api/settings` → `{mcpServers, credential: {set}, git?: {hosts, known}}`, the values of env, headers and
    tokens masked; without `git` where the stack has no git hosts."""
    user = await request.app[AUTH].user(request)
    store = request.app[STORE]
    kept = await store.get_settings(user)
    keys = await keys_for(store, kept)
    return json_response(
        _public(kept, servers_of(keys, user, kept), _git(request, grants_of(keys, user, kept)))
    )


async def write(request: web.Request) -> web.Response:
    """`PUT /api/settings` `{mcpServers?, credential?, git?}`: what is absent stays; a credential of null is
    forgotten."""
    user = await request.app[AUTH].user(request)
    body = await read_json(request, MAX_BODY_BYTES)
    store = request.app[STORE]
    kept = await store.get_settings(user)
    keys = await keys_for(store, kept)
    servers, grants = servers_of(keys, user, kept), grants_of(keys, user, kept)
    changes: dict[str, Any] = {}
    if "mcpServers" in body:
        servers = unmask(check_servers(body["mcpServers"]), servers)
        changes["mcpServers"] = encrypt_servers(keys, user, servers)
    if "credential" in body:
        credential = _credential(body)
        changes["credential"] = credential and encrypt(keys, user, credential)
    if "git" in body:
        grants = user_hosts.read(body["git"], grants, request.app[GIT_HOSTS], mask=MASK)
        changes["git"] = encrypt_grants(keys, user, grants) if grants else None
    if changes:
        kept = {
            name: value
            for name, value in {**renewed(keys, user, kept), **changes}.items()
            if value is not None
        }
        await store.put_settings(user, kept)
        if "mcpServers" in changes:
            audited.record(request, "settings-change", servers=len(servers))
        if "git" in changes:
            audited.record(request, "settings-change", gitHosts=len(grants))
        if "credential" in changes:
            audited.record(request, "credential-set" if changes["credential"] else "credential-clear")
    return json_response(_public(kept, servers, _git(request, grants)))


def mask(servers: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The servers with `MASK` for each value of env and headers."""
    return {
        name: {
            part: dict.fromkeys(value, MASK) if part in _SECRET else value for part, value in config.items()
        }
        for name, config in servers.items()
    }


def unmask(servers: dict[str, dict[str, Any]], kept: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Checked servers with the kept value (same server, same key) for each `MASK`.

    Raises `BadRequest` naming a mask that stands for nothing, or when the whole is too large now.
    """

    def value_of(name: str, part: str, key: str, value: str) -> str:
        if value != MASK:
            return value
        try:
            found: str = kept[name][part][key]
        except KeyError:
            where = f"mcpServers.{name}.{part}.{key[:64]}"
            raise BadRequest(f"{where} is masked, and no value of it is kept: send it", field=where) from None
        return found

    return check_servers(
        {
            name: {
                part: {key: value_of(name, part, key, item) for key, item in value.items()}
                if part in _SECRET
                else value
                for part, value in config.items()
            }
            for name, config in servers.items()
        }
    )


def check_servers(value: Any) -> dict[str, dict[str, Any]]:
    """`value` when it is `{name: config}` of known shapes and bounded sizes. Raises `BadRequest` naming the part."""
    if not isinstance(value, dict):
        raise BadRequest("mcpServers must be an object {name: config}", field="mcpServers")
    if len(value) > MAX_SERVERS:
        raise BadRequest(
            f"mcpServers has {len(value)} servers; it may have at most {MAX_SERVERS}", field="mcpServers"
        )
    for name, config in value.items():
        if not RUN_ID.fullmatch(name):
            raise BadRequest(
                "An MCP server's name must be 1 to 64 letters, digits, - or _", field="mcpServers"
            )
        _check_server(f"mcpServers.{name}", config)
    if len(orjson.dumps(value)) > MAX_SERVERS_BYTES:
        raise BadRequest(f"mcpServers may have at most {MAX_SERVERS_BYTES} bytes as JSON", field="mcpServers")
    return value


def _check_server(where: str, config: Any) -> None:
    if not isinstance(config, dict):
        raise BadRequest(f"{where} must be an object", field=where)
    kind = config.get("type", "stdio" if "command" in config else "")
    if not isinstance(kind, str) or kind not in _SHAPES:
        raise BadRequest(f"{where}.type must be one of {', '.join(_SHAPES)}", field=f"{where}.type")
    must, may = _SHAPES[kind]
    for name in sorted(must - config.keys()):
        raise BadRequest(f"{where} has no {name}, which a {kind} server needs", field=f"{where}.{name}")
    for name in sorted(config.keys() - must - may - {"type"}):
        raise BadRequest(f"{where}.{name[:64]} is nothing that a {kind} server knows", field=where)
    for name in must:
        text({f"{where}.{name}": config[name]}, f"{where}.{name}", limit=MAX_STRING_CHARS, required=True)
    if "url" in config and not _is_web(config["url"]):
        raise BadRequest(f"{where}.url must be an http:// or https:// address", field=f"{where}.url")
    if "args" in config and not _is_strings(config["args"]):
        raise BadRequest(f"{where}.args must be a list of at most {MAX_ITEMS} strings", field=f"{where}.args")
    for name in _SECRET:
        items = config.get(name, {})
        if not isinstance(items, dict) or not _is_strings(list(items.values())):
            raise BadRequest(
                f"{where}.{name} must be an object of at most {MAX_ITEMS} strings", field=f"{where}.{name}"
            )


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _is_strings(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MAX_ITEMS
        and all(isinstance(item, str) and len(item) <= MAX_STRING_CHARS for item in value)
    )


def _credential(body: dict[str, Any]) -> str | None:
    if body["credential"] is None:
        return None
    value = text(body, "credential", limit=MAX_CREDENTIAL_CHARS, required=True).strip()
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise BadRequest(
            "credential must be printable ASCII without spaces: an API key or a token", field="credential"
        )
    return value


def _git(request: web.Request, grants: Mapping[str, Grant]) -> dict[str, Any]:
    return user_hosts.shown(grants, request.app[GIT_HOSTS], mask=MASK)


def _public(kept: dict[str, Any], servers: dict[str, Any], git: dict[str, Any]) -> dict[str, Any]:
    told = {"mcpServers": mask(servers), "credential": {"set": bool(kept.get("credential"))}}
    return {**told, "git": git} if git["known"] or git["hosts"] else told
