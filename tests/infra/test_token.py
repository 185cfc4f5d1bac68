"""Tokens for users of a stack."""

from __future__ import annotations

import time

import jwt
import pytest

from infra.cli.token import make_token

OUTPUTS = {"jwtSecret": "s" * 40, "jwtAudience": "team"}


def test_a_token_says_who_for_whom_and_until_when() -> None:
    claims = jwt.decode(make_token(OUTPUTS, "ada", 2), "s" * 40, algorithms=["HS256"], audience="team")
    assert claims["sub"] == "ada"
    assert claims["exp"] - claims["iat"] == 2 * 3600
    assert abs(claims["iat"] - time.time()) < 60


def test_another_stack_s_secret_does_not_open_it() -> None:
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(make_token(OUTPUTS, "ada", 1), "t" * 40, algorithms=["HS256"], audience="team")
