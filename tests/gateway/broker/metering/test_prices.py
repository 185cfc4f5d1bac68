"""What tokens cost, by the table and by what the settings add."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.broker.metering.prices import PRICES, Prices, read_prices
from gateway.broker.metering.usage import Usage

MTOK = 1_000_000


def cost(model: str, own: str = "", **tokens: Any) -> float:
    price = Prices(read_prices(own)).of(model)
    assert price is not None, model
    return price.cost(Usage(**tokens)) / 1e9


@pytest.mark.parametrize(
    ("tokens", "dollars"),
    [
        ({"input": MTOK}, 5.0),
        ({"output": MTOK}, 25.0),
        ({"cache_read": MTOK}, 0.5),
        ({"cache_write_5m": MTOK}, 6.25),
        ({"cache_write_1h": MTOK}, 10.0),
        ({"searches": 1000}, 10.0),
        ({"input": MTOK, "factor": 6.0}, 30.0),
        ({"input": 1, "cache_read": 1}, 5.5e-6),
    ],
)
def test_each_kind_has_its_price(tokens: dict[str, Any], dollars: float) -> None:
    assert cost("claude-opus-4-6", **tokens) == pytest.approx(dollars, abs=0)


def test_a_long_prompt_has_another_price_for_all_of_the_call() -> None:
    assert cost("claude-haiku-5-5", input=100_000, output=10) == pytest.approx(0.010005)
    assert cost("claude-haiku-5-5", input=1, cache_read=100_000, output=10) == pytest.approx(0.0050255)


@pytest.mark.parametrize(
    "name",
    [
        "claude-haiku-4-5",
        "claude-haiku-4-5-20251001",
        "claude-haiku-4-5-latest",
        "claude-haiku-4-5@20251001",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "anthropic/claude-haiku-4-5",
    ],
)
def test_a_model_is_known_by_its_other_names(name: str) -> None:
    assert Prices().of(name) is PRICES["claude-haiku-4-5"]


@pytest.mark.parametrize(
    "name", ["", "m", "claude-", "claude-haiku-4-50", "claude-haiku-4-5-fast", "claude-haiku-9", "gpt-5"]
)
def test_a_name_that_only_looks_alike_is_not_known(name: str) -> None:
    assert Prices().of(name) is None


def test_settings_add_models_and_override_the_tables() -> None:
    own = "my/model.v2=1/2, claude-haiku-4-5=7/8/0.5/9/11"
    assert cost("my/model.v2", own, input=MTOK, cache_read=MTOK) == pytest.approx(1.1)
    assert cost("claude-haiku-4-5", own, cache_read=MTOK, cache_write_5m=MTOK) == pytest.approx(9.5)
    assert cost("claude-haiku-4-5-20251001", own, input=MTOK) == pytest.approx(7)


@pytest.mark.parametrize(
    "text", ["m", "m=", "m=1", "m=1/x", "=1/2", "m=1/2/3/4/5/6", "m=-1/2", "m=1/2;n=1/2"]
)
def test_bad_prices_are_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(ValueError, match="model=input/output"):
        read_prices(text)
