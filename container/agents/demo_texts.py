"""What the demo agent says at length: Markdown with every element that a page has to render."""

from __future__ import annotations

from typing import Final

HELP: Final = (
    "I am the demo agent: no key, no network, always the same answers. I can "
    "create a file (*Create a file called notes.txt in /workspace with 'some text'*), read it back "
    "(*read the file notes.txt*), list files, count (*count to 100*), echo, give a long answer "
    "(*a detailed explanation*), and fail or crash when asked to."
)

EXPLANATION: Final = """# How WebSocket connections work

A WebSocket is a single TCP connection that carries messages in both directions, for as long as both sides want it. \
It begins its life as an ordinary HTTP request, so it passes through the same ports, proxies and certificates as any \
other page, and only then becomes something else.

## The upgrade handshake

The client sends a `GET` request with a few headers that say what it would like to do:

```http
GET /api/sdk/ws HTTP/1.1
Host: vaporforge.example
Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
```

The server answers with `101 Switching Protocols`, and proves that it understood by hashing the key together with a \
fixed text. From then on **no HTTP is spoken** on this connection. The steps, in order:

1. The client opens a TCP connection, and TLS on top of it when the address begins with `wss`.
2. It sends the upgrade request and waits for the answer.
3. The server checks the origin, the credentials and the version before it agrees.
4. Both sides switch to frames, and either may send first.

## The framing protocol

Every message travels in one or more *frames*. A frame has a small header, then the payload. The header says what kind \
of frame it is, whether it is the last of its message, and how long the payload is:

| opcode | meaning | may be fragmented |
| ------ | ------- | ----------------- |
| `0x1` | text, always UTF-8 | yes |
| `0x2` | binary | yes |
| `0x8` | close, with a code and a reason | no |
| `0x9` | ping | no |
| `0xA` | pong | no |

Frames from the client are *masked* with four random bytes, so that no middlebox can be tricked into reading them as \
HTTP. Frames from the server are not. Control frames may arrive between the fragments of a message, which is why a \
long upload does not keep a ping from being answered.

## Closing, and losing

A connection ends cleanly when one side sends a close frame and the other answers with its own. A connection that is \
merely *lost* says nothing at all: the cable is out, the laptop is shut, the proxy was restarted. That is why both \
sides send something now and then, and why a reader that comes back says how far it had read:

- remember the number of the last frame that you showed,
- reconnect after a short and random pause,
- ask for everything after that number,
- and show each frame exactly once.

## Common use cases

Chat and streamed answers are the obvious ones: each word is shown the moment it exists, instead of all of them at the \
end. Live dashboards, shared editors, games and terminals are the others. What they have in common is that the server \
has something to say *before* it is asked.

> When data flows in one direction only, and a delay of a second does not matter, server-sent events are simpler. When \
both sides talk, a WebSocket is the better tool.

That is the whole of it: one handshake, small frames, and a plan for the day when the line breaks.
"""
