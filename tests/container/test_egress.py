"""Egress as a sandbox sees it: the environment of its programs, and the frames of blocked hosts."""

from __future__ import annotations

import json

import pytest

from container.egress import blocked_frame, proxy_environment
from container.errors import BadRequest

ENV = {
    "VF_EGRESS_PROXY": "http://gateway:3128",
    "ANTHROPIC_BASE_URL": "http://gateway:8081",
    "ANTHROPIC_API_KEY": "vfs1.s.abc",
}


def test_programs_are_told_of_the_proxy_and_of_what_goes_without() -> None:
    told = proxy_environment(ENV)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        assert told[name] == "http://sandbox:vfs1.s.abc@gateway:3128"
    for name in ("NO_PROXY", "no_proxy"):
        assert told[name] == "localhost,127.0.0.1,::1,gateway"


def test_without_a_proxy_nothing_is_told() -> None:
    assert proxy_environment({**ENV, "VF_EGRESS_PROXY": ""}) == {}


def test_a_blocked_host_is_a_frame() -> None:
    host, frame = blocked_frame(b'{"host":"ci.example.com","reason":"host","mayAllow":true,"more":1}')
    assert host == "ci.example.com"
    assert json.loads(frame) == {
        "type": "egress-blocked",
        "host": "ci.example.com",
        "reason": "host",
        "mayAllow": True,
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"host":"A","reason":"host","mayAllow":true}',
        b'{"host":"a b","reason":"host","mayAllow":true}',
        b'{"host":"a.b","reason":"Host!","mayAllow":true}',
        b'{"host":"a.b","reason":"host","mayAllow":1}',
        b'{"host":1,"reason":"host","mayAllow":true}',
    ],
)
def test_what_is_no_such_thing_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        blocked_frame(body)
