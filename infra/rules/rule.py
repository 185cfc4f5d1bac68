"""A rule between settings: when it holds, why it must, and the refusal with the chain of values and what to change."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Protocol

from infra.config import Settings
from infra.rules import shape
from infra.rules.terms import Term, is_given, named, worded

BOTH: Final = frozenset({"docker", "aws"})
DOCKER: Final = frozenset({"docker"})
AWS: Final = frozenset({"aws"})


class Rule(Protocol):
    """`told`, `why`: Markdown, for the table in docs/settings.md."""

    @property
    def name(self) -> str: ...
    @property
    def targets(self) -> frozenset[str]: ...
    @property
    def told(self) -> str: ...
    @property
    def why(self) -> str: ...

    def refusal(self, settings: Settings) -> str | None:
        """None where the rule holds; else which key is wrong, what it must be, why, and the chain of values."""
        ...


def _always(_: Settings) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """`left` is at most `right`, or less than it (`strict`). `change`: the setting that is named first as the one to
    change; it stands in `left` or `right` once, by itself or multiplied. `when`: whether it holds for these settings at
    all; `given` are those that this depends on, and `told_when` says so."""

    name: str
    targets: frozenset[str]
    left: Term
    right: Term
    change: str
    why: str
    strict: bool = False
    when: Callable[[Settings], bool] = _always
    given: tuple[str, ...] = ()
    told_when: str = ""

    @property
    def told(self) -> str:
        return f"{self.left.told} {'<' if self.strict else '≤'} {self.right.told}{self.told_when}"

    def holds(self, settings: Settings) -> bool:
        if not self.when(settings):
            return True
        left, right = self.left.value(settings), self.right.value(settings)
        return left < right if self.strict else left <= right

    def refusal(self, settings: Settings) -> str | None:
        if self.holds(settings):
            return None
        others = [name for name in dict.fromkeys((*self.given, *self.names)) if name != self.change]
        given = ", ".join(
            f"{named(name)} {worded(getattr(settings, name))}" for name in others if is_given(settings, name)
        )
        bound = self.bound(settings, self.change)
        sentence = (
            f"{named(self.change)} is {worded(getattr(settings, self.change))};{f' with {given}' if given else ''} "
            f"{f'it must be {bound}' if bound else 'no value of it will do'}: {self.why}. "
            f"The chain: {self.chain(settings)}"
        )
        ways = [
            f"{named(name)} to {bound}"
            for name in self.names
            if name != self.change and (bound := self.bound(settings, name))
        ]
        return f"{sentence}. Or set {', or '.join(ways)}" if ways else sentence

    @property
    def names(self) -> tuple[str, ...]:
        """Every setting that it compares."""
        return tuple(dict.fromkeys((*self.left.names, *self.right.names)))

    def chain(self, settings: Settings) -> str:
        """Both sides with their values."""
        sides = []
        for term in (self.left, self.right):
            shown, value = term.shown(settings), f"{term.value(settings):g}"
            sides.append(shown if shown.endswith(f" {value}") and not term.is_sum else f"{shown} = {value}")
        return f"{sides[0]} must be {'less than' if self.strict else 'at most'} {sides[1]}"

    def bound(self, settings: Settings, name: str) -> str:
        """What the setting `name` alone must be for the rule to hold; empty where no value that it may have does."""
        if name in shape.WIDER:
            networks = shape.WIDER[name](settings)
            fitting = (one for one in networks if self.holds(_with(settings, name, one)))
            return next((f"{network} or wider" for network in fitting), "")
        found = self.edge(settings, name)
        if found is None:
            return ""
        value, is_least = found
        return f"{value} {'or more' if is_least else 'at most'}"

    def edge(self, settings: Settings, name: str) -> tuple[int, bool] | None:
        """The value of the setting `name`, a whole number, at which the rule just holds, and whether that is its least
        (else its most); None where there is none in its range. Sides are lines in it, so two points tell them."""
        [metadata] = [item.metadata for item in fields(Settings) if item.name == name]
        if "least" not in metadata:
            return None
        start: int = getattr(settings, name)
        room = self._room(settings)
        slope = self._room(_with(settings, name, start + 1)) - room
        if slope == 0:
            return None
        exact, is_least = start - room / slope, slope > 0
        value = math.ceil(exact) if is_least else math.floor(exact)
        if self.strict and value == exact:
            value += 1 if is_least else -1
        # Of what can be 0 that is none of it, or no limit: never what anybody is told to set.
        least = metadata["least"] if is_least else max(metadata["least"], 1)
        if not least <= value <= metadata["most"] or not self.holds(_with(settings, name, value)):
            return None
        return value, is_least

    def _room(self, settings: Settings) -> float:
        return self.right.value(settings) - self.left.value(settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Formed:
    """What is no comparison of two numbers. `judge`: the refusal, or None."""

    name: str
    targets: frozenset[str]
    told: str
    why: str
    judge: Callable[[Settings], str | None]

    def refusal(self, settings: Settings) -> str | None:
        return self.judge(settings)


def _with(settings: Settings, name: str, value: int | str) -> Settings:
    changes: dict[str, Any] = {name: value}
    return replace(settings, **changes)
