"""The networks of a stack, and who may talk to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from infra.components.docker.labels import network_labels

NO_HOST_ADDRESS = {"com.docker.network.bridge.inhibit_ipv4": "true"}
"""The host gets no address on an internal bridge: what is on it could reach the host's own services through it."""

NO_NEIGHBOURS = {"com.docker.network.bridge.enable_icc": "false"}
"""On the way out sandboxes do not reach each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworksArgs:
    """`sandboxes`: what the network of each sandbox is cut out of, by the launcher. `internet`: whether they get
    another one with a way out. `after`: what must be there before them."""

    stack_id: str
    sandboxes: str
    internet: bool
    after: pulumi.Resource


class Networks(pulumi.ComponentResource):
    """`public`: proxy and gateways. `control` (internal): gateways, launcher, table. `egress`: sandboxes that may reach
    the internet; None where they may not. The network of each sandbox the launcher makes."""

    public: docker.Network
    control: docker.Network
    egress: docker.Network | None
    scope: pulumi.Output[str]
    """Changes with what a sandbox is on."""

    def __init__(self, name: str, args: NetworksArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:docker:Networks", name, None, opts)
        self.public = self._network(args, "public")
        self.control = self._network(args, "control", NO_HOST_ADDRESS, internal=True)
        self.egress = self._network(args, "egress", NO_NEIGHBOURS) if args.internet else None
        self.scope = pulumi.Output.from_input(args.sandboxes)
        if self.egress is not None:
            self.scope = pulumi.Output.concat(args.sandboxes, ":", self.egress.id)
        self.register_outputs({"public": self.public.name})

    def _network(
        self,
        args: NetworksArgs,
        part: str,
        options: Mapping[str, str] | None = None,
        *,
        internal: bool = False,
    ) -> docker.Network:
        return docker.Network(
            f"{args.stack_id}-{part}",
            driver="bridge",
            internal=internal,
            options=options,
            labels=network_labels(args.stack_id, part),
            # The official plugin reads both back with the engine's own defaults in them, and would replace the network.
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[args.after], ignore_changes=["options", "ipv6"]
            ),
        )
