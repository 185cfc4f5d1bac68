"""Bytes to lines, lines to frames."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from container.agent import lines
from container.agent.lines import AgentFrame, Line, LineFramer, StderrGate, agent_frame, plain_texts
from container.agent.redacted import RedactedFrames
from container.protocol import MAX_BODY_BYTES, MAX_LINE_BYTES, SERVER_ONLY, stamp, stamp_all
from container.redaction.redactor import Redactor
from tests.container.redaction.secret_samples import GITHUB, JWT, private_key


def whole(data: bytes) -> Line:
    return Line(data, len(data))


def lines_of(chunks: list[bytes], limit: int) -> list[Line]:
    framer = LineFramer(limit)
    return [line for chunk in chunks for line in framer.feed(chunk)] + framer.finish()


@given(
    st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"x", b"\n"))),
    st.integers(min_value=1, max_value=9),
    st.data(),
)
def test_lines_do_not_depend_on_where_the_chunks_end(
    parts: list[bytes], limit: int, data: st.DataObject
) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    expected = stream.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert lines_of(chunks, limit) == [Line(line[:limit], len(line)) for line in expected]


def test_a_line_over_the_limit_is_counted_and_the_next_is_whole() -> None:
    chunks = [b"a" * 1000] * 1000 + [b"\nnext\n"]
    assert lines_of(chunks, 10) == [Line(b"a" * 10, 1_000_000), Line(b"next", 4)]


def test_a_frame_keeps_its_bytes() -> None:
    body = b'{"type": "text-delta",  "text":"\\u00e9 \xc3\xa9", "n": [1.50, 1e5, 18446744073709551616]}'
    frame = agent_frame(whole(b"  " + body + b" \r"))
    assert frame is not None
    assert (frame.type, frame.body, frame.length) == ("text-delta", body, len(body))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (rb'"a\ud83d"', "a?"),
        (rb'"\uDE00b"', "?b"),
        (rb'"\ude00\ud83d"', "??"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\\ud83d"', r"\ud83d"),
        (rb'{"\ud83d":["\udfff"]}', {"?": ["?"]}),
        (b"1e999", "1e999"),
        (b"[-1e999, 1e-999, 1.5]", ["-1e999", 0.0, 1.5]),
        (b"1" + b"0" * 400, "1" + "0" * 400),
        (b"-" + b"9" * 10_000, "-" + "9" * 10_000),
        (b"1" + b"0" * 308, 1e308),
        (rb'["\ud83d", 1e999, 12345678901234567890]', ["?", "1e999", 12345678901234567890]),
    ],
)
def test_a_frame_about_which_parsers_differ_is_encoded_anew(value: bytes, expected: object) -> None:
    frame = agent_frame(whole(b'{"type":"x","value":%s}' % value))
    assert frame is not None
    assert orjson.loads(frame.body) == {"type": "x", "value": expected}


STRICT = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=())),  # lone surrogates too
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=8),
    max_leaves=30,
)


@given(STRICT, st.booleans())
def test_a_strict_parser_takes_what_becomes_of_any_frame(value: object, ascii_only: bool) -> None:
    line = json.dumps({"type": "x", "value": value}, ensure_ascii=ascii_only).encode("utf-8", "replace")
    frame = agent_frame(whole(line))
    assert frame is not None
    assert frame.type == "x"
    assert orjson.loads(frame.body)["type"] == "x"


@pytest.mark.parametrize("line", [b"", b"  ", b"\r"])
def test_a_blank_line_is_nothing(line: bytes) -> None:
    assert agent_frame(whole(line)) is None


@pytest.mark.parametrize(
    "line",
    [
        b"plain text",
        b"[1]",
        b'{"no":"type"}',
        b'{"type":7}',
        b'{"type":""}',
        b'{"type":"x","n":NaN}',
        b"{" * 100_000,
        b'{"type":"x","bad":"\xff"}',
        *(b'{"type":"%s"}' % kind.encode() for kind in sorted(SERVER_ONLY)),
    ],
)
def test_what_is_no_frame_of_an_agent_becomes_stderr(line: bytes) -> None:
    frame = agent_frame(whole(line))
    assert frame is not None
    assert frame.type == "stderr"
    assert json.loads(frame.body)["text"] == line.decode("utf-8", "replace")


def test_an_agents_timing_is_none_of_the_stream() -> None:
    frame = agent_frame(whole(b'{"type":"timing","queued":1}'))
    assert frame is not None
    assert frame.type == "stderr"


def test_a_line_that_was_not_whole_says_how_long_it_was() -> None:
    frame = agent_frame(Line(b'{"type":"x"}', 99_000_000))
    assert frame is not None
    assert json.loads(frame.body) == {
        "type": "stderr",
        "text": '{"type":"x"}',
        "truncated": True,
        "fullBytes": 99_000_000,
    }


def test_a_long_text_that_is_no_frame_is_cut() -> None:
    frame = agent_frame(whole(b"x" * 1_000_000))
    assert frame is not None
    assert len(frame.body) <= MAX_BODY_BYTES
    assert json.loads(frame.body)["fullBytes"] == 1_000_000


def texts(frames: list[AgentFrame]) -> list[str]:
    return [json.loads(frame.body)["text"] for frame in frames]


def test_stderr_is_held_back_past_its_rate_and_the_count_is_told() -> None:
    gate = StderrGate(burst=10, rate=1)
    assert texts(gate.frames([whole(b"12345"), whole(b"12345"), whole(b"12345"), whole(b"1")], 100.0)) == [
        "12345",
        "12345",
    ]
    assert texts(gate.frames([whole(b"abc")], 103.0)) == ["[2 lines left out]", "abc"]
    assert gate.rest() == []


def test_what_was_held_back_last_is_told_at_the_end() -> None:
    gate = StderrGate(burst=1, rate=0)
    assert gate.frames([whole(b"too long"), whole(b" ")], 0.0) == []
    assert texts(gate.rest()) == ["[1 lines left out]"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "text-delta", "text": "plain"}',
        b'{"type":"text-delta","text":""}',
        '{"type":"text-delta","text":"ünïcode \u2028 \U0001f600"}'.encode(),
        b'{"type":"text-delta","text":"\xff\xfe"}',
        b'{"type":"text-delta","text":"a\tb"}',
        b'{"type":"text-delta","text":"a\x7fb\x00"}',
        b'{"type":"text-delta","text":"a\\nb"}',
        b'{"type":"text-delta","text":"a\\ud800"}',
        b'{"type":"text-delta","text":"a","text":"b"}',
        b'{"type":"text-delta","text":"a"} ',
        b'{"type":"text-delta","text":"a"}\r',
        b'{"type":"text-delta",  "text":"a"}',
        b'{"type":"text-delta","text":"a"}{}',
        b'{"type":"text-delta","text":"' + b"x" * MAX_BODY_BYTES + b'"}',
    ],
)
def test_a_plain_text_is_what_a_parser_makes_of_it(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = agent_frame(Line(line, len(line)))
    monkeypatch.setattr(lines, "_PLAIN_TEXT", lambda _line: None)
    assert quick == agent_frame(Line(line, len(line)))


SECRETS = f"see {GITHUB}, hunter-two-2 {private_key('').replace(chr(10), ' ')} and {JWT} ."
HEADS = [b'{"type":"text-delta","text":"', b'{"type": "text-delta", "text": "']
ODD = [
    *(
        b"",
        b" ",
        b"\r",
        b"no frame",
        b'{"type":"done"}',
        b'{"type":"usage","n":1 }',
        b'{"type":"text-delta"}',
        b"{}",
    ),
    *(
        HEADS[0] + rest
        for rest in (b'a"}\r', b'a"} ', b'a\\nb"}', b'a\tb"}', b'a","n":[1]}', b'a"', b'\xff"}', b'a"}{}')
    ),
    *(b'{"type":"%s"}' % kind.encode() for kind in sorted(SERVER_ONLY)),
    HEADS[1] + b"x" * MAX_BODY_BYTES + b'"}',
]


@st.composite
def plain_lines(draw: st.DrawFn) -> list[bytes]:
    """Texts as an agent writes them, a secret in pieces among them; some cut within a character."""
    head, at = draw(st.sampled_from(HEADS)), draw(st.integers(0, len(SECRETS)))
    pieces = []
    for size in draw(st.lists(st.integers(0, 30), min_size=1, max_size=8)):
        pieces.append(
            draw(
                st.sampled_from(
                    [b"", b"x" * 30, b"\xc3", b"\xa9", "é".encode(), SECRETS[at : at + size].encode()]
                )
            )
        )
        at += size
    return [head + piece + b'"}' for piece in pieces]


@given(
    st.lists(plain_lines() | st.sampled_from(ODD).map(lambda line: [line]), max_size=8),
    st.lists(st.integers(0, 10**6), max_size=8),
    st.booleans(),
    st.sampled_from([8, 60, MAX_LINE_BYTES]),
    st.booleans(),
)
@example([[HEADS[0] + b'a"}'] * 4], [], True, MAX_LINE_BYTES, True)
@example([[HEADS[0] + b'\xc3"}', HEADS[0] + b'\xa9"}']], [], True, MAX_LINE_BYTES, True)
@example(
    [[HEADS[0] + b'ghp_","parentId":"p"}', b'{"type":"usage"}'], [HEADS[0] + b'a"}'] * 2],
    [68],
    True,
    MAX_LINE_BYTES,
    True,
)
@settings(max_examples=300, deadline=None)
def test_texts_taken_at_once_give_what_lines_taken_one_by_one_give(
    runs: list[list[bytes]], cuts: list[int], ends: bool, limit: int, redacts: bool
) -> None:
    stream = b"\n".join(line for run in runs for line in run) + (b"\n" if ends else b"")
    borders = sorted({cut % (len(stream) + 1) for cut in cuts})
    redactor = Redactor({"hunter-two-2": "PASSWORD"}) if redacts else None
    at_once, by_line = (
        (LineFramer(limit), RedactedFrames(redactor)),
        (LineFramer(limit), RedactedFrames(redactor)),
    )

    def taken(lines: list[Line], frames: RedactedFrames) -> list[bytes]:
        return frames.take([frame for line in lines if (frame := agent_frame(line)) is not None])

    for start, end in zip([0, *borders], [*borders, len(stream)], strict=True):
        chunk = stream[start:end]
        texts = at_once[0].feed_texts(chunk)
        if texts is not None and at_once[1].pass_on(texts.text):
            bodies = texts.bodies
        else:
            bodies = taken(at_once[0].feed(chunk) if texts is None else texts.lines, at_once[1])
        assert bodies == taken(by_line[0].feed(chunk), by_line[1])
        assert at_once[1].held_since == by_line[1].held_since
        assert stamp_all(bodies, "r", 9) == [stamp(body, "r", seq) for seq, body in enumerate(bodies, 9)]
    last = [taken(framer.finish(), frames) + frames.end() for framer, frames in (at_once, by_line)]
    assert last[0] == last[1]


def test_plain_lines_are_taken_at_once_and_what_is_behind_them_begins_the_next() -> None:
    line = HEADS[1] + 'naïve, "'.encode()[:-1] + b'"}'
    framer = LineFramer()
    texts = framer.feed_texts(line + b"\n" + line + b"\n" + line[:9])
    assert texts is not None
    assert (texts.bodies, texts.text, texts.lines) == ([line] * 2, "naïve, " * 2, [whole(line)] * 2)
    assert framer.feed_texts(line[9:20]) is None
    assert framer.feed(line[9:20]) == []
    assert framer.feed_texts(line[20:] + b"\n") == plain_texts(line)


@pytest.mark.parametrize(
    "block",
    [
        HEADS[0] + b'a"}\n' + HEADS[1] + b'a"}',
        HEADS[0] + b'\xc3"}\n' + HEADS[0] + b'\xa9"}',
        *(HEADS[0] + b'a"}\n' + line for line in ODD),
        *ODD,
    ],
)
def test_a_block_with_any_other_line_is_not_taken_at_once(block: bytes) -> None:
    assert plain_texts(block) is None
