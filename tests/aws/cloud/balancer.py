"""Stands in for an ALB's data plane, which in ministack knows no WebSocket: our HAProxy image, told what ELBv2 is."""

from __future__ import annotations

import contextlib
import csv
import io
import socket
import tarfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from docker.errors import NotFound

from tests.aws.cloud.balancer_config import ADMIN_PORT, SLOTS, haproxy_config

if TYPE_CHECKING:
    from tests.aws.cloud.ministack import Cloud

CONFIG: Final = "/tmp/balancer.cfg"


class Slots:
    """The targets of a group as HAProxy's servers: new ones in, old ones out after the deregistration delay."""

    def __init__(self, name: str, delay_seconds: float) -> None:
        self._name = name
        self._delay = delay_seconds
        self._taken: dict[str, int] = {}
        self._left: dict[str, float] = {}

    def commands(self, targets: dict[str, int]) -> list[str]:
        """What HAProxy is to be told when these are the targets, ports by address."""
        told: list[str] = []
        for address in targets.keys() - (self._taken.keys() - self._left.keys()):
            self._left.pop(address, None)
            free = set(range(1, SLOTS + 1)) - set(self._taken.values())
            server = self._server(self._taken.setdefault(address, min(free)))
            told += [
                f"set server {server} addr {address} port {targets[address]}",
                f"set server {server} state ready",
                f"set server {server} health down",  # until its first check is passed
            ]
        for address in self._taken.keys() - targets.keys() - self._left.keys():
            self._left[address] = time.monotonic()
            told.append(f"set server {self._server(self._taken[address])} state drain")
        for address, since in list(self._left.items()):
            if time.monotonic() - since >= self._delay:
                server = self._server(self._taken.pop(address))
                del self._left[address]
                told += [f"shutdown sessions server {server}", f"set server {server} state maint"]
        return told

    def _server(self, number: int) -> str:
        return f"{self._name}/target{number}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What HAProxy said of a server."""

    address: str
    status: str
    connections: int


class StandInBalancer:
    """The one load balancer of an account. `host`: its published name, empty as long as there is none; `address`:
    where that leads."""

    def __init__(self, cloud: Cloud, image: str, client: Any) -> None:
        """`client`: of ELBv2."""
        self._cloud = cloud
        self._image = image
        self._client = client
        self._name = f"{cloud.name}-balancer"
        self._config = ""
        self._groups: dict[str, tuple[str, Slots]] = {}
        self._untold: list[str] = []
        self._seen: dict[str, list[Seen]] = {}
        self.host = ""
        self.address = ""

    def follow(self) -> None:
        """Do as ELBv2 was told since the last time, and look which targets are healthy. May be done again when it was
        cut short."""
        found = self._client.describe_load_balancers()["LoadBalancers"]
        listeners = self._listeners(found[0]["LoadBalancerArn"]) if found else []
        if not listeners:
            if self._config:
                self.close()
            return
        wanted = {action.get("TargetGroupArn") for item in listeners for action in item["DefaultActions"]}
        groups = [
            group
            for group in self._client.describe_target_groups()["TargetGroups"]
            if group["TargetGroupArn"] in wanted
        ]
        config = haproxy_config(listeners, groups, self._idle_seconds(found[0]["LoadBalancerArn"]))
        if config != self._config:
            self.close()
            self._start(config, groups)
            self.host = found[0]["DNSName"]
        for arn, (_, slots) in self._groups.items():
            self._untold += slots.commands(self._targets(arn))
        if self._untold:
            self._ask(*self._untold)
            self._untold = []
        rows = list(csv.DictReader(self._ask("show stat").removeprefix("# ").splitlines()))
        self._seen = {
            arn: [
                Seen(row["addr"].rpartition(":")[0], row["status"], int(row["scur"]))
                for row in rows
                if row["pxname"] == name and row["svname"] != "BACKEND"
            ]
            for arn, (name, _) in self._groups.items()
        }

    def healthy(self, group: str) -> set[str]:
        """The addresses of a target group's targets that passed its checks at the last look. `group`: its ARN."""
        return {seen.address for seen in self._seen.get(group, ()) if seen.status.startswith("UP")}

    def unused(self, group: str) -> set[str]:
        """Those of targets that are leaving, and at the last look had no connection."""
        return {
            seen.address
            for seen in self._seen.get(group, ())
            if seen.status.startswith("DRAIN") and not seen.connections
        }

    def log(self) -> str:
        """A line for each request, and for each target that came or went."""
        return str(self._cloud.api.logs(self._name).decode(errors="replace"))

    def close(self) -> None:
        """Take HAProxy away. May be called twice."""
        self.host, self.address, self._config = "", "", ""
        self._groups, self._untold, self._seen = {}, [], {}
        with contextlib.suppress(NotFound):
            self._cloud.api.remove_container(self._name, force=True, v=True)

    # -- ELBv2 --
    def _listeners(self, balancer: str) -> list[dict[str, Any]]:
        with contextlib.suppress(self._client.exceptions.LoadBalancerNotFoundException):
            found: list[dict[str, Any]] = self._client.describe_listeners(LoadBalancerArn=balancer)[
                "Listeners"
            ]
            return found
        return []

    def _idle_seconds(self, balancer: str) -> int:
        found = self._client.describe_load_balancer_attributes(LoadBalancerArn=balancer)["Attributes"]
        return int(_value(found, "idle_timeout.timeout_seconds"))

    def _targets(self, group: str) -> dict[str, int]:
        found = self._client.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return {item["Target"]["Id"]: item["Target"]["Port"] for item in found}

    # -- HAProxy --
    def _start(self, config: str, groups: list[dict[str, Any]]) -> None:
        api = self._cloud.api
        api.create_container(
            self._image,
            name=self._name,
            environment={"VF_CONFIG": CONFIG},
            healthcheck={"test": ["NONE"]},
            host_config=api.create_host_config(
                network_mode=self._cloud.network, sysctls={"net.ipv4.ip_unprivileged_port_start": "0"}
            ),
        )
        api.put_archive(self._name, "/", _archive(CONFIG, config))
        api.start(self._name)
        found = api.inspect_container(self._name)
        self.address = found["NetworkSettings"]["Networks"][self._cloud.network]["IPAddress"]
        self._config = config
        for group in groups:
            arn, name = group["TargetGroupArn"], group["TargetGroupName"]
            attributes = self._client.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
            delay = float(_value(attributes, "deregistration_delay.timeout_seconds"))
            self._groups[arn] = (name, Slots(name, delay))

    def _ask(self, *commands: str) -> str:
        """Raises `OSError` while it does not answer, and `RuntimeError` when it has ended."""
        try:
            with socket.create_connection((self.address, ADMIN_PORT), timeout=10) as connection:
                connection.sendall(";".join(commands).encode() + b"\n")
                with connection.makefile("rb") as answer:
                    return answer.read().decode()
        except OSError as error:
            if not self._cloud.api.inspect_container(self._name)["State"]["Running"]:
                raise RuntimeError(f"HAProxy has ended: {self.log()[-2000:]}") from error
            raise


def _value(attributes: list[dict[str, str]], key: str) -> str:
    return next(item["Value"] for item in attributes if item["Key"] == key)


def _archive(path: str, text: str) -> bytes:
    """A tar with one file that everybody may read."""
    content, member = io.BytesIO(), tarfile.TarInfo(path.lstrip("/"))
    member.size, member.mode = len(text.encode()), 0o644
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()
