"""The credential is struck from answers, however they are cut, and nothing else is changed or held back."""

from __future__ import annotations

import random

import pytest

from gateway.broker.redact import Redactor

KEY = "sk-ant-api03-the-real-one"
MASK = b"*" * len(KEY)


def through(chunks: list[bytes], key: str = KEY) -> bytes:
    redactor = Redactor(key)
    return b"".join([*(redactor.feed(chunk) for chunk in chunks), redactor.rest()])


@pytest.mark.parametrize("cut", range(1, len(KEY)))
def test_it_is_struck_across_a_border_at_every_place(cut: int) -> None:
    text = f"before {KEY} after".encode()
    at = len("before ") + cut
    assert through([text[:at], text[at:]]) == b"before " + MASK + b" after"


def test_it_is_struck_byte_by_byte_twice_and_at_both_ends() -> None:
    text = f"{KEY}{KEY}-{KEY}".encode()
    assert through([bytes([one]) for one in text]) == MASK + MASK + b"-" + MASK


def test_any_cut_gives_the_same() -> None:
    chance = random.Random(7)
    parts = [KEY.encode(), KEY[:9].encode(), b"sk-", b"s", b"sk-ant-api03-the-real-on", b"other\n", b""]
    for _ in range(2000):
        text = b"".join(chance.choices(parts, k=6))
        cuts = sorted(chance.choices(range(len(text) + 1), k=4))
        chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert through(chunks) == text.replace(KEY.encode(), MASK)


def test_events_are_handed_on_at_once() -> None:
    redactor = Redactor(KEY)
    event = b'event: x\ndata: {"text":"sk-ant-"}\n\n'
    assert redactor.feed(event) == event
    assert redactor.feed(b"a beginning: sk-ant") == b"a beginning: "
    assert redactor.feed(b"hem\n") == b"sk-anthem\n"


def test_header_values_too() -> None:
    redactor = Redactor(KEY)
    assert redactor.text(f"Bearer {KEY}") == f"Bearer {MASK.decode()}"
    assert redactor.text("caf\udce9") == "caf\udce9"
    assert redactor.found == 1


def test_what_is_no_credential_strikes_nothing() -> None:
    assert through([b"a text with a"], key="a") == b"a text with a"
