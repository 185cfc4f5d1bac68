"""A prompt as clients send it: its fields, its limits, its prefix."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.protocol import MAX_PROMPT_CHARS
from gateway.errors import BadRequest
from gateway.model import Mode, OnBusy
from gateway.prompt import PromptRequest, parse_prompt, strip_prefix
from gateway.web.request.bodies import MAX_BODY_BYTES


def field_of(call: Any) -> str | None:
    with pytest.raises(BadRequest) as caught:
        call()
    return caught.value.field


class TestPrompt:
    def test_a_prompt_alone_gets_the_defaults(self) -> None:
        assert parse_prompt({"prompt": " hi "}) == PromptRequest(
            prompt=" hi ", cwd="/workspace", mode=Mode.AGENT, on_busy=OnBusy.QUEUE, message_id=None
        )

    def test_every_field_is_read_and_unknown_ones_are_ignored(self) -> None:
        fields = {
            "type": "start",
            "prompt": "do",
            "cwd": "/workspace/app",
            "mode": "plan",
            "onBusy": "interrupt",
            "messageId": "m-1",
            "color": "red",
        }
        assert parse_prompt(fields) == PromptRequest(
            prompt="do", cwd="/workspace/app", mode=Mode.PLAN, on_busy=OnBusy.INTERRUPT, message_id="m-1"
        )

    def test_empty_optional_fields_of_a_query_are_absent(self) -> None:
        assert parse_prompt(
            {"prompt": "x", "cwd": "", "mode": "", "onBusy": "", "messageId": ""}
        ) == parse_prompt({"prompt": "x"})

    def test_the_longest_prompt_passes_and_one_more_character_does_not(self) -> None:
        assert len(parse_prompt({"prompt": "é" * MAX_PROMPT_CHARS}).prompt) == MAX_PROMPT_CHARS
        assert field_of(lambda: parse_prompt({"prompt": "é" * (MAX_PROMPT_CHARS + 1)})) == "prompt"

    def test_the_longest_prompt_fits_into_a_body_however_it_is_spelled(self) -> None:
        body = json.dumps({"prompt": "😀" * MAX_PROMPT_CHARS, "sessionId": "s" * 64, "cwd": "/workspace"})
        assert len(body) < MAX_BODY_BYTES

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("prompt", None),
            ("prompt", ""),
            ("prompt", " \n\t"),
            ("prompt", 7),
            ("prompt", ["x"]),
            ("prompt", "half \ud800"),
            ("cwd", "/etc"),
            ("cwd", "workspace"),
            ("cwd", "/workspaces"),
            ("cwd", "/workspace/../etc"),
            ("cwd", "/workspace/a\0b"),
            ("cwd", "/workspace/" + "a" * 4096),
            ("cwd", 5),
            ("mode", "yolo"),
            ("mode", 1),
            ("mode", ["agent"]),
            ("onBusy", "wait"),
            ("messageId", "a b"),
            ("messageId", "x" * 65),
            ("messageId", "line\n"),
            ("messageId", 5),
        ],
    )
    def test_a_bad_field_is_named(self, name: str, value: Any) -> None:
        assert field_of(lambda: parse_prompt({"prompt": "x", name: value})) == name


class TestPrefix:
    @pytest.mark.parametrize(
        ("prompt", "bare"),
        [
            ("[command:/review] look", "look"),
            ("[agent:/tester]\nlook\n", "look\n"),
            ("  [command:/my command]look", "look"),
            ("look [command:/review]", "look [command:/review]"),
            ("[command:review] look", "[command:review] look"),
            ("[other:/x] look", "[other:/x] look"),
            ("[command:/a][command:/b] look", "[command:/b] look"),
            ("[command:/review]", "[command:/review]"),
            ("[command:/never closed", "[command:/never closed"),
        ],
    )
    def test_only_a_leading_prefix_goes(self, prompt: str, bare: str) -> None:
        assert strip_prefix(prompt) == bare

    @given(st.text(min_size=1))
    def test_something_is_always_left(self, prompt: str) -> None:
        assert strip_prefix(prompt)
        assert prompt.endswith(strip_prefix(prompt))
