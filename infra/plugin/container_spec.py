"""A container's inputs as the engine's own request to create one."""

from __future__ import annotations

import re
from typing import Any, Final

import docker
from docker.types import ContainerConfig, Healthcheck, LogConfig, Ulimit

from infra.plugin.network import labels_of
from infra.plugin.properties import Properties
from infra.plugin.resource import PluginError

EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - the official default of a port's `ip`

MEGA: Final = 1024 * 1024

NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


def create_arguments(api: docker.APIClient, inputs: Properties) -> ContainerConfig:
    """The body of `POST /containers/create`, without its networks, which are joined one by one afterwards."""
    ports = inputs.get("ports") or []
    return api.create_container_config(
        image=inputs["image"],
        command=inputs.get("command"),  # type: ignore[arg-type] # the stubs want one; the SDK does not
        entrypoint=inputs.get("entrypoints"),
        environment=inputs.get("envs"),
        user=inputs.get("user"),
        hostname=inputs.get("hostname"),
        working_dir=inputs.get("workingDir"),
        labels=labels_of(inputs),
        ports=[(port["internal"], port.get("protocol", "tcp")) for port in ports],
        stop_signal=inputs.get("stopSignal"),
        healthcheck=_healthcheck(inputs.get("healthcheck")),
        host_config=_host_config(api, inputs, ports),  # type: ignore[arg-type] # a dict, as made
        # Not in the SDK's own signature of old engines' API, and all engines since 1.25 take it.
        stop_timeout=inputs.get("stopTimeout"),
    )


def nanoseconds(text: str) -> int:
    """A Go duration, such as `500ms` or `1m30s`. Raises `PluginError` for what is none."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise PluginError(f"{text!r} is no duration such as 500ms, 30s or 1m30s")
    return sum(int(float(number) * NANOSECONDS[unit]) for number, unit in parts)


def _host_config(api: docker.APIClient, inputs: Properties, ports: list[dict[str, Any]]) -> dict[str, Any]:
    drops, adds = ((inputs.get("capabilities") or {}).get(key) for key in ("drops", "adds"))
    swap = inputs.get("memorySwap")
    config: dict[str, Any] = api.create_host_config(
        network_mode=inputs.get("networkMode", "bridge"),
        restart_policy={
            "Name": inputs.get("restart", "no"),
            "MaximumRetryCount": inputs.get("maxRetryCount", 0),
        },
        binds=[_bind(volume) for volume in inputs.get("volumes") or []],
        port_bindings={
            f"{port['internal']}/{port.get('protocol', 'tcp')}": (
                port.get("ip", EVERYWHERE),
                port.get("external"),
            )
            for port in ports
        },
        tmpfs=inputs.get("tmpfs"),
        privileged=bool(inputs.get("privileged")),
        read_only=bool(inputs.get("readOnly")),
        cap_drop=drops,
        cap_add=adds,
        security_opt=inputs.get("securityOpts"),
        ulimits=[
            Ulimit(**{key: item[key] for key in ("name", "soft", "hard")})
            for item in inputs.get("ulimits") or []
        ],
        log_config=LogConfig(type=inputs["logDriver"], config=inputs.get("logOpts") or {})
        if "logDriver" in inputs
        else None,
        mem_limit=inputs["memory"] * MEGA if inputs.get("memory") else None,
        memswap_limit=swap * MEGA if swap and swap > 0 else swap,
        cpu_shares=inputs.get("cpuShares"),
        cpuset_cpus=inputs.get("cpuSet"),
        nano_cpus=int(float(inputs["cpus"]) * 1_000_000_000) if inputs.get("cpus") else None,
        group_add=inputs.get("groupAdds"),
        runtime=inputs.get("runtime"),
        init=inputs.get("init"),
        sysctls=inputs.get("sysctls"),
    )
    return config


def _bind(volume: dict[str, Any]) -> str:
    source = volume.get("volumeName") or volume["hostPath"]
    return f"{source}:{volume['containerPath']}:{'ro' if volume.get('readOnly') else 'rw'}"


def _healthcheck(given: dict[str, Any] | None) -> Healthcheck | None:
    if given is None:
        return None
    return Healthcheck(
        test=given["tests"],
        interval=nanoseconds(given.get("interval", "0s")),
        timeout=nanoseconds(given.get("timeout", "0s")),
        start_period=nanoseconds(given.get("startPeriod", "0s")),
        retries=given.get("retries", 0),
    )
