"""Secrets that are none: made here of their shapes, so that no file of this repository holds what looks like one."""

from __future__ import annotations

from container.protocol import sandbox_token
from container.redaction.shapes import SHAPES, Chars, Shape

LETTERS = "aB3dE6gH2jK4mN7pQ5rT"


def sample(shape: Shape, prefix: str) -> str:
    """The shortest of a shape."""
    return prefix + "".join(part if isinstance(part, str) else filled(part) for part in shape.parts)


def filled(part: Chars) -> str:
    """The fewest characters of a part, of those that its class has."""
    letters = {"A-Z2-7": "ABCDEFG234567", "0-9a-f": "0123456789abcdef", "A-Za-z0-9-": "12345-abcDE"}
    wanted = letters.get(part.kind, LETTERS)
    return (wanted * (part.least // len(wanted) + 1))[: part.least]


SAMPLES = [(shape, sample(shape, prefix)) for shape in SHAPES for prefix in shape.prefixes]

GITHUB = next(text for shape, text in SAMPLES if shape.name == "github-token")
JWT = next(text for shape, text in SAMPLES if shape.name == "jwt")
AWS = next(text for shape, text in SAMPLES if shape.name == "aws-access-key")
SANDBOX = sandbox_token(b"secret" * 8, "session-1")

_LINES = "\n".join(LETTERS * 3 + f"{number:04}" for number in range(20))


def private_key(kind: str = "RSA ", fields: str = "", end: bool = True) -> str:
    """What looks like a private key in PEM."""
    begin, finish = f"-----BEGIN {kind}PRIVATE", f"-----END {kind}PRIVATE"
    return f"{begin} KEY-----\n{fields}{_LINES}\nshort==\n" + (f"{finish} KEY-----" if end else "")
