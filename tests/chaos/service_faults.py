"""What can be broken of gateways that are processes, and between them and their store."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol

from tests.chaos.child import Child
from tests.chaos.target import Fault
from tests.gateway.fault_proxy import FaultProxy, Faults


class Services(Protocol):
    """What a target has for these faults. `proxy` is in front of DynamoDB."""

    random: Random
    proxy: FaultProxy

    @property
    def gateways(self) -> Sequence[Child]: ...


def service_faults(target: Services) -> Mapping[str, Fault]:
    """By name."""
    breaker = _Breaker(target)
    return {
        "gateway SIGKILL": lambda: breaker.restart_gateway(signal.SIGKILL),
        "gateway SIGTERM": lambda: breaker.restart_gateway(signal.SIGTERM),
        "gateway SIGSTOP, SIGCONT": breaker.freeze_gateway,
        "DynamoDB throttles": lambda: breaker.store_faults(Faults(throttle=0.6)),
        "DynamoDB answers 500": lambda: breaker.store_faults(Faults(error=0.6)),
        "DynamoDB times out after the write": lambda: breaker.store_faults(Faults(lost=0.3, hold_seconds=4)),
        "DynamoDB writes behind its client's back": lambda: breaker.store_faults(
            Faults(zombie=0.3, hold_seconds=1)
        ),
        "DynamoDB is slow": lambda: breaker.store_faults(Faults(latency_ms=800)),
    }


class _Breaker:
    def __init__(self, target: Services) -> None:
        self._target = target
        self._random = target.random

    async def restart_gateway(self, number: int) -> bool:
        gateway = self._random.choice(self._target.gateways)
        await gateway.end(number)
        await asyncio.sleep(self._random.uniform(0, 2))
        await gateway.start()
        return True

    async def freeze_gateway(self) -> bool:
        gateway = self._random.choice(self._target.gateways)
        gateway.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(self._random.uniform(2, 8))  # beyond the lease, often
        finally:
            gateway.send(signal.SIGCONT)
        return True

    async def store_faults(self, faults: Faults) -> bool:
        self._target.proxy.faults = faults
        try:
            await asyncio.sleep(self._random.uniform(1, 4))
        finally:
            self._target.proxy.faults = Faults()
        return True
