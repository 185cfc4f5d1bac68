"""The counters of prompts: three counts that must agree at every moment."""

from __future__ import annotations

import pytest

from gateway.errors import QueueFull
from gateway.model import Admission
from gateway.runs.stats import Stats
from tests.gateway.fakes import a_run


def assert_agree(stats: Stats) -> None:
    prompts = stats.prompts()
    assert prompts["received"] == prompts["run"] + prompts["queued"] + prompts["refused"]


def test_a_message_sent_again_counts_as_what_its_run_is() -> None:
    stats, run = Stats(), a_run()
    for admission in (
        Admission(run, 0),
        Admission(run, 0, duplicate=True),
        Admission(run, 2, duplicate=True),
    ):
        with stats.admission():
            assert_agree(stats)
            stats.admitted(admission)
    assert stats.prompts() == {
        "received": 3, "run": 2, "queued": 1, "refused": 0, "duplicates": 2, "admitting": 0
    }  # fmt: skip


def test_what_is_being_admitted_is_in_no_other_count() -> None:
    stats = Stats()
    with stats.admission():
        assert stats.prompts()["admitting"] == 1
        assert stats.prompts()["received"] == 0
        with pytest.raises(QueueFull), stats.admission():
            raise QueueFull("8 prompts wait")
        assert_agree(stats)
        assert stats.prompts()["refused"] == 1
