"""From within a sandbox: with the agent's rights, and with those of an agent server that has been replaced."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tests.attack.attack import Attack, Field, Found
from tests.attack.inside.facts import Facts

SHOWN = 4
"""So many things that could be done are shown of each row; the others are counted."""

Order = Callable[[Facts], Mapping[str, Any]]


async def tried(field: Field, *, probe: str, server: bool, order: Order) -> Found:
    """A probe (`tests/attack/inside/probes.py`) in a sandbox of the attacker's, beside those of the good users."""
    async with field.session(warm=True) as session:
        facts = await field.scene.facts(session)
        could = await field.scene.inside(session, server, {"probe": probe, **order(facts)})
    if not could:
        return Found("nothing")
    said = "; ".join(could[:SHOWN]) + (f"; and {len(could) - SHOWN} more" if len(could) > SHOWN else "")
    return Found(said, [f"could be done: {said}"])


def _neighbours(facts: Facts) -> Mapping[str, Any]:
    return {"targets": [(name, host, port) for name, host in facts.neighbours for port in (8765, 3000, 22)]}


def _parts(facts: Facts) -> Mapping[str, Any]:
    return {"targets": facts.closed}


def _outside(_: Facts) -> Mapping[str, Any]:
    hosts = [
        ("the cloud's metadata", "169.254.169.254"),
        ("the internet", "1.1.1.1"),
        ("a company's host", "10.0.0.1"),
    ]
    return {"targets": [(name, host, port) for name, host in hosts for port in (80, 443)]}


def _machine(facts: Facts) -> Mapping[str, Any]:
    ports = (22, 2375, 2376, facts.published)
    return {"targets": [("this machine", host, port) for host in facts.machine for port in ports]}


def _names(facts: Facts) -> Mapping[str, Any]:
    return {"names": [*facts.names, "example.com"], "addresses": [host for _, host in facts.neighbours]}


def _pids(facts: Facts) -> Mapping[str, Any]:
    return {"pids": facts.server_pids}


def _secrets(facts: Facts) -> Mapping[str, Any]:
    return {"values": facts.secrets}


def _own_token(facts: Facts) -> Mapping[str, Any]:
    """Of an agent alone: its server must have it."""
    return {"values": {**facts.secrets, "the agent server's own token": facts.sandbox_token}}


def _broker(facts: Facts) -> Mapping[str, Any]:
    message: dict[str, Any] = {
        "model": "any",
        "max_tokens": 1,
        "messages": [{"role": "user", "content": "hi"}],
    }
    tools = [
        ("web search", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        ("web fetch", {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}),
        ("code execution", {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}),
        ("MCP servers", {"mcp_servers": [{"type": "url", "name": "x", "url": "https://example.com/mcp"}]}),
    ]
    refused = [400, 401, 403]
    requests = [
        (
            f"the API's own {name}",
            _raw("POST", "/v1/messages", facts.broker_token, {**message, **more}),
            refused,
        )
        for name, more in tools
    ]
    nobody = [401, 403]
    requests += [
        ("another sandbox's forged token", _raw("POST", "/v1/messages", facts.forged_token, message), nobody),
        ("no token", _raw("POST", "/v1/messages", "", message), nobody),
        *(
            (path, _raw("GET", path, facts.broker_token), [400, 401, 403, 404])
            for path in (
                "/v1/files",
                "/v1/organizations/api_keys",
                "/v1/messages/batches",
                "//v1/files",
                "/api/sessions",
            )
        ),
    ]
    return {"host": facts.broker[0], "port": facts.broker[1], "requests": requests}


def _raw(method: str, path: str, token: str, body: Mapping[str, Any] | None = None) -> str:
    content = json.dumps(body) if body is not None else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: broker\r\nConnection: close\r\nX-Api-Key: {token}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n{content}"


def _both(name: str, probe: str, order: Order, of_server: Order | None = None) -> list[Attack]:
    return [
        Attack("agent", name, "inside", partial(tried, probe=probe, server=False, order=order)),
        Attack(
            "replaced server",
            name,
            "inside",
            partial(tried, probe=probe, server=True, order=of_server or order),
        ),
    ]


ATTACKS = (
    *_both("other people's sandboxes", "reached", _neighbours),
    *_both("the stack's other parts and ports", "reached", _parts),
    *_both("this machine", "reached", _machine),
    *_both("the world and the cloud's metadata", "reached", _outside),
    *_both("names of others", "named", _names),
    *_both("the kernel's calls", "kernel", lambda _: {}),
    *_both("rights and places to write", "rights", lambda _: {}),
    *_both("other users' processes", "processes", _pids)[:1],
    *_both("secrets", "secrets", _own_token, _secrets),
    *_both("the broker", "asked", _broker),
)
