"""Dynamic providers that pickle to the same bytes in every clone: the state then changes only when their code does."""

from __future__ import annotations

from types import CodeType, FunctionType
from typing import Any

from pulumi.dynamic import ResourceProvider


def portable(provider: type[ResourceProvider]) -> ResourceProvider:
    """An instance of the class, whose functions no longer tell where their source lies.

    Pulumi keeps a dynamic provider in the state as pickled code, and a changed pickle is a changed resource; a code
    object names its file and line."""
    for member in vars(provider).values():
        placeless(member)
    return provider()


def placeless(function: Any) -> None:
    """Make a function forget its file and line; anything else is left as it is."""
    if isinstance(function, FunctionType):
        function.__code__ = _placeless(function.__code__)


def _placeless(code: CodeType) -> CodeType:
    constants = tuple(_constant(item) for item in code.co_consts)
    return code.replace(co_filename="<state>", co_firstlineno=1, co_consts=constants)


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _placeless(value)
    # What `in {"a", "b"}` compiles to; the order of a set of strings is another in every process.
    return tuple(sorted(value, key=repr)) if isinstance(value, frozenset) else value
