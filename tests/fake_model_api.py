"""A fake of the model's Messages API, for tests of the real agent binary: no model in it, the last prompt decides.

    python -m tests.fake_model_api --port N        (0: any; the port is printed)

| the prompt contains | the answer |
| --- | --- |
| `Create a file called X in DIR with 'Y'` | text, a `Write` tool call for DIR/X, and after its result more text |
| `run the command "C"` | text, a `Bash` tool call, and after its result more text |
| `call the tool T with {…}` | a call of the tool T with that input, and after its result a text that quotes it |
| `detailed explanation` | about 400 deltas, 10 ms apart |
| `slow` | 600 deltas, 50 ms apart |
| anything else | `You said: …`, a delta a word |

A request whose `x-api-key` is `wrong-key` gets a 401.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any, Final

from aiohttp import web

_CREATE: Final = re.compile(
    r"create a file called (?P<name>\S+) in (?P<folder>/\S+) with '(?P<text>.*?)'", re.IGNORECASE | re.DOTALL
)
_COMMAND: Final = re.compile(r'run the command "(?P<command>.*?)"', re.IGNORECASE | re.DOTALL)
_TOOL: Final = re.compile(r"call the tool (?P<name>\S+) with (?P<input>\{.*\})", re.DOTALL)

REQUESTS: Final = web.AppKey("requests", list[dict[str, Any]])
"""The bodies of the Messages requests that carried tools, oldest first: what the agent really asked."""

Block = tuple[str, Any]
"""`("text", (pieces, seconds between them))` or `("tool", (name, input))`."""


def build_app() -> web.Application:
    """The fake as an aiohttp application."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app[REQUESTS] = []
    app.add_routes(
        [
            web.post("/v1/messages", messages),
            web.post("/v1/messages/count_tokens", count_tokens),
            web.route("*", "/{path:.*}", anything_else),
        ]
    )
    return app


async def messages(request: web.Request) -> web.StreamResponse:
    """One Messages call, streamed when asked to."""
    if request.headers.get("x-api-key") == "wrong-key":
        error = {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}
        return web.json_response(error, status=401)
    body = await request.json()
    if body.get("tools"):
        request.app[REQUESTS].append(body)
    blocks = script(body)
    if not body.get("stream"):
        return web.json_response(_whole(body, blocks))
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):  # an interrupted agent hangs up
        async for event in _events(body, blocks):
            await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    return response


async def count_tokens(_request: web.Request) -> web.Response:
    """Some number."""
    return web.json_response({"input_tokens": 100})


async def anything_else(_request: web.Request) -> web.Response:
    """What else the binary looks for: not here."""
    error = {"type": "error", "error": {"type": "not_found_error", "message": "the fake has no such route"}}
    return web.json_response(error, status=404)


def script(body: dict[str, Any]) -> list[Block]:
    """What to answer, by the last user message."""
    prompt, result = _last_user_message(body["messages"])
    if not body.get("tools"):
        return [("text", (["A ", "title"], 0.0))]
    if result is not None:
        return [("text", (_words(f"Done. The tool said: {result[:200]}"), 0.005))]
    if found := _CREATE.search(prompt):
        path = f"{found['folder'].rstrip('/')}/{found['name']}"
        call = ("Write", {"file_path": path, "content": found["text"]})
        return [("text", (_words(f"I will create {found['name']} for you now."), 0.005)), ("tool", call)]
    if found := _COMMAND.search(prompt):
        call = ("Bash", {"command": found["command"], "description": "as asked"})
        return [("text", (_words("I will run that."), 0.005)), ("tool", call)]
    if found := _TOOL.search(prompt):
        return [("tool", (found["name"], json.loads(found["input"])))]
    if "detailed explanation" in prompt:
        return [("text", ([f"Sentence piece {n} of the explanation. " for n in range(400)], 0.01))]
    if "slow" in prompt:
        return [("text", ([f"piece {n} " for n in range(600)], 0.05))]
    return [("text", (_words(f"You said: {prompt[-300:]}"), 0.002))]


def _last_user_message(conversation: list[dict[str, Any]]) -> tuple[str, str | None]:
    """The newest user text, and the newest tool result when it came after that text."""
    result: str | None = None
    for message in reversed(conversation):
        if message["role"] != "user":
            continue
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in reversed(blocks):
            if block["type"] == "tool_result":
                result = result or _text_of(block.get("content", "")) or "nothing"
            elif block["type"] == "text" and not block["text"].lstrip().startswith("<system-reminder>"):
                return block["text"], result
        if result is not None:
            return "", result
    return "", result


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(block.get("text", "") for block in content)


def _words(text: str) -> list[str]:
    return re.findall(r"\S+\s*", text)


def _message(body: dict[str, Any], content: list[Any], stop_reason: str | None) -> dict[str, Any]:
    usage = {
        "input_tokens": 100,
        "output_tokens": 20,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
    }
    return {
        "id": f"msg_fake{len(body['messages'])}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "fake"),
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _stop_reason(blocks: list[Block]) -> str:
    return "tool_use" if any(kind == "tool" for kind, _ in blocks) else "end_turn"


def _tool_id(body: dict[str, Any]) -> str:
    return f"toolu_fake{len(body['messages']):04d}"


def _whole(body: dict[str, Any], blocks: list[Block]) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    for kind, value in blocks:
        if kind == "text":
            content.append({"type": "text", "text": "".join(value[0])})
        else:
            content.append({"type": "tool_use", "id": _tool_id(body), "name": value[0], "input": value[1]})
    return _message(body, content, _stop_reason(blocks))


async def _events(body: dict[str, Any], blocks: list[Block]) -> AsyncIterator[dict[str, Any]]:
    yield {"type": "message_start", "message": _message(body, [], None)}
    for index, (kind, value) in enumerate(blocks):
        at = {"index": index}
        if kind == "text":
            pieces, pause = value
            yield {"type": "content_block_start", **at, "content_block": {"type": "text", "text": ""}}
            for piece in pieces:
                await asyncio.sleep(pause)
                yield {"type": "content_block_delta", **at, "delta": {"type": "text_delta", "text": piece}}
        else:
            block = {"type": "tool_use", "id": _tool_id(body), "name": value[0], "input": {}}
            yield {"type": "content_block_start", **at, "content_block": block}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(value[1])}
            yield {"type": "content_block_delta", **at, "delta": delta}
        yield {"type": "content_block_stop", **at}
    ending = {"stop_reason": _stop_reason(blocks), "stop_sequence": None}
    yield {"type": "message_delta", "delta": ending, "usage": {"output_tokens": 20}}
    yield {"type": "message_stop"}


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()

    async def run() -> None:
        runner = web.AppRunner(build_app(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, arguments.host, arguments.port).start()
        print(runner.addresses[0][1], flush=True)  # noqa: T201 - a command's output
        await asyncio.Event().wait()

    asyncio.run(run())


if __name__ == "__main__":
    main()
