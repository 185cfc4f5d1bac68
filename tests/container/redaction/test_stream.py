"""Secrets across the borders of chunks, wherever these are."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from container.redaction.redactor import Redactor
from container.redaction.stream import RedactedText, strike
from tests.container.redaction.secret_samples import GITHUB, SAMPLES, private_key

pytestmark = pytest.mark.timeout(600)  # the examples take seconds, of a machine that is not busy

KNOWN = {"hunter-two-2": "PASSWORD", "hunter-two-2-and-more": "LONGER", "two words, one s3cret": "PHRASE"}
REDACTOR = Redactor(KNOWN)

secrets = st.sampled_from(
    [text for _, text in SAMPLES]
    + list(KNOWN)
    + [private_key(), private_key("").replace("\n", "\\n"), private_key("EC ", "Proc-Type: 4,X\n\n")]
)
prose = st.sampled_from(
    [
        "see ",
        "g",
        "gh",
        "ghp",
        "eyJ",
        "-----",
        "-----BEGIN ",
        "sk-",
        "A",
        "hunter",
        "two words",
        "\n",
        ". ",
        "ü ",
        "npm_",
        "x" * 30,
        "nothunt",
        '"',
    ]
) | st.text(max_size=5)
separators = st.sampled_from([" ", "\n", '"', "=", ": ", "`", "(", "\t", "/", "ü "])


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text with secrets in it, apart from each other, and the secrets."""
    pieces, held = [], []
    for _ in range(draw(st.integers(1, 4))):
        pieces.append(draw(prose))
        if draw(st.booleans()):
            secret = draw(secrets)
            held.append(secret)
            pieces += [draw(separators), secret, draw(separators)]
    return "".join(pieces), held


def chunks_of(text: str, cuts: list[int]) -> list[str]:
    borders = sorted({cut % (len(text) + 1) for cut in cuts})
    return [text[a:b] for a, b in zip([0, *borders], [*borders, len(text)], strict=True)]


@given(texts(), st.lists(st.integers(0, 10_000), max_size=30))
@settings(max_examples=150, deadline=None)
def test_chunks_show_what_the_whole_text_shows(given_text: tuple[str, list[str]], cuts: list[int]) -> None:
    text, held = given_text
    stream = RedactedText(REDACTOR)
    shown = "".join(stream.feed(chunk) for chunk in chunks_of(text, cuts)) + stream.end()
    assert shown == strike(REDACTOR, text)
    assert all(secret not in shown for secret in held)


@given(texts(), st.lists(st.integers(0, 10_000), max_size=30))
@settings(max_examples=80, deadline=None)
def test_a_chunk_that_is_plain_shows_what_feeding_it_shows(
    given_text: tuple[str, list[str]], cuts: list[int]
) -> None:
    text, _ = given_text
    stream = RedactedText(REDACTOR)
    shown = ""
    for chunk in chunks_of(text, cuts):
        shown += chunk if stream.is_plain(chunk) else stream.feed(chunk)
    assert shown + stream.end() == strike(REDACTOR, text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a word" + "x" * 40, True),
        ("within xhun", True),
        ("a word hun", False),
        ("eyJ" + "x" * 40, False),
        ("=eyx" + "x" * 16, True),
        ("=ey", False),
    ],
)
def test_a_word_is_plain_unless_it_may_begin_a_secret(text: str, plain: bool) -> None:
    assert RedactedText(REDACTOR).is_plain(text) is plain
    assert (RedactedText(REDACTOR).feed(text) == text) >= plain


@given(texts(), st.lists(st.integers(0, 10_000), max_size=12), st.data())
@settings(max_examples=120, deadline=None)
def test_with_releases_in_between_no_secret_is_shown_whole(
    given_text: tuple[str, list[str]], cuts: list[int], data: st.DataObject
) -> None:
    text, held = given_text
    stream = RedactedText(REDACTOR)
    shown = ""
    for chunk in chunks_of(text, cuts):
        shown += stream.feed(chunk)
        if data.draw(st.booleans()):
            shown += stream.release()
            assert not stream.held
    shown += stream.end()
    assert all(secret not in shown for secret in held)


@given(st.text(max_size=300), st.lists(st.integers(0, 400), max_size=20))
@settings(max_examples=80, deadline=None)
def test_nothing_else_is_lost_or_moved(text: str, cuts: list[int]) -> None:
    stream = RedactedText(REDACTOR)
    shown = "".join(stream.feed(chunk) for chunk in chunks_of(text, cuts)) + stream.end()
    assert shown == text


def test_only_what_may_begin_a_secret_is_held_back() -> None:
    stream = RedactedText(REDACTOR)
    assert stream.feed("my token is ghp_") == "my token is "
    assert stream.held
    assert stream.feed("x y") == "ghp_x y"
    assert not stream.held


def test_what_was_released_is_shown_and_what_completes_it_is_struck() -> None:
    stream = RedactedText(REDACTOR)
    assert stream.feed(GITHUB[:10]) == ""
    assert stream.release() == GITHUB[:10]
    assert stream.feed(GITHUB[10:20]) == ""
    assert stream.feed(GITHUB[20:] + "more, and") == "[redacted: github-token], and"


def test_a_token_that_goes_on_is_struck_as_one() -> None:
    stream = RedactedText(REDACTOR)
    shown = [stream.feed(chunk) for chunk in (GITHUB, "abc", "DEF_1", " end")]
    assert shown == ["[redacted: github-token]", "", "", " end"]


def test_a_key_shows_nothing_between_its_mark_and_what_follows() -> None:
    stream = RedactedText(REDACTOR)
    shown = [stream.feed(line + "\n") for line in private_key().split("\n")] + [stream.feed("done\n")]
    assert "".join(shown) == "[redacted: private-key]\ndone\n"
    assert [piece for piece in shown if piece] == ["[redacted: private-key]", "\n", "done\n"]


def test_what_prose_streams_holds_little_back() -> None:
    text = "The quick brown fox jumps over the lazy dog, and says: hello! " * 50
    stream = RedactedText(REDACTOR)
    words = re.findall(r"\s?\S+", text)
    held = sum(1 for word in words if stream.feed(word) != word)
    assert held <= 0.02 * len(words)


def test_a_word_behind_a_key_without_an_end_is_shown() -> None:
    stream = RedactedText(REDACTOR)
    shown = stream.feed(private_key(end=False)) + stream.feed("\nDone")
    assert shown + stream.end() == "[redacted: private-key]Done"


def test_where_something_came_between_a_secret_may_begin_behind_any_letter() -> None:
    stream = RedactedText(REDACTOR)
    shown = stream.feed("a wordd")
    stream.part()
    assert shown + stream.feed(GITHUB + " ") == "a wordd[redacted: github-token] "
