"""From the Claude SDK's messages to frames: one answer at a time, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from claude_agent_sdk import (
    AssistantMessage,
    ContentBlock,
    Message,
    ResultMessage,
    StreamEvent,
    SystemMessage,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)

from container.agents.terminal import as_terminal_shows

HOPELESS_ATTEMPTS: Final = 4
"""An API that could not be connected to this often (about 8 s) is told as unreachable."""

OUTPUT_CHARS: Final = 500
"""A tool's output in a frame is cut at this many characters."""

Frame = dict[str, Any]


class AnswerFrames:
    """Turns the messages of one answer into its frames. `prompt_id`: the uuid that its prompt was sent with.
    `total_cost`: what the SDK's process has cost so far, in dollars; the answer's own cost is what it adds."""

    def __init__(self, prompt_id: str, total_cost: float = 0.0) -> None:
        self._prompt_id = prompt_id
        self.total_cost = total_cost
        self._text: list[str] = []
        self._streamed = False  # whether the assistant message that is on came as deltas
        self._new_block = False
        self._tools: dict[str, str] = {}
        self.session_id = ""
        self.is_finished = False
        self.is_hopeless = False
        """Set when waiting for the model's API makes no sense any more: the turn is to be interrupted."""

    def of(self, message: Message) -> list[Frame]:
        """The frames of one message; none for those that say nothing to a reader."""
        match message:
            case StreamEvent(parent_tool_use_id=None):
                return self._stream_event(message.event)
            case AssistantMessage():
                return self._assistant(message)
            case UserMessage():
                blocks = message.content if isinstance(message.content, list) else []
                return [self._tool_result(block) for block in blocks if isinstance(block, ToolResultBlock)]
            case ResultMessage():
                return self._result(message)
            case SystemMessage(subtype="init"):
                return self._init(message.data)
            case SystemMessage(subtype="api_retry"):
                return self._retry(message.data)
            case _:
                return []

    def _init(self, data: dict[str, Any]) -> list[Frame]:
        session_id = str(data.get("session_id", ""))
        if not session_id or session_id == self.session_id:
            return []
        self.session_id = session_id
        return [{"type": "session-init", "sessionId": session_id}]

    def _stream_event(self, event: dict[str, Any]) -> list[Frame]:
        kind = event.get("type")
        if kind == "message_start":
            self._streamed = False
        elif kind == "content_block_start":
            self._new_block = event.get("content_block", {}).get("type") == "text"
        elif kind == "content_block_delta" and event.get("delta", {}).get("type") == "text_delta":
            self._streamed = True
            return self._delta(str(event["delta"].get("text", "")))
        return []

    def _delta(self, text: str) -> list[Frame]:
        if not text:
            return []
        if self._new_block and self._text and not self._text[-1].endswith("\n"):
            text = f"\n\n{text}"  # a further block of text is a further paragraph
        self._new_block = False
        self._text.append(text)
        return [{"type": "text-delta", "text": text}]

    def _retry(self, data: dict[str, Any]) -> list[Frame]:
        """The binary tries again for minutes, whatever the reason; a reader is told, and some reasons do not pass."""
        if self.is_hopeless:
            return []
        attempt, status = data.get("attempt", 0), data.get("error_status")
        if status in {401, 403} or (status is None and attempt >= HOPELESS_ATTEMPTS):
            self.is_hopeless = True
            return [_error(status, f"{status or 'cannot connect'}, attempt {attempt}")]
        return [
            {
                "type": "stderr",
                "text": f"The model's API did not answer ({status or 'no connection'}); trying again.",
            }
        ]

    def _assistant(self, message: AssistantMessage) -> list[Frame]:
        frames: list[Frame] = []
        for block in message.content:
            if isinstance(block, ToolUseBlock):
                frames.append(self._tool_start(block, message.parent_tool_use_id))
            elif self._is_unseen_text(block, message):
                self._new_block = True
                frames += self._delta(block.text)
        return frames

    def _is_unseen_text(self, block: ContentBlock, message: AssistantMessage) -> TypeGuard[TextBlock]:
        """Text that came whole, as that of a local command does; an error's text is left to the result."""
        is_ours = message.parent_tool_use_id is None and message.error is None and not self._streamed
        return isinstance(block, TextBlock) and is_ours

    def _tool_start(self, block: ToolUseBlock, parent: str | None) -> Frame:
        self._tools[block.id] = block.name
        frame = {"type": "tool-start", "id": block.id, "name": block.name, "input": block.input}
        return frame if parent is None else {**frame, "parentId": parent}

    def _tool_result(self, block: ToolResultBlock) -> Frame:
        output = as_terminal_shows(_output(block.content))
        frame: Frame = {
            "type": "tool-result",
            "id": block.tool_use_id,
            "name": self._tools.get(block.tool_use_id, ""),
            "output": output if len(output) <= OUTPUT_CHARS else f"{output[:OUTPUT_CHARS]}…",
        }
        if block.is_error:
            frame["isError"] = True
        return frame

    def _result(self, message: ResultMessage) -> list[Frame]:
        origin: Mapping[str, Any] = message.origin or {}
        is_other_turn = origin.get("kind", "human") != "human"
        if is_other_turn and self._prompt_id not in (message.user_message_uuids or []):
            return []  # the end of a turn that a background task began
        self.is_finished = True
        total, before = message.total_cost_usd or 0.0, self.total_cost
        self.total_cost = total
        if (message.terminal_reason or "").startswith("aborted"):
            return []
        if message.is_error:
            said = message.result or "; ".join(message.errors or []) or message.subtype
            return [] if self.is_hopeless else [_error(message.api_error_status, said)]
        frames = self._delta(message.result) if message.result and not self._text else []
        done: Frame = {
            "type": "done",
            "sessionId": message.session_id,
            "fullText": "".join(self._text),
            "usage": message.usage or {},
            "costUsd": round(total - before, 9) if total >= before else total,
        }
        return [*frames, done]


def _output(content: str | list[dict[str, Any]] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(str(part.get("text") or f"[{part.get('type', 'content')}]") for part in content)


def _error(status: int | None, said: str) -> Frame:
    """The `error` frame of a failed turn: a sentence that says what to do, and a stable code."""
    if status in {401, 403}:
        advice = "The model's API refused the key: set a valid credential for the agent."
        code = "model-key-refused"
    elif status == 429 or (status is not None and status >= 500):
        advice, code = (
            "The model's API is overloaded or limits this key: try again in a while.",
            "model-overloaded",
        )
    elif "connect" in said.lower() or "fetch failed" in said.lower():
        advice = "The model's API cannot be reached from the sandbox: check its base URL and the network."
        code = "model-unreachable"
    else:
        advice, code = "The agent could not finish its answer.", "agent-error"
    return {"type": "error", "error": f"{advice} ({said[:1000]})", "code": code}
