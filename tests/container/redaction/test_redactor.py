"""What is struck, by shape and by value, and what is left alone."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.redaction.redactor import LEAST_KNOWN, Redactor
from container.redaction.shapes import KEY_DASHES, SHAPES, Shape, hints
from container.redaction.stream import RedactedText, strike
from container.redaction.values import strike_value
from tests.container.redaction.secret_samples import AWS, GITHUB, JWT, SAMPLES, SANDBOX, private_key
from tests.imports import ROOT

SHAPES_ALONE = Redactor()


@pytest.mark.parametrize(("shape", "text"), SAMPLES, ids=[text[:12] for _, text in SAMPLES])
def test_every_shape_is_struck_by_its_name_wherever_it_stands(shape: Shape, text: str) -> None:
    mark = f"[redacted: {shape.name}]"
    assert strike(SHAPES_ALONE, text) == mark
    for before, behind in (
        ("KEY=", "\n"),
        ('{"k":"', '"}'),
        ("see `", "`."),
        ("https://u:", "@host/"),
        ("(", ")"),
    ):
        assert strike(SHAPES_ALONE, before + text + behind) == before + mark + behind


@pytest.mark.parametrize(("shape", "text"), SAMPLES, ids=[text[:12] for _, text in SAMPLES])
def test_one_letter_less_is_none_and_so_is_one_within_a_word(shape: Shape, text: str) -> None:
    assert strike(SHAPES_ALONE, text[:-1]) == text[:-1]
    assert strike(SHAPES_ALONE, "a" + text) == "a" + text


def test_every_shape_says_where_it_is_from() -> None:
    assert all(len(shape.source) > 10 for shape in SHAPES)
    # Groups of the one regular expression are numbered as the table is.
    assert [shape.wide for shape in SHAPES] == sorted(shape.wide for shape in SHAPES)


def test_our_own_tokens_are_struck() -> None:
    assert strike(SHAPES_ALONE, f"it is {SANDBOX}.") == "it is [redacted: sandbox-token]."


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
def test_a_private_key_is_struck_up_to_its_end(kind: str) -> None:
    assert strike(SHAPES_ALONE, f"a\n{private_key(kind)}\nb") == "a\n[redacted: private-key]\nb"


@pytest.mark.parametrize(
    "shown",
    [
        lambda key: key.replace("\n", "\\n"),
        lambda key: key.replace("\n", "\r\n"),
        lambda key: "\n".join(f"{number:6}→{line}" for number, line in enumerate(key.split("\n"), 1)),
        lambda key: "\n".join(f"    {line}" for line in key.split("\n")),
        lambda key: "\n".join(f"> {line}" for line in key.split("\n")),
    ],
    ids=["in JSON", "of Windows", "with line numbers", "indented", "quoted"],
)
def test_a_private_key_is_struck_however_it_is_shown(shown: object) -> None:
    assert callable(shown)
    struck = strike(
        SHAPES_ALONE, shown(private_key(fields="Proc-Type: 4,ENCRYPTED\nDEK-Info: X\n\n")) + "\nb"
    )
    assert re.fullmatch(r"[\s\d→>]*\[redacted: private-key\](\n|\\n)?b", struck), struck


def test_a_private_key_that_is_cut_off_is_struck_and_what_comes_behind_is_not() -> None:
    assert strike(SHAPES_ALONE, private_key(end=False)[:400]) == "[redacted: private-key]"
    struck = strike(SHAPES_ALONE, private_key(end=False) + "This is what a key looks like.")
    assert struck == "[redacted: private-key]This is what a key looks like."


@pytest.mark.parametrize(
    "text",
    [
        "The header is -----BEGIN PRIVATE KEY----- and then base64.",
        "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ0h\n-----END CERTIFICATE-----",
        "commit 4f2d1c9a8b7e6d5c4b3a29181716151413121110 of the branch",
        "sk-learn, sk-LoRA, skip-this, gh pr list, ghp_ and glpat- are prefixes; xoxb-... too",
        "eyJ is how base64 of '{\"' begins; eyJhbGciOiJIUzI1NiJ9 alone is a header",
        "d9428888-122b-11e1-b85c-61cd3cbb3210 and 0123456789abcdef0123456789abcdef",
        "AKIA is a prefix, AKIAKIAK is no key",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKhJ1mXq6mY ada@example.com",
        "npm_config_registry and npm_lifecycle_event are variables; pypi-server is a package",
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert strike(SHAPES_ALONE, text) is text


def test_this_repository_holds_nothing_that_is_struck() -> None:
    """A megabyte and more of code, prose and hashes of locks."""
    paths = [
        path
        for folder in ("container", "gateway", "infra", "docs", "scripts")
        for path in (ROOT / folder).rglob("*")
    ]
    texts = [
        _text(path)
        for path in paths
        if path.is_file() and path.suffix in {".py", ".md", ".js", ".txt", ".sh", ".css"}
    ]
    assert sum(map(len, texts)) > 1_000_000
    assert [text[:80] for text in texts if strike(SHAPES_ALONE, text) != text] == []


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_known_values_are_struck_by_their_names_and_the_longer_first() -> None:
    redactor = Redactor(
        {"correct horse": "PHRASE", "correct horse battery": "LONGER", "a.b+c(d": "ODD", "short": "NO"}
    )
    struck = strike(redactor, "correct horse; correct horse battery; a.b+c(d)x; short")
    assert struck == "[redacted: PHRASE]; [redacted: LONGER]; a.b+c(d)x; short"
    assert len("a.b+c(d") < LEAST_KNOWN


@pytest.mark.parametrize("value", ['pa"ss\\w0rd', "two\nlines-1", "gehéim-wört"])
def test_known_values_are_struck_as_json_escapes_them(value: str) -> None:
    redactor = Redactor({value: "NAME"})
    for ascii_alone in (True, False):
        inner = json.dumps({"env": value}, ensure_ascii=ascii_alone)
        assert strike(redactor, inner) == '{"env": "[redacted: NAME]"}'
        assert redactor.may_hold(json.dumps({"output": inner}).encode())


def test_one_secret_behind_another_is_struck_too() -> None:
    assert strike(SHAPES_ALONE, f"{GITHUB} {AWS} {JWT}") == (
        "[redacted: github-token] [redacted: aws-access-key] [redacted: jwt]"
    )


def test_values_keep_their_shape_and_what_is_clean_is_the_same_object() -> None:
    frame = {"type": "tool-start", "input": {"env": [GITHUB, 1, None, True], GITHUB: {"x": f"-H {JWT}"}}}
    assert strike_value(SHAPES_ALONE, frame) == {
        "type": "tool-start",
        "input": {
            "env": ["[redacted: github-token]", 1, None, True],
            "[redacted: github-token]": {"x": "-H [redacted: jwt]"},
        },
    }
    clean = {"type": "tool-result", "output": "a\nb", "n": [1.5, {"x": "y"}]}
    assert strike_value(SHAPES_ALONE, clean) is clean


def test_the_beginning_of_a_secret_where_a_text_was_cut_is_struck() -> None:
    assert strike_value(SHAPES_ALONE, f"token: {GITHUB[:12]}…") == "token: [redacted: secret]…"
    assert strike_value(SHAPES_ALONE, "the end of a sentence…") == "the end of a sentence…"
    assert strike_value(SHAPES_ALONE, f"token: {GITHUB[:12]}") == f"token: {GITHUB[:12]}"


def test_a_bare_strike_is_never_longer_than_its_secret() -> None:
    redactor = Redactor({"abcd1234": "A_NAME_THAT_IS_LONG"})
    text = "abcd1234" * 1000
    assert len(strike(redactor, text, bare=True)) < len(text) < len(strike(redactor, text))


@pytest.mark.parametrize(
    "text", ["a plain sentence, of no interest", 'tabs\tand "quotes" and C:\\paths', "é — ü"]
)
def test_frames_that_hold_nothing_are_known_by_their_bytes(text: str) -> None:
    redactor = Redactor({'s3cret/with"marks': "A", "plain-s3cret": "B"})
    assert not redactor.may_hold(
        json.dumps({"type": "text-delta", "text": text}, ensure_ascii=False).encode()
    )


@pytest.mark.parametrize("escape", ["none", "ascii", "solidus", "all"])
@pytest.mark.parametrize(
    "secret", [GITHUB, JWT, AWS, SANDBOX, 's3cret/with"marks', "plain-s3cret", "gehéim-wört"]
)
def test_frames_that_hold_one_are_known_however_it_is_escaped(secret: str, escape: str) -> None:
    redactor = Redactor({'s3cret/with"marks': "A", "plain-s3cret": "B", "gehéim-wört": "C"})
    text = json.dumps({"text": f"a {secret} b"}, ensure_ascii=escape == "ascii")
    if escape == "solidus":
        text = text.replace("/", "\\/")
    if escape == "all":
        text = '{"text":"' + "".join(f"\\u{ord(letter):04x}" for letter in f"a {secret} b") + '"}'
    assert secret in json.loads(text)["text"]
    assert redactor.may_hold(text.encode())


PREFIXES = sorted({prefix for shape in SHAPES for prefix in shape.prefixes} | {KEY_DASHES, "hunt", "é-42"})


@given(st.lists(st.sampled_from([*PREFIXES, *(p[:-1] for p in PREFIXES), *"x-_K "]), max_size=6))
def test_hints_find_any_prefix_wherever_it_stands(pieces: list[str]) -> None:
    text = "".join(pieces)
    found = re.search(hints(["hunt", "é-42"]), text)
    assert (found is not None) == any(prefix in text for prefix in PREFIXES)


HOSTILE = {
    "beginnings of JWTs": "eyJ-",
    "JWTs without a signature": "eyJaaaaaaaa.eyJ",
    "dotted": "eyJ.",
    "headers of keys": "-----BEGIN PRIVATE" + " KEY-----" + " " * 30,
    "headers with fields": "-----BEGIN PRIVATE" + " KEY-----" + "Abc: xxxxx\n" * 4,
    "prefixes": "sk-",
    "short tokens": "ghp_a ",
    "one letter": "A",
    "dashes": "-",
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_text_takes_long(piece: str) -> None:
    """Twice the text takes about twice the time: no regular expression here goes back over what it has read."""

    def seconds(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        begun = time.process_time()
        strike(SHAPES_ALONE, text)
        return time.process_time() - begun

    seconds(1_000)
    assert min(seconds(256_000) for _ in range(2)) < 20 * max(0.002, min(seconds(32_000) for _ in range(3)))


@pytest.mark.parametrize("value", ["a" * 4000, "-" * 4000, GITHUB * 50, "eyJ-" * 1000])
def test_no_piece_takes_long_of_what_is_about_to_become_a_secret(value: str) -> None:
    """Each piece may be the end of what is held back, and that has no more than a few thousand characters."""
    stream = RedactedText(Redactor({value[:4000] + str(number): "NAME" for number in range(8)}))
    stream.feed(value[:3900])
    begun = time.process_time()
    for letter in value[3900:3920] + "?":
        stream.feed(letter)
    assert time.process_time() - begun < 2.0
