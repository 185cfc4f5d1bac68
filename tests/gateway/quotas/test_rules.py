"""The rates that the settings name, and the words of time."""

from __future__ import annotations

import pytest

from gateway.quotas import rules
from gateway.store.quotas import Reached, duration
from tests.gateway.stack import settings_for


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("not an address", "unknown"),
    ],
)
def test_an_address_is_counted_as_one_machines(address: str, counted: str) -> None:
    assert rules.network(address) == counted


def test_zero_is_no_limit() -> None:
    settings = settings_for("", "none", prompts_per_minute=0, prompts_per_day=7, model_mb_per_day=0)
    (limit,) = rules.prompts(settings, "ada").limits
    assert (limit.most, limit.seconds) == (7, 86_400)
    assert [limit.unit for limit in rules.model_calls(settings, "ada").limits] == ["calls"]


def test_a_claimed_subject_is_kept_as_a_digest() -> None:
    rate = rules.sign_ins_as(settings_for("", "none"), "ada\ud800")
    assert len(rate.who) == 64
    assert rate.who != rules.sign_ins_as(settings_for("", "none"), "bob").who


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (23.4, "24 s"),
        (120, "120 s"),
        (121, "3 min"),
        (3600, "1 h"),
        (11_399, "3 h 10 min"),
    ],
)
def test_a_time_is_said_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
    (minute, _) = rules.prompts(settings_for("", "none"), "ada").limits
    assert Reached(minute, seconds).sentence().endswith(f"try again in {words}.")
