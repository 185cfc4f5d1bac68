"""What a recorder keeps has no secrets, though its sandbox did not strike them; numbers and limits stay."""

from __future__ import annotations

import json
from typing import Any

import pytest

from container.protocol import MAX_FRAME_BYTES, encode, stamp
from container.redaction.redactor import Redactor
from gateway.broker.credentials import encrypt, encrypt_servers
from gateway.runs.recording.intake import Intake
from gateway.runs.recording.redacted import redactor_of, struck
from gateway.runs.recording.transcript import Transcript
from gateway.store.keyring import CredentialKeys
from tests.container.redaction.secret_samples import GITHUB, JWT
from tests.gateway.fakes import RUN, a_run, line, quick_settings

MARK = "[redacted: github-token]"


def intake(redactor: Redactor | None) -> tuple[Intake, Transcript]:
    transcript = Transcript()
    one = Intake(transcript, RUN)
    one.redactor = transcript.redactor = redactor
    return one, transcript


def kept(one: Intake) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in b"".join(one.frames).splitlines()]


def test_frames_are_struck_and_keep_their_numbers_and_those_around_them_their_bytes() -> None:
    one, transcript = intake(Redactor({"hunter-two-2": "PASSWORD"}))
    result = line(3, "tool-result", id="t", output=f"hunter-two-2 {GITHUB}")
    plain = b'{"type":"text-delta",  "text":"\\u00e9","run":"r1","seq":4}'
    one.take(line(1, "run") + b"\n" + line(2, "tool-start", id="t", input={"t": JWT}))
    one.take(result + b"\n" + plain)
    one.take(line(5, "process-exit", reason="completed"))
    frames = kept(one)
    assert [frame["seq"] for frame in frames] == [1, 2, 3, 4, 5]
    assert frames[1]["input"] == {"t": "[redacted: jwt]"}
    assert frames[2]["output"] == f"[redacted: PASSWORD] {MARK}"
    assert plain in b"".join(one.frames)
    [tool, text] = transcript.message(a_run(), now=1.0).parts
    assert (tool["input"], tool["output"]) == ({"t": "[redacted: jwt]"}, f"[redacted: PASSWORD] {MARK}")
    assert text["text"] == "é"


def test_a_secret_over_several_frames_is_struck_in_the_message() -> None:
    one, transcript = intake(Redactor())
    one.take(line(1, "run"))
    for seq, at in enumerate(range(0, len(GITHUB), 10), 2):
        one.take(line(seq, text=GITHUB[at : at + 10]))
    assert transcript.message(a_run(), now=1.0).content == MARK


def test_without_a_redactor_nothing_is_struck() -> None:
    one, transcript = intake(None)
    one.take(line(1, "run") + b"\n" + line(2, text=GITHUB))
    assert kept(one)[1]["text"] == transcript.message(a_run(), now=1.0).content == GITHUB


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "abcd1234" * (MAX_FRAME_BYTES // 9)},
        {"text": "abcd1234", "numbers": [1e15] * (MAX_FRAME_BYTES // 9)},
    ],
    ids=["strikes that are longer than secrets", "numbers that are written longer"],
)
def test_a_struck_frame_has_no_more_bytes_than_a_frame_may_have(fields: dict[str, Any]) -> None:
    redactor = Redactor({"abcd1234": "A_NAME_THAT_IS_RATHER_LONG"})
    body = encode({"type": "text-delta", **fields}).replace(b"1000000000000000.0", b"1e15")
    whole = stamp(body, RUN, 7)
    assert len(whole) <= MAX_FRAME_BYTES
    shorter, frame = struck(redactor, whole, json.loads(whole), RUN)
    assert len(shorter) <= MAX_FRAME_BYTES
    assert b"abcd1234" not in shorter
    assert json.loads(shorter) == frame
    assert (frame["type"], frame["run"], frame["seq"]) == ("text-delta", RUN, 7)


def test_whole_numbers_beyond_64_bits_stay_as_they_are() -> None:
    whole = line(2, text=GITHUB, n=10**30)
    shorter, _ = struck(Redactor(), whole, {"type": "text-delta", "text": GITHUB, "n": 1e30, "seq": 2}, RUN)
    assert json.loads(shorter)["n"] == 10**30


KEYS = CredentialKeys.of("k" * 32)


class Settings:
    """A store of one user's settings."""

    def __init__(self, kept: dict[str, Any]) -> None:
        self.kept = kept

    async def get_settings(self, _owner: str) -> dict[str, Any]:
        return self.kept

    async def credential_keys(self, *_names: str) -> CredentialKeys:
        return KEYS


async def test_the_owner_s_secrets_and_the_deployment_s_key_are_known() -> None:
    settings = quick_settings(model_api_key="the-deployment-s-key-1")
    servers = {"git": {"env": {"GIT_TOKEN": "hunter-two-2"}}}
    store = Settings(
        {
            "credential": encrypt(KEYS, "ada", "my-own-model-key-1"),
            "mcpServers": encrypt_servers(KEYS, "ada", servers),
        }
    )
    redactor = await redactor_of(settings, store, "ada")  # type: ignore[arg-type]
    assert redactor is not None
    text = "my-own-model-key-1 the-deployment-s-key-1 hunter-two-2"
    whole = line(1, text=text)
    _, frame = struck(redactor, whole, json.loads(whole), RUN)
    assert frame["text"] == "[redacted: model-credential] [redacted: model-credential] [redacted: GIT_TOKEN]"


async def test_nothing_is_read_where_redaction_is_off() -> None:
    assert await redactor_of(quick_settings(redact=False), None, "ada") is None  # type: ignore[arg-type]
