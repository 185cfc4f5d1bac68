"""What is let through to the model's API, and what is refused by which name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from multidict import CIMultiDict

from gateway import errors
from gateway.broker import api_names
from gateway.broker.request_policy import MOST_PARTS, RequestPolicy

SHUT = RequestPolicy()
OPEN = RequestPolicy(network=True)

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


def asked(**fields: Any) -> bytes:
    """A request's body with these fields."""
    return orjson.dumps({"model": "m", "max_tokens": 9, "messages": [], **fields})


def said(*content: Any, role: str = "user") -> bytes:
    """A request whose one message has this content."""
    return asked(messages=[{"role": role, "content": list(content)}])


def nested(block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}, block]}


def image(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": source}


def addition(tool: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": tool}}


WEB_SEARCH = {"type": "web_search_20250305", "name": "web_search"}

REACHING = {
    "mcp_servers": asked(mcp_servers=[{"type": "url", "url": "https://evil.example", "name": "x"}]),
    "its name escaped": b'{"messages":[],"\\u006dcp_servers":[]}',
    "container": asked(container={"skills": []}),
    "web_search": asked(tools=[WEB_SEARCH]),
    "web_search of another day": asked(tools=[{"type": "web_search_20991231", "name": "s"}]),
    "web_fetch": asked(tools=[{"name": "a"}, {"type": "web_fetch_20250910", "name": "web_fetch"}]),
    "code_execution": asked(tools=[{"type": "code_execution_20250825", "name": "code_execution"}]),
    "mcp_toolset": asked(tools=[{"type": "mcp_toolset", "mcp_server_name": "x"}]),
    "a tool of a message": said(addition(WEB_SEARCH), role="system"),
    "a tool of a fallback": asked(fallbacks=[{"model": "n", "tools": [WEB_SEARCH]}]),
    "a field of a fallback": asked(fallbacks=[{"model": "n", "mcp_servers": []}]),
    "an image's address": said(image(type="url", url="https://evil.example/?q=secret")),
    "a document's address": said({"type": "document", "source": {"type": "url", "url": "https://e.example"}}),
    "a file": said({"type": "document", "source": {"type": "file", "file_id": "file_1"}}),
    "a file in a container": said({"type": "container_upload", "file_id": "file_1"}),
    "an address in a tool's result": said(nested(image(type="url", url="https://evil.example"))),
    "an address in a document": said(
        {
            "type": "document",
            "source": {"type": "content", "content": [image(type="url", url="https://e.example")]},
        }
    ),
    "an address in the system prompt": asked(system=[image(type="url", url="https://evil.example")]),
}


@pytest.mark.parametrize("body", REACHING.values(), ids=REACHING)
def test_what_reaches_the_network_is_let_through_only_where_the_stack_does(body: bytes) -> None:
    with pytest.raises(errors.Forbidden, match="egress set to all") as refused:
        SHUT.body(body)
    assert refused.value.field
    assert orjson.loads(OPEN.body(body)) == orjson.loads(body)


UNKNOWN = {
    "a field": (asked(tunnel=1), "field 'tunnel'", "modelApiAllowFields"),
    "a field in other letters": (asked(MCP_Servers=[]), "field 'MCP_Servers'", "modelApiAllowFields"),
    "a thread kept by the API": (asked(thread={"id": "t"}), "field 'thread'", "modelApiAllowFields"),
    "a tool": (asked(tools=[{"type": "shell_20300101"}]), "tool 'shell_20300101'", "modelApiAllowTools"),
    "a tool without a word": (asked(tools=[{"type": 7}]), "tool 'int'", "modelApiAllowTools"),
    "a block": (said({"type": "hologram"}), "content 'hologram'", "modelApiAllowContent"),
    "a source": (said(image(type="s3", uri="s3://b/k")), "content 's3'", "modelApiAllowContent"),
    "a type that is a list": (said({"type": ["text"]}), "content 'list'", "modelApiAllowContent"),
}


@pytest.mark.parametrize(("body", "what", "setting"), UNKNOWN.values(), ids=UNKNOWN)
@pytest.mark.parametrize("policy", [SHUT, OPEN], ids=["shut", "open"])
def test_what_nobody_knows_is_refused_by_name_whatever_the_network(
    policy: RequestPolicy, body: bytes, what: str, setting: str
) -> None:
    with pytest.raises(errors.Forbidden) as refused:
        policy.body(body)
    assert what in refused.value.message
    assert setting in refused.value.message


def test_a_source_says_of_what_type_it_is() -> None:
    with pytest.raises(errors.Forbidden, match="source"):
        SHUT.body(said({"type": "image", "source": {"url": "https://evil.example"}}))


FINE = {
    "text": asked(system="be kind", messages=[{"role": "user", "content": "hello"}], stream=True),
    "tools of the client": asked(
        tools=[
            {"name": "Read", "input_schema": {"type": "object", "properties": {"url": {"type": "url"}}}},
            {"type": "custom", "name": "Write"},
            {"type": None, "name": "Edit"},
            {"type": "bash_20250124", "name": "bash"},
            {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
            {"type": "computer_20250124", "name": "computer"},
            {"type": "memory_20250818", "name": "memory"},
            {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
        ]
    ),
    "content as it is": said(
        IMAGE, nested(IMAGE), {"type": "document", "source": {"type": "text", "data": "x"}}
    ),
    "what the model asked a tool": said(
        {"type": "tool_use", "id": "t", "name": "fetch", "input": {"type": "url", "source": {"url": "x"}}},
        role="assistant",
    ),
    "what a search of before found": said(
        {
            "type": "web_search_tool_result",
            "content": [{"type": "web_search_result", "url": "https://a.example"}],
        }
    ),
    "a tool of the client in a message": said(addition({"name": "Late"}), role="system"),
    "other models": asked(fallbacks=[{"model": "n", "max_tokens": 3}]),
    "other models by default": asked(fallbacks="default"),
}


@pytest.mark.parametrize("body", FINE.values(), ids=FINE)
def test_what_stays_between_sandbox_and_model_goes_on_as_it_is(body: bytes) -> None:
    assert SHUT.body(body) == body


def test_settings_let_more_through_one_by_one() -> None:
    policy = replace(
        SHUT,
        fields=frozenset({"tunnel"}),
        tools=frozenset({"web_search"}),
        content=frozenset({"url"}),
        betas=frozenset({"new-thing-2030-01-01"}),
        headers=frozenset({"x-of-ours"}),
    )
    for body in (
        asked(tunnel=1),
        asked(tools=[WEB_SEARCH]),
        said(image(type="url", url="https://a.example")),
    ):
        assert policy.body(body) == body
    with pytest.raises(errors.Forbidden):
        policy.body(asked(tools=[{"type": "web_fetch_20250910"}]))
    headers = policy.forwarded(CIMultiDict({"X-Of-Ours": "1", "anthropic-beta": "new-thing-2030-01-01"}))
    assert headers["X-Of-Ours"] == "1"
    with pytest.raises(errors.Forbidden):
        policy.forwarded(CIMultiDict({"anthropic-beta": "new-thing-2031-01-01"}))


def test_of_a_key_twice_only_what_was_judged_goes_on() -> None:
    body = SHUT.body(b'{"tools":[{"type":"web_search_20250305"}],"messages":[],"tools":[]}')
    assert body == b'{"tools":[],"messages":[]}'
    with pytest.raises(errors.Forbidden):
        SHUT.body(b'{"tools":[],"messages":[],"tools":[{"type":"web_search_20250305"}]}')
    twice = (
        b'{"messages":[{"content":[{"type":"image","source":{"type":"url","type":"base64","data":"x"}}]}]}'
    )
    assert b"url" not in SHUT.body(twice)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no JSON"),
        (b"[]", "object"),
        (b"{'a':1}", "no JSON"),
        (b'{"a":NaN}', "no JSON"),
        (b'\xff\xfe{\x00"\x00', "no JSON"),
        (b'{"messages":' + b"[" * 100_000, "no JSON"),
        (b'{"messages":' + b"[" * 1000 + b"]" * 1000 + b"}", "too deeply"),
        (b'{"messages":' + b'{"a":' * 500 + b"1" + b"}" * 501, "too deeply"),
        (b'{"messages":[],"tools":{"type":"web_search_20250305"}}', "`tools`"),
        (b'{"messages":[],"tools":["web_search"]}', "`tools`"),
        (b'{"fallbacks":[{"fallbacks":[{"mcp_servers":[]}]}]}', "fallback"),
    ],
)
def test_what_is_no_request_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(errors.BadRequest, match=why):
        SHUT.body(body)


@pytest.mark.parametrize("part", [b"[],", b"{},", b"1,"])
def test_a_body_that_would_fill_the_memory_is_not_parsed(part: bytes) -> None:
    with pytest.raises(errors.PayloadTooLarge, match="values"):
        SHUT.body(b'{"messages":[' + part * MOST_PARTS + b"1]}")


def test_headers_go_on_by_a_list() -> None:
    sent = CIMultiDict(
        {
            "Host": "broker",
            "Accept": "application/json",
            "Accept-Encoding": "gzip, br",
            "Authorization": "Bearer t",
            "x-api-key": "t",
            "Cookie": "a=b",
            "Connection": "anthropic-version",
            "Content-Type": "text/plain",
            "Content-Length": "3",
            "Expect": "100-continue",
            "Forwarded": "for=1",
            "X-Http-Method-Override": "DELETE",
            "anthropic-mcp-server": "https://evil.example",
            "anthropic-version": "2023-06-01",
            "User-Agent": "cli",
            "X-Stainless-OS": "Linux",
            "X-Claude-Code-Session-Id": "s",
        }
    )
    assert dict(SHUT.forwarded(sent)) == {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "anthropic-version": "2023-06-01",
        "User-Agent": "cli",
        "X-Stainless-OS": "Linux",
        "X-Claude-Code-Session-Id": "s",
    }


@pytest.mark.parametrize("value", ["a\x7fb", "a\x0bb", "caf\udce9", "caf\xe9", "a\nb", "a\x00"])
def test_a_header_that_is_no_text_is_refused(value: str) -> None:
    """A client that sends it on would fail, or write something else."""
    with pytest.raises(errors.BadRequest, match="User-Agent"):
        SHUT.forwarded(CIMultiDict({"User-Agent": value}))


REAL_BETAS = (
    "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,per-turn-control-2026-07-01,"
    "mid-conversation-tool-changes-2026-07-01,thinking-token-count-2026-05-13,advanced-tool-use-2025-11-20,"
    "effort-2025-11-24,fallback-credit-2026-06-01,thinking-display-updates-2026-08-18,context-1m-2025-08-07"
)
"""What the agent's program 2.1.330 sent to a loopback model, over all of its models."""


def test_the_agents_own_flags_go_on() -> None:
    headers = CIMultiDict([("anthropic-beta", REAL_BETAS), ("Anthropic-Beta", " pdfs-2024-09-25 ,")])
    assert SHUT.forwarded(headers)["anthropic-beta"] == f"{REAL_BETAS},pdfs-2024-09-25"


@pytest.mark.parametrize(
    ("flag", "setting"),
    [
        ("mcp-client-2025-11-20", "egress set to all"),
        ("web-fetch-2025-09-10", "egress set to all"),
        ("code-execution-2025-08-25", "egress set to all"),
        ("files-api-2025-04-14", "egress set to all"),
        ("skills-2025-10-02", "egress set to all"),
        ("new-thing-2030-01-01", "modelApiAllowBetas"),
        ("Skills-2025-10-02", "modelApiAllowBetas"),
    ],
)
def test_other_flags_are_refused_by_name_wherever_they_stand(flag: str, setting: str) -> None:
    for headers in (
        CIMultiDict({"anthropic-beta": f"{REAL_BETAS}, {flag}"}),
        CIMultiDict([("anthropic-beta", REAL_BETAS), ("ANTHROPIC-BETA", flag)]),
    ):
        with pytest.raises(errors.Forbidden, match=setting) as refused:
            SHUT.forwarded(headers)
        assert flag in refused.value.message


@pytest.mark.parametrize(
    ("method", "query", "passes"),
    [
        ("POST", "", True),
        ("POST", "beta=true", True),
        ("POST", "beta=true&x=1", False),
        ("POST", "beta=%74rue", False),
        ("POST", "limit=3", False),
        ("GET", "", True),
        ("GET", "limit=20&after_id=claude-x", True),
        ("GET", "beta=true&limit=1000", True),
        ("GET", "limit=20&", False),
        ("GET", "limit=20&url=https://evil.example", False),
    ],
)
def test_query_strings_go_on_by_a_list(method: str, query: str, passes: bool) -> None:
    if passes:
        SHUT.query(method, query)
    else:
        with pytest.raises(errors.Forbidden, match="query"):
            SHUT.query(method, query)


def test_no_name_is_in_two_lists() -> None:
    for known, network in (
        (api_names.FIELDS, api_names.NETWORK_FIELDS),
        (api_names.TOOLS, api_names.NETWORK_TOOLS),
        (api_names.BETAS, api_names.NETWORK_BETAS),
        (api_names.CONTENT, api_names.NETWORK_CONTENT),
    ):
        assert not known & network
