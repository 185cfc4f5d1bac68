"""What secrets look like: shapes that hardly anything else has, each with its source. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

ALNUM: Final = "A-Za-z0-9"
URL64: Final = "A-Za-z0-9_-"
"""The alphabet of base64url (RFC 4648, section 5)."""

LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
"""All that the shapes of one line are made of."""


class Chars(NamedTuple):
    """`least` to `most` characters of a class (the inside of a regular expression's brackets)."""

    kind: str
    least: int
    most: int


class Shape(NamedTuple):
    """One of `prefixes`, then `parts`. `name` is what the strike says. `wide`: nothing of base64url may stand before
    it, else no letter and no digit."""

    name: str
    prefixes: tuple[str, ...]
    parts: tuple[str | Chars, ...]
    source: str
    wide: bool = False


SHAPES: Final[tuple[Shape, ...]] = (
    Shape(
        "aws-access-key",
        ("AKIA", "ASIA"),
        (Chars("A-Z2-7", 16, 16),),
        "AWS IAM User Guide, IAM identifiers: unique ID prefixes",
    ),
    Shape(
        "github-token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        (Chars("A-Za-z0-9_", 36, 251),),
        "GitHub changelog of 2021-03-31, authentication token formats: [A-Za-z0-9_], up to 255 characters",
    ),
    Shape(
        "gitlab-token",
        ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "gloas-", "glsoat-"),
        (Chars(URL64, 20, 300),),
        "GitLab Docs, Security: token prefixes",
    ),
    Shape(
        "slack-token",
        ("xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xapp-"),
        (Chars("A-Za-z0-9-", 20, 250),),
        "Slack API documentation, Token types",
    ),
    Shape(
        "anthropic-key",
        ("sk-ant-",),
        (Chars(URL64, 24, 250),),
        "Keys and OAuth tokens as Anthropic's console and CLI give them out",
    ),
    Shape(
        "openai-key",
        ("sk-proj-", "sk-svcacct-", "sk-admin-"),
        (Chars(URL64, 40, 250),),
        "Keys as OpenAI's platform gives them out",
    ),
    Shape("openai-key", ("sk-",), (Chars(ALNUM, 48, 48),), "OpenAI's user keys before those of projects"),
    Shape("google-api-key", ("AIza",), (Chars(URL64, 35, 35),), "Google Cloud Docs, API keys"),
    Shape("npm-token", ("npm_",), (Chars(ALNUM, 36, 36),), "GitHub blog of 2021-09-23, npm's token format"),
    Shape(
        "pypi-token",
        ("pypi-AgEIcHlwaS5vcmc",),
        (Chars(URL64, 50, 1000),),
        "PyPI Docs, API tokens: a macaroon whose location is pypi.org",
    ),
    Shape("stripe-key", ("sk_live_", "rk_live_"), (Chars(ALNUM, 24, 250),), "Stripe Docs, API keys"),
    Shape(
        "sandbox-token",
        ("vfs1.",),
        (Chars(URL64, 1, 64), ".", Chars("0-9a-f", 64, 64)),
        "`sandbox_token` in container/protocol.py",
    ),
    Shape(
        "broker-token",
        ("vfb1.",),
        (Chars(URL64, 1, 64), ".", Chars(URL64, 1, 64), ".", Chars("0-9a-f", 64, 64)),
        "`broker_token` in container/protocol.py",
    ),
    Shape(
        "jwt",
        ("eyJ",),
        (Chars(URL64, 8, 2048), ".eyJ", Chars(URL64, 8, 4096), ".", Chars(URL64, 32, 1024)),
        "RFC 7519 section 3.1: signed, header and claims are JSON objects; the gateways' own among them",
        wide=True,
    ),
)

PRIVATE_KEY: Final = "private-key"
"""What a PEM block of a private key is struck as (RFC 7468 section 10 and 11, RFC 9580 section 6.2.1)."""

_BREAK: Final = r"[\s0-9|>→:\"'+]|\\[nrt]"
"""What stands between the lines of a key as it is shown: with line numbers, quoted, or escaped within JSON."""

_FIELD: Final = r"[A-Z][A-Za-z-]{2,20}: [^\n\\]{0,100}(?:\n|\\n)"
_FIELDS: Final = rf"(?:{_BREAK}){{0,40}}(?:{_FIELD}(?:{_BREAK}){{0,40}}){{0,4}}"
"""Header fields of RFC 1421 and of OpenPGP."""

_HEADER: Final = r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"

KEY: Final = rf"{_HEADER}{_FIELDS}[A-Za-z0-9+/]{{16}}"
"""A private key is one from here on: header, and the first of its text. Headers that prose speaks of have none."""

KEY_BEGINNING: Final = re.compile(
    rf"-----BEGIN(?: [A-Z0-9 ]{{0,70}}-{{0,5}})?\Z|{_HEADER}{_FIELDS}"
    r"(?:\\|[A-Za-z0-9+/]{0,15}|[A-Z][A-Za-z-]{0,20}(?::[^\n\\]{0,100}\\?)?)\Z"
)
"""The beginning of a private key, up to the end of the text, from its dashes and BEGIN on."""

KEY_DASHES: Final = "-----BEGIN"
LONGEST_KEY_BEGINNING: Final = 800
KEY_LINE: Final = re.compile(
    r"[\s0-9|>→:\"'+,]*(?:[A-Z][A-Za-z-]{2,20}:.{0,100}|[A-Za-z0-9+/=]*[\"',]{0,2})\s*"
)
"""A line of a private key, without its end."""

KEY_END: Final = re.compile(r"-----END [A-Z0-9 ]{1,60}-----")
KEY_BREAK: Final = re.compile(r"\n|\\r\\n|\\n")
MOST_KEY_CHARS: Final = 32 * 1024
LONGEST_KEY_LINE: Final = 200

BEFORE: Final = f"(?<![{ALNUM}])"
BEFORE_WIDE: Final = f"(?<![{URL64}])"


def patterns() -> str:
    """The regular expression of a whole secret, one group for each of `SHAPES` and one for private keys. No step of it
    is taken back, so that no text takes long."""
    return (
        _alternatives(lambda shape: f"({_prefixes(shape)}{''.join(map(_part, shape.parts))})") + f"|({KEY})"
    )


def beginnings() -> str:
    """The regular expression of the beginning of a secret, up to the end of the text."""
    return (
        _alternatives(lambda shape: "|".join(_beginning((prefix, *shape.parts)) for prefix in shape.prefixes))
        + f"|{_beginning((KEY_DASHES,))}"
    )


COMMON: Final = " etaoinsrhldcumfpgwybv\n,.k'x-0126\"()/=:_8j4953q7z;SATCIEMPBDRNLFHWGOVUJYKQXZ"
"""Characters of texts and code, the commonest first."""


def hints(others: Iterable[str] = ()) -> str:
    """The regular expression of any prefix of a shape, and of `others`. It looks for the rarest character of each, and
    so is quick to find nothing."""
    around: dict[str, list[tuple[str, str]]] = {}
    prefixes = {prefix for shape in SHAPES for prefix in shape.prefixes} | {KEY_DASHES}
    for prefix in sorted(prefixes.union(others)):
        rare = max(prefix, key=lambda letter: COMMON.find(letter) if letter in COMMON else len(COMMON))
        before, _, after = prefix.partition(rare)
        around.setdefault(rare, []).append((before, after))
    return "|".join(_hint(rare, places) for rare, places in around.items())


def _hint(rare: str, places: list[tuple[str, str]]) -> str:
    """`rare` between one of `places`. What stands next to it, in most texts none of theirs, is looked at first."""
    near = "".join(sorted({before[-1:] for before, _ in places}))
    first = f"(?<=[{re.escape(near)}]{re.escape(rare)})" if all(before for before, _ in places) else ""
    rest = [f"(?<={re.escape(before + rare)}){re.escape(after)}" for before, after in places]
    return f"{re.escape(rare)}{first}(?:{'|'.join(rest)})"


def _alternatives(of: Callable[[Shape], str]) -> str:
    """`of` each shape behind what may stand before it: looked at once for all that want the same."""
    wide = [of(shape) for shape in SHAPES if shape.wide]
    others = [of(shape) for shape in SHAPES if not shape.wide]
    return f"{BEFORE}(?:{'|'.join(others)})|{BEFORE_WIDE}(?:{'|'.join(wide)})"


def _prefixes(shape: Shape) -> str:
    return f"(?:{'|'.join(map(re.escape, shape.prefixes))})"


def _part(part: str | Chars) -> str:
    return re.escape(part) if isinstance(part, str) else f"[{part.kind}]{{{part.least},{part.most}}}+"


def _beginning(parts: tuple[str | Chars, ...]) -> str:
    first, *rest = parts
    behind = _beginning(tuple(rest)) if rest else ""
    if isinstance(first, Chars):
        ended = rf"[{first.kind}]{{0,{first.most if rest else first.least - 1}}}+\Z"
        return f"(?:{ended}|{_part(first)}{behind})" if rest else ended
    for letter in reversed(first[1:]):  # each letter may be the last one
        behind = rf"(?:\Z|{re.escape(letter)}{behind})" if behind else rf"(?:\Z|{re.escape(letter)})"
    return rf"{re.escape(first[0])}(?:\Z|{behind})"


def longest_beginning() -> int:
    """The most characters that the beginning of a shape has."""
    return max(
        max(map(len, shape.prefixes))
        + sum(len(part) if isinstance(part, str) else part.most for part in shape.parts)
        for shape in SHAPES
    )
