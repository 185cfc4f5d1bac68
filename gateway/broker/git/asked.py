"""What a sandbox's git asks for, by the address; nothing but git's smart HTTP is known (gitprotocol-http). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.broker.git.hosts import REPOSITORY
from gateway.errors import NotFound

PREFIX: Final = "/git/"

_PATH: Final = re.compile(r"/git/(?P<host>[A-Za-z0-9.:-]{1,260})/(?P<path>[A-Za-z0-9_.~+/-]{1,2100})")


class Service(StrEnum):
    """Of git."""

    FETCH = "git-upload-pack"
    PUSH = "git-receive-pack"


_KINDS: Final = (
    ("GET", "/info/refs", "service=git-upload-pack", Service.FETCH),
    ("GET", "/info/refs", "service=git-receive-pack", Service.PUSH),
    ("POST", "/git-upload-pack", "", Service.FETCH),
    ("POST", "/git-receive-pack", "", Service.PUSH),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """`host` and `repository` as the address has them, `rest`: what is behind the repository, with its query. `lists`:
    whether the refs are asked for."""

    host: str
    repository: str
    rest: str
    service: Service
    lists: bool


def asked_of(method: str, raw_path: str, raw_query: str) -> Asked:
    """Raises `NotFound` for what is none of git's requests, with anything encoded in the path too."""
    read = _PATH.fullmatch(raw_path)
    for wanted, rest, query, service in _KINDS:
        if read is None or method != wanted or raw_query != query or not read["path"].endswith(rest):
            continue
        repository = read["path"].removesuffix(rest)
        if REPOSITORY.fullmatch(repository):
            return Asked(
                read["host"].lower(),
                repository,
                rest + (f"?{query}" if query else ""),
                service,
                method == "GET",
            )
    raise NotFound("The broker knows git's own requests over HTTP alone, and this is none of them.")
