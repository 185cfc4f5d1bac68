"""What of a sandbox's request the model's API gets: by lists of what is known, for the API reaches further than we.

The API's own tools fetch addresses, run code and call MCP servers: a way out of any sandbox. So headers, beta flags,
body fields, tool types and content types are let through by name (`api_names.py`), those that reach the network only
where the stack allows it, and what a stack's settings add.

An unknown beta flag is refused, not left out: the API itself answers 400 to flags that it does not know and the
agent's program is made for that, while a flag that silently went missing would change answers without a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import hdrs
from multidict import CIMultiDict

from gateway import errors
from gateway.broker import api_names as names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config import Settings

MOST_PARTS: Final = 750_000
"""Values in a body, roughly, an object for four: counted before it is parsed, as 32 MiB of `{},` would be gigabytes,
and parsing holds all threads up. The longest prompts that models take have fewer commas and brackets."""

MOST_TOLD: Final = 80
"""Characters of a name that a refusal repeats."""

BETA_HEADER: Final = "anthropic-beta"

QUERIES: Final = {
    hdrs.METH_POST: re.compile(r"(beta=true)?"),
    hdrs.METH_GET: re.compile(
        r"((beta=true|limit=\d{1,4}|(after_id|before_id)=[A-Za-z0-9._@:-]{1,128})(&(?!$)|$))*"
    ),
}
"""Query strings that are let through, undecoded, by method: those of messages, and those of the list of models."""

_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")

_DATE: Final = re.compile(r"[-_](20\d{6}|20\d\d-\d\d-\d\d)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPolicy:
    """`network`: whether what makes the API reach the network is let through. The sets are what settings add."""

    network: bool = False
    headers: frozenset[str] = frozenset()
    betas: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()
    content: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> RequestPolicy:
        """As the gateway's settings say."""
        return cls(
            network=settings.model_network_tools,
            headers=frozenset(name.lower() for name in settings.model_api_allow_headers),
            betas=frozenset(settings.model_api_allow_betas),
            fields=frozenset(settings.model_api_allow_fields),
            tools=frozenset(settings.model_api_allow_tools),
            content=frozenset(settings.model_api_allow_content),
        )

    def query(self, method: str, raw: str) -> None:
        """Raises `Forbidden` for a query string that is not of the list."""
        if not QUERIES[method].fullmatch(raw):
            raise errors.Forbidden(
                f"The query {_told(raw)} is not let through to the model's API: messages take `beta=true`, the list of "
                "models `limit`, `after_id` and `before_id` too.",
                field="query",
            )

    def forwarded(self, headers: Mapping[str, str]) -> CIMultiDict[str]:
        """The headers that go on, without any credential: the listed ones, their beta flags judged, and the wish for an
        answer that is not packed. Raises `Forbidden` for a flag, and `BadRequest` for a value that is no text."""
        found: CIMultiDict[str] = CIMultiDict()
        flags: list[str] = []
        for name, value in headers.items():
            low = name.lower()
            if low == BETA_HEADER:
                flags += [flag for part in value.split(",") if (flag := part.strip())]
            elif low in names.HEADERS or low in self.headers or low.startswith(names.HEADER_PREFIXES):
                if not _VALUE.fullmatch(value):  # a client that sends it on refuses others, and not kindly
                    raise errors.BadRequest(f"The header {name} must be visible ASCII text.", field=low)
                found.add(name, value)
        for flag in flags:
            self._let(flag, BETA_HEADER, names.BETAS, names.NETWORK_BETAS, self.betas, "modelApiAllowBetas")
        if flags:
            found[BETA_HEADER] = ",".join(flags)
        found[hdrs.ACCEPT_ENCODING] = "identity"
        return found

    def body(self, raw: bytes, note: Callable[[dict[str, Any]], None] | None = None) -> bytes:
        """The body as it goes on: what was judged, written anew, so that no parser reads another body out of it. Of a
        key that is there twice the last value counts; numbers that fit no 64 bits go on as doubles. Raises
        `BadRequest` for what is no JSON object, or too deep, and `Forbidden` for what is not let through."""
        if raw.count(b",") + raw.count(b"[") + 4 * raw.count(b"{") > MOST_PARTS:
            raise errors.PayloadTooLarge(f"A body may have at most {MOST_PARTS:,} values; send less.")
        try:
            asked = orjson.loads(raw)
        except ValueError as error:
            raise errors.BadRequest(f"The body is no JSON that the API would take: {error}.") from None
        if not isinstance(asked, dict):
            raise errors.BadRequest("The body must be a JSON object.")
        self._judge(asked)
        if note is not None:
            note(asked)
        try:
            return orjson.dumps(asked)
        except TypeError as error:  # orjson writes 254 levels
            raise errors.BadRequest(f"The body is nested too deeply: {error}.") from None

    def _judge(self, asked: dict[str, Any]) -> None:
        for name in asked:
            self._let(name, "field", names.FIELDS, names.NETWORK_FIELDS, self.fields, "modelApiAllowFields")
        for tool in _objects(asked, "tools"):
            self._tool(tool)
        self._content([asked.get("system"), asked.get("messages")])
        if asked.get("fallbacks") == "default":
            return
        for other in _objects(asked, "fallbacks"):  # each is the request with some of its fields changed
            if "fallbacks" in other:
                raise errors.BadRequest("A fallback has no fallbacks of its own.", field="fallbacks")
            self._judge(other)

    def _tool(self, tool: dict[str, Any]) -> None:
        kind = tool.get("type")
        if kind is not None:
            self._let(kind, "tool", names.TOOLS, names.NETWORK_TOOLS, self.tools, "modelApiAllowTools")

    def _content(self, parts: list[Any]) -> None:
        """Every object in messages and system prompt, however deep, is of a type that is let through; but for what a
        tool was asked with, which is the model's own JSON, and a tool's definition, which is judged as a tool."""
        left = parts
        while left:
            part = left.pop()
            if type(part) is list:
                left.extend(part)
            elif type(part) is dict:
                kind = part.get("type")
                if "type" in part:
                    self._let(
                        kind,
                        "content",
                        names.CONTENT,
                        names.NETWORK_CONTENT,
                        self.content,
                        "modelApiAllowContent",
                    )
                if kind in names.OPAQUE:
                    left.extend(value for key, value in part.items() if key != "input")
                elif kind == "tool_definition":
                    self._tool(_object(part.get("definition"), "definition"))
                else:
                    left.extend(part.values())
                source = part.get("source")
                if type(source) is dict and "type" not in source:
                    raise errors.Forbidden("A source without a type is not let through.", field="source")

    def _let(
        self,
        name: Any,
        what: str,
        known: frozenset[str],
        network: frozenset[str],
        added: frozenset[str],
        setting: str,
    ) -> None:
        """Raises `Forbidden` when `name` is neither known nor added, or reaches the network and must not."""
        family = _DATE.sub("", name) if isinstance(name, str) else ""
        if family in known or family in added or (family and name in added):
            return
        if family not in network:
            raise errors.Forbidden(
                f"{what} {_told(name)} is not let through to the model's API, as this stack does not know what it "
                f"reaches: leave it out, or have it added to the stack's setting {setting}.",
                field=_told(name),
            )
        if not self.network:
            raise errors.Forbidden(
                f"{what} {_told(name)} makes the model's API reach the network for this sandbox, which this stack does "
                "not let its sandboxes do: leave it out, or have the stack's setting egress set to all.",
                field=_told(name),
            )


def _objects(asked: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects of a field's list. Raises `BadRequest` for a field that is no such list."""
    found = asked.get(name) or []
    if not isinstance(found, list):
        raise errors.BadRequest(f"`{name}` must be a list of objects.", field=name)
    return [_object(item, name) for item in found]


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise errors.BadRequest(f"`{name}` must hold objects.", field=name)
    return value


def _told(name: Any) -> str:
    """A name of a stranger's, short."""
    text = name if isinstance(name, str) else type(name).__name__
    return repr(text if len(text) <= MOST_TOLD else f"{text[:MOST_TOLD]}…")
