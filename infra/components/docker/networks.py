"""The networks of a stack, and who may talk to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from infra.components.docker.labels import network_labels

NO_HOST_ADDRESS = {"com.docker.network.bridge.inhibit_ipv4": "true"}
"""The host gets no address on an internal bridge: what is on it could reach the host's own services through it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworksArgs:
    """`sandboxes`: what the network of each sandbox is cut out of, by the launcher. `egress`: whether they reach hosts
    outside, by a proxy. `after`: what must be there before them."""

    stack_id: str
    sandboxes: str
    egress: bool
    after: pulumi.Resource


class Networks(pulumi.ComponentResource):
    """`public`: proxy and gateways. `control` (internal): gateways, launcher, table. `egress`: gateways and the proxy
    by which sandboxes reach hosts outside; None where they do not. The network of each sandbox the launcher makes."""

    public: docker.Network
    control: docker.Network
    egress: docker.Network | None
    scope: pulumi.Output[str]
    """Changes with what a sandbox is on, and with what it is told of that."""

    def __init__(self, name: str, args: NetworksArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:docker:Networks", name, None, opts)
        self.public = self._network(args, "public")
        self.control = self._network(args, "control", NO_HOST_ADDRESS, internal=True)
        self.egress = self._network(args, "egress") if args.egress else None
        self.scope = pulumi.Output.from_input(args.sandboxes + (":egress" if args.egress else ""))
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
