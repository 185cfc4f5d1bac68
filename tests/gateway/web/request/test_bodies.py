"""Parsing of what clients send: fields, prompts, prefixes, JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.protocol import MAX_PROMPT_CHARS
from gateway.errors import BadRequest
from gateway.fields import choice, identifier, parse_object, text, whole
from gateway.model import Mode, OnBusy
from gateway.runs.prompt import PromptRequest, parse_prompt, strip_prefix
from gateway.web.request.bodies import MAX_BODY_BYTES, iso


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


class TestFields:
    def test_text_absent_or_null_is_empty_unless_required(self) -> None:
        assert text({}, "title", limit=5) == text({"title": None}, "title", limit=5) == ""
        assert field_of(lambda: text({}, "title", limit=5, required=True)) == "title"
        assert field_of(lambda: text({"title": "  "}, "title", limit=5, required=True)) == "title"

    def test_text_has_a_limit(self) -> None:
        assert text({"title": "12345"}, "title", limit=5) == "12345"
        assert field_of(lambda: text({"title": "123456"}, "title", limit=5)) == "title"

    def test_missing_ids_are_said_in_the_words_of_the_protocol(self) -> None:
        with pytest.raises(BadRequest, match=r"^Missing sessionId$"):
            identifier({}, "sessionId", required=True)

    def test_choice_names_what_is_possible(self) -> None:
        with pytest.raises(BadRequest, match="mode must be one of agent, plan"):
            choice({"mode": "x"}, "mode", Mode.AGENT)

    @pytest.mark.parametrize("value", [1, 200, "1", "200", "017"], ids=repr)
    def test_whole_numbers(self, value: Any) -> None:
        assert whole({"limit": value}, "limit", default=50, least=1, most=200) == int(value)

    @pytest.mark.parametrize(
        "value",
        [0, 201, -1, 1.5, True, "0", "1.5", "-1", "x", "٣", "9" * 5000, [], {}],
        ids=lambda value: repr(value)[:9],
    )
    def test_what_is_no_such_number_is_named(self, value: Any) -> None:
        assert field_of(lambda: whole({"limit": value}, "limit", default=50, least=1, most=200)) == "limit"

    def test_an_absent_number_is_the_default(self) -> None:
        assert whole({}, "limit", default=50, least=1, most=200) == 50
        assert whole({"limit": ""}, "limit", default=50, least=1, most=200) == 50


class TestObjects:
    @pytest.mark.parametrize(
        "body",
        ["", "{", "[]", '"x"', "1", "null", "{'a':1}", '{"a":NaN}', '{"a":"\\ud800"}', "[" * 5000],
        ids=lambda body: repr(body)[:12],
    )
    def test_what_is_no_json_object_is_refused(self, body: str) -> None:
        with pytest.raises(BadRequest, match=r"^The body "):
            parse_object(body)

    def test_bytes_that_are_not_utf8_are_refused(self) -> None:
        with pytest.raises(BadRequest):
            parse_object(b'{"a":"\xff"}')

    def test_an_object_is_returned(self) -> None:
        assert parse_object('{"a":[1,{"b":null}]}') == {"a": [1, {"b": None}]}


def test_times_are_iso_8601_in_utc() -> None:
    assert iso(0.0) == "1970-01-01T00:00:00.000Z"
    assert iso(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"
