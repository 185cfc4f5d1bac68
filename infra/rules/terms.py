"""What rules are made of: keys of the stack and figures of the code, added and multiplied, shown with their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from infra.config import PROJECT, Settings
from infra.values import key_of

TIMES: Final = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """`value`: the number that it has with these settings. `shown`: the same as words with values, `told` without.
    `names`: the settings that it reads. `is_sum`: whether it wants brackets within a product."""

    value: Callable[[Settings], float]
    shown: Callable[[Settings], str]
    told: str
    names: tuple[str, ...] = ()
    is_sum: bool = False

    def __add__(self, other: Term | float) -> Term:
        more = as_term(other)
        return Term(
            value=lambda settings: self.value(settings) + more.value(settings),
            shown=lambda settings: f"{self.shown(settings)} + {more.shown(settings)}",
            told=f"{self.told} + {more.told}",
            names=_joined(self, more),
            is_sum=True,
        )

    def __mul__(self, other: Term | float) -> Term:
        more = as_term(other)
        return Term(
            value=lambda settings: self.value(settings) * more.value(settings),
            shown=lambda settings: (
                f"{_bracketed(self, self.shown(settings))} {TIMES} {_bracketed(more, more.shown(settings))}"
            ),
            told=f"{_bracketed(self, self.told)} {TIMES} {_bracketed(more, more.told)}",
            names=_joined(self, more),
        )

    def __rmul__(self, other: float) -> Term:
        return as_term(other) * self


def as_term(number: Term | float) -> Term:
    """A plain number is a term too."""
    if isinstance(number, Term):
        return number
    return Term(value=lambda _: number, shown=lambda _: f"{number:g}", told=f"{number:g}")


def key(name: str) -> Term:
    """A setting; `name`: its field, as `part_files`."""

    def value(settings: Settings) -> float:
        number: float = getattr(settings, name)
        return number

    shown = key_of(name)
    return Term(
        value=value,
        shown=lambda settings: f"{shown} {value(settings):g}",
        told=f"`{shown}`",
        names=(name,),
    )


def figure(number: float, words: str) -> Term:
    """A number of the code's, or of AWS's; `words`: what it is."""
    return Term(value=lambda _: number, shown=lambda _: f"{words} {number:g}", told=f"{words} ({number:g})")


def counted(words: str, count: Callable[[Settings], float], *names: str) -> Term:
    """A number that follows from settings, `names`, by more than sums and products; `words`: what it is."""

    def shown(settings: Settings) -> str:
        given = ", ".join(
            f"{key_of(name)} {worded(getattr(settings, name))}" for name in names if is_given(settings, name)
        )
        return f"{words} ({given}) {count(settings):g}"

    return Term(
        value=count,
        shown=shown,
        told=f"{words} ({', '.join(f'`{key_of(name)}`' for name in names)})",
        names=names,
    )


POOL: Final = counted(
    "the pool at its largest", lambda settings: settings.pool.largest, "pool_size", "pool_schedule"
)
"""Sandboxes that wait for sessions, on top of those that sessions have."""


def longest(*terms: Term) -> Term:
    """The greatest of some."""
    return Term(
        value=lambda settings: max(term.value(settings) for term in terms),
        shown=lambda settings: f"the longer of {' and '.join(term.shown(settings) for term in terms)}",
        told=f"the longer of {' and '.join(term.told for term in terms)}",
        names=_joined(*terms),
        is_sum=True,
    )


def is_given(settings: Settings, name: str) -> bool:
    """Whether a setting has a value that can be shown."""
    return bool(getattr(settings, name) != "")


def worded(value: object) -> str:
    """A value as it is configured."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def named(name: str) -> str:
    """A setting as a refusal names it."""
    return f"{PROJECT}:{key_of(name)}"


def _joined(*terms: Term) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for term in terms for name in term.names))


def _bracketed(term: Term, words: str) -> str:
    return f"({words})" if term.is_sum else words
