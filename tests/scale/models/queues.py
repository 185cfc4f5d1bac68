"""Closed forms that simulations are held to, and that plans can be made with (Erlang 1917; Kleinrock 1975)."""

from __future__ import annotations


def erlang_b(servers: int, load: float) -> float:
    """M/G/c/c: the share that finds every one of `servers` taken at an offered `load` (arrivals a second times seconds
    each). So is a pool found empty whose every claim orders its successor: it depends on no more than the mean."""
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked


def erlang_c(servers: int, load: float) -> float:
    """M/M/c: the share that waits. 1 from `load >= servers` on."""
    if load >= servers:
        return 1.0
    blocked = erlang_b(servers, load)
    return blocked / (1 - load / servers * (1 - blocked))


def waiting_md1(rate: float, service: float) -> float:
    """M/D/1: mean seconds before service (Pollaczek and Khinchine). Infinite from a load of 1 on."""
    load = rate * service
    return load * service / (2 * (1 - load)) if load < 1 else float("inf")


def pool_size(load: float, empty: float) -> int:
    """The least pool that is found empty by at most the share `empty` of claims."""
    size, blocked = 0, 1.0
    while blocked > empty:
        size += 1
        blocked = load * blocked / (size + load * blocked)
    return size
