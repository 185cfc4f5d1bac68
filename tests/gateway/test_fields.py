"""Fields that clients send: an error names the field and what it must be."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.fields import choice, identifier, parse_object, text, whole
from gateway.model import Mode


def field_of(call: Any) -> str | None:
    with pytest.raises(BadRequest) as caught:
        call()
    return caught.value.field


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
        ("body", "value"),
        [
            (r'{"a":"x\ud83d"}', "x\ufffd"),
            (r'{"a":"\ude00\ud83d\ude00\uD83D"}', "\ufffd\U0001f600\ufffd"),
            (rb'{"a":"\\ud83d \ud83d"}', "\\ud83d \ufffd"),
        ],
        ids=["end", "beside a pair", "beside what only looks like it"],
    )
    def test_half_of_a_surrogate_pair_is_replaced(self, body: str | bytes, value: str) -> None:
        assert parse_object(body) == {"a": value}

    @pytest.mark.parametrize(
        "body",
        ["", "{", "[]", '"x"', "1", "null", "{'a':1}", '{"a":NaN}', b'{"a":"\xff"}', "[" * 5000],
        ids=lambda body: repr(body)[:12],
    )
    def test_what_is_no_json_object_is_refused(self, body: str) -> None:
        with pytest.raises(BadRequest, match=r"^The body "):
            parse_object(body)

    @pytest.mark.parametrize("number", ["1" * 400, "-" + "9" * 5000, "1e400"], ids=["400", "5000", "float"])
    def test_a_number_that_no_double_holds_is_refused_by_its_field(self, number: str) -> None:
        with pytest.raises(BadRequest, match=r"^limit has a number that is too large$") as caught:
            parse_object(f'{{"title":"\\ud83d","limit":[{{"n":{number}}}]}}')
        assert caught.value.field == "limit"

    def test_bytes_that_are_not_utf8_are_refused(self) -> None:
        with pytest.raises(BadRequest):
            parse_object(b'{"a":"\xff"}')

    def test_an_object_is_returned(self) -> None:
        assert parse_object('{"a":[1,{"b":null}]}') == {"a": [1, {"b": None}]}
