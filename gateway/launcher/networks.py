"""The network of each session: one internal bridge, on which are its sandbox and the stack's gateways and nobody else.

Nothing is remembered: names, labels and the engine's own lists say what there is. What a network misses is mended
whenever somebody asks for its sandbox, and in rounds: gateways that have started since, and networks whose sandbox is
gone. Safe beside other launchers: a subnet is given away once, and who comes second looks again.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from docker import errors as docker_errors
from docker.types import IPAMConfig, IPAMPool

from gateway import errors
from gateway.launcher import spec
from gateway.launcher.subnets import NoSubnetError, subnet_of, subnets_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from docker import APIClient

    from gateway.launcher.settings import LauncherSettings

log = logging.getLogger(__name__)

GATEWAY: Final = "gateway"
"""The gateways' role, and the name that they have on every session's network: the broker's URL has it."""

LIVING: Final = frozenset({"created", "running", "paused", "restarting"})
"""States of a container that needs its network."""

YOUNG_SECONDS: Final = 120.0
"""A network without a container is being given one for so long at most; then a launcher has died in between."""

ATTEMPTS: Final = 12
"""Tries to make a network: a subnet that was free a moment ago may be another launcher's by then."""

REFUSALS: Final = 3
"""So often a subnet is asked for that the engine refuses and lists nobody with: a network that is being made or is just
going, has its subnet and is not listed. One that the engine has lost count of stays so, and is passed over."""

PAUSE_SECONDS: Final = 0.2
"""Until what the engine is at is listed, or gone."""

JOINING: Final = 8
"""Places on networks that are taken at the same time."""

REMOVALS: Final = 4
"""Tries to remove a network: whoever joined it in between is taken off again."""


class Networks:
    """`ensure` and `remove` are for whoever holds the session's lock. Raises what the Docker SDK raises, and
    `SandboxUnavailable` where no subnet is left."""

    def __init__(self, api: Callable[[], APIClient], settings: LauncherSettings) -> None:
        self._api = api
        self._settings = settings
        self._pool = ipaddress.IPv4Network(settings.networks)
        self._joining = ThreadPoolExecutor(JOINING, thread_name_prefix="joining")

    def ensure(self, session: str) -> str:
        """The name of the session's network, made where there is none."""
        name = spec.network_name(self._settings, session)
        taken: Sequence[ipaddress.IPv4Network] = ()
        refused: Counter[ipaddress.IPv4Network] = Counter()
        for _ in range(ATTEMPTS):
            with contextlib.suppress(docker_errors.NotFound):
                self._check_ours(session, self._api().inspect_network(name))
                return name
            subnet = self._subnet(session, [*taken, *(one for one in refused if refused[one] >= REFUSALS)])
            try:
                self._create(session, name, subnet)
            except docker_errors.APIError as error:
                # Its subnet is another's, or its name is there by now.
                log.info("session %s: looking again: %s", session, error.explanation)
                networks = self._api().networks()
                taken = subnets_in(networks)
                if not any(network.overlaps(subnet) for network in taken):
                    if "overlap" in str(error):
                        refused[subnet] += 1
                        time.sleep(PAUSE_SECONDS)
                    elif all(network["Name"] != name for network in networks):
                        raise
            else:
                return name
        raise errors.SandboxUnavailable(
            f"The subnets of session {session} were taken by others all the time; try again."
        )

    def take_in(self, session: str, container: str) -> None:
        """Put the session's sandbox, which runs and has lost its network, on one again."""
        name = self.ensure(session)
        self._api().connect_container_to_network(container, name)

    def join(self, session: str) -> None:
        """Put every gateway that runs on the session's network, which is there."""
        self._join(
            (gateway["Id"], name)
            for name in [spec.network_name(self._settings, session)]
            for gateway in self._gateways()
            if name not in _joined(gateway)
        )

    def remove(self, session: str) -> None:
        """Take everybody off the session's network, and remove it; nothing where there is none, or where a sandbox of
        the session needs it: another launcher has started it again."""
        name = spec.network_name(self._settings, session)
        for attempt in range(1, REMOVALS + 1):
            try:
                network = self._api().inspect_network(name)
            except docker_errors.NotFound:
                return
            self._check_ours(session, network)
            if self._living(session):
                return
            # One that does not run is on no list of the network's, and would not start again without it.
            members = {item["Id"] for item in self._gateways(all=True) if name in _joined(item)}
            for member in members | set(network.get("Containers") or {}):
                with contextlib.suppress(docker_errors.APIError):
                    self._api().disconnect_container_from_network(member, network["Id"], force=True)
            try:
                self._api().remove_network(network["Id"])
            except docker_errors.NotFound:
                return
            except docker_errors.APIError as error:
                if attempt == REMOVALS:
                    # The engine has lost count of its endpoints, or a stranger joins all the time: a round goes on.
                    log.warning("session %s: its network stays for now: %s", session, error.explanation)
                time.sleep(0.05 * attempt)
            else:
                return

    def join_all(self) -> int:
        """Put every gateway that runs on every session's network; how many places that were."""
        names = [network["Name"] for network in self._all()]
        missing = [
            (gateway["Id"], name)
            for gateway in self._gateways()
            for name in names
            if name not in _joined(gateway)
        ]
        return self._join(missing)

    def abandoned(self) -> Sequence[str]:
        """The sessions that have a network and no container that needs it."""
        networks = self._all()
        if not networks:
            return []
        living, now = self._living(), time.time()
        return [
            session
            for network in networks
            if (session := network["Labels"].get(spec.SESSION_LABEL)) and session not in living
            if now - datetime.fromisoformat(network["Created"]).timestamp() > YOUNG_SECONDS
        ]

    def close(self) -> None:
        """End the threads; may be called twice."""
        self._joining.shutdown(wait=False, cancel_futures=True)

    def _living(self, session: str = "") -> set[str]:
        """The sessions, or whether it is this one, whose container needs its network."""
        filters = spec.label_filter(self._settings, session)
        return {
            str(container["Labels"].get(spec.SESSION_LABEL))
            for container in self._api().containers(all=True, filters=filters)
            if container["State"] in LIVING
        }

    def _subnet(self, session: str, taken: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
        try:
            return subnet_of(self._pool, self._settings.network_prefix, session, taken)
        except NoSubnetError:
            raise errors.SandboxUnavailable(
                f"No network is left for another sandbox: all subnets of {self._pool} are taken on the Docker "
                "engine; set sandboxNetworks to a wider network, or stop other stacks."
            ) from None

    def _create(self, session: str, name: str, subnet: ipaddress.IPv4Network) -> None:
        self._api().create_network(
            name,
            driver="bridge",
            internal=True,
            check_duplicate=True,
            labels=spec.labels(self._settings, session),
            ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=str(subnet))]),
            options={} if self._settings.from_host else dict(spec.NO_HOST_ADDRESS),
        )

    def _join(self, places: Iterable[tuple[str, str]]) -> int:
        """Side by side: the engine takes its time for each, and locks a network and a container at a time."""
        joined = [self._joining.submit(self._connect, gateway, name) for gateway, name in places]
        return sum(one.result() for one in joined)

    def _connect(self, gateway: str, name: str) -> bool:
        try:
            self._api().connect_container_to_network(gateway, name, aliases=[GATEWAY])
        except docker_errors.APIError as error:
            # It is on it by now, or gone, or the network is; others' places are not less for it.
            log.info("gateway %.12s: not put on %s: %s", gateway, name, error.explanation)
            return False
        return True

    def _gateways(self, *, all: bool = False) -> Sequence[Mapping[str, Any]]:  # noqa: A002 - the engine's word
        labels = [f"{spec.STACK_LABEL}={self._settings.stack}", f"{spec.ROLE_LABEL}={GATEWAY}"]
        found: Sequence[Mapping[str, Any]] = self._api().containers(all=all, filters={"label": labels})
        return found

    def _all(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self._api().networks(filters=spec.label_filter(self._settings))
        return found

    def _check_ours(self, session: str, found: Mapping[str, Any]) -> None:
        if not spec.labels(self._settings, session).items() <= (found.get("Labels") or {}).items():
            raise errors.SandboxUnavailable(
                f"A network has the name of session {session}'s, but is not of this stack."
            )


def _joined(container: Mapping[str, Any]) -> Mapping[str, Any]:
    networks: Mapping[str, Any] = container["NetworkSettings"]["Networks"] or {}
    return networks
