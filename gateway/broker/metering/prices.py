"""What a model's tokens cost: the list prices of the API's maker, and those that the settings add. Pure.

Source: the maker's price list (https://platform.claude.com/docs/en/about-claude/pricing), as it was on 2026-10-24;
retired models as it was before. Money is in whole nano-dollars (10^-9 US dollars), so that sums are exact.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.broker.metering.usage import Usage
from gateway.config import MODEL_PRICE
from gateway.store.usage import NANO

DATE: Final = "2026-10-24"
"""Of the price list."""

USD: Final = NANO

_NANO_PER_MTOK: Final = 1000
"""A dollar for a million tokens is so many nano-dollars for one."""

SEARCH: Final = USD // 100
"""A search of the API's own search tool: $10 a thousand."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens. `above`: the prompt's length (cache reads and writes included) beyond which
    `long` is the price of the whole call; 0: never."""

    input: float
    output: float
    cache_read: float
    cache_write_5m: float
    cache_write_1h: float
    above: int = 0
    long: Price | None = None

    def cost(self, usage: Usage) -> int:
        """Nano-dollars, to the nearest one."""
        if self.long is not None and usage.prompt > self.above:
            return self.long.cost(usage)
        dollars = (
            usage.input * self.input
            + usage.output * self.output
            + usage.cache_read * self.cache_read
            + usage.cache_write_5m * self.cache_write_5m
            + usage.cache_write_1h * self.cache_write_1h
        )
        return round(dollars * _NANO_PER_MTOK * usage.factor) + usage.searches * SEARCH


def price(
    input: float,  # noqa: A002 - as the API names it
    output: float,
    cache_read: float | None = None,
    cache_write_5m: float | None = None,
    cache_write_1h: float | None = None,
    *,
    above: int = 0,
    long: Price | None = None,
) -> Price:
    """A price whose cache costs what the price list's multiples say, where nothing else is given."""
    return Price(
        input,
        output,
        round(input * 0.1, 6) if cache_read is None else cache_read,
        round(input * 1.25, 6) if cache_write_5m is None else cache_write_5m,
        round(input * 2, 6) if cache_write_1h is None else cache_write_1h,
        above,
        long,
    )


_OPUS_3: Final = price(15, 75)
_OPUS_4: Final = price(5, 25)
_SONNET: Final = price(3, 15)
_SONNET_LONG: Final = price(3, 15, above=200_000, long=price(6, 22.5))

PRICES: Final[Mapping[str, Price]] = {
    "claude-fable-5-1": price(10, 50, 0.25),
    "claude-mythos-5-1": price(10, 50, 0.25),
    "claude-fable-5": price(10, 50),
    "claude-mythos-5": price(10, 50),
    "claude-opus-5-5": price(4, 20, 0.2),
    "claude-opus-5": _OPUS_4,
    "claude-opus-4-8": _OPUS_4,
    "claude-opus-4-7": _OPUS_4,
    "claude-opus-4-6": _OPUS_4,
    "claude-opus-4-5": _OPUS_4,
    "claude-opus-4-1": _OPUS_3,
    "claude-opus-4": _OPUS_3,
    "claude-opus-4-0": _OPUS_3,
    "claude-3-opus": _OPUS_3,
    "claude-sonnet-5-5": price(2, 10, 0.1),
    "claude-sonnet-5": price(2, 10),
    "claude-sonnet-4-6": _SONNET,
    "claude-sonnet-4-5": _SONNET_LONG,
    "claude-sonnet-4": _SONNET_LONG,
    "claude-sonnet-4-0": _SONNET_LONG,
    "claude-3-7-sonnet": _SONNET,
    "claude-3-5-sonnet": _SONNET,
    "claude-haiku-5-5": price(0.1, 0.5, above=100_000, long=price(0.5, 2.5)),
    "claude-haiku-4-5": price(1, 5),
    "claude-3-5-haiku": price(0.8, 4),
    "claude-3-haiku": price(0.25, 1.25, 0.03, 0.3),
}
"""By the model's name without its date."""

_ENDING: Final = re.compile(r"(?:[-@](?:\d{8}|latest))?(?:-v\d+(?::\d+)?)?")
"""What may follow a model's name: the date of its snapshot, and another cloud's version."""


class Prices:
    """The table, and what the settings add to it or override in it (`read_prices`)."""

    def __init__(self, own: Mapping[str, Price] | None = None) -> None:
        self._own = dict(own or {})

    def of(self, model: str) -> Price | None:
        """The price of a model by the name that a call gives it, also with a date behind it and another cloud's prefix
        before it; None when nobody has told it. What the settings name goes before the table."""
        if model in self._own:
            return self._own[model]
        _, found, rest = model.rpartition("claude-")
        name = found + rest
        for length in range(len(name), 0, -1):
            priced = self._own.get(name[:length]) or PRICES.get(name[:length])
            if priced is not None and _ENDING.fullmatch(name, length):
                return priced
        return None

    def cost(self, usage: Usage, found: Price) -> int:
        """Nano-dollars of a call whose model has the price `found`, with what other models did for it."""
        return found.cost(usage) + sum((self.of(model) or found).cost(part) for model, part in usage.besides)


def read_prices(text: str) -> dict[str, Price]:
    """`model=input/output[/cache read[/cache write of 5 min[/of 1 h]]]`, separated by commas, in US dollars for a
    million tokens. Raises `ValueError` that says what it must be."""
    prices: dict[str, Price] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = MODEL_PRICE.fullmatch(part)
        if found is None:
            raise ValueError(
                f"{part!r} must be model=input/output, such as my-model=3/15, in US dollars for a million tokens, with "
                "/cache read/cache write of 5 min/of 1 h behind them where these are other than the usual multiples"
            )
        prices[found["model"]] = price(*(float(number) for number in found["prices"].split("/")))
    return prices
