"""What the stand-in for an ALB is told of its listeners, as HAProxy's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ADMIN_PORT: Final = 9999

SLOTS: Final = 16
"""Most targets of a group, old ones that are leaving among them."""

_HEAD: Final = """
global
    log stdout format raw local0 info
    stats socket ipv4@0.0.0.0:{admin} level admin
    maxconn 4000
    # An ALB takes 64 KB of headers.
    tune.bufsize 81920
defaults
    mode http
    log global
    log-format "%ci %s %ST %B %Ta %tsc %HM %HP"
    option forwardfor
    option redispatch
    timeout connect 5s
    timeout check {check}s
    timeout client {idle}s
    timeout server {idle}s
    timeout tunnel {idle}s
"""

_LISTENER: Final = """
frontend listener-{port}
    bind :{port}
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Port {port}
    {action}
"""

_GROUP: Final = """
backend {name}
    balance leastconn
    option httpchk GET {path}
    http-check expect status {status}
    # A new target is healthy after one good answer, whatever the threshold of one that was not.
    default-server check inter {interval}s rise 1 fall {fall} init-addr none
    server-template target 1-{slots} 0.0.0.0:1 disabled
"""


def haproxy_config(
    listeners: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]], idle_seconds: int
) -> str:
    """Of DescribeListeners and of DescribeTargetGroups, by ELBv2's names. Listeners with TLS are not stood in for."""
    assert [item["Protocol"] for item in listeners if item["Protocol"] != "HTTP"] == []
    names = {group["TargetGroupArn"]: group["TargetGroupName"] for group in groups}
    check = max((group["HealthCheckTimeoutSeconds"] for group in groups), default=5)
    parts = [_HEAD.format(admin=ADMIN_PORT, idle=idle_seconds, check=check)]
    parts += [
        _LISTENER.format(port=item["Port"], action=_action(item["DefaultActions"][0], names))
        for item in listeners
    ]
    parts += [
        _GROUP.format(
            name=group["TargetGroupName"],
            path=group["HealthCheckPath"],
            status=group["Matcher"]["HttpCode"],
            interval=group["HealthCheckIntervalSeconds"],
            fall=group["UnhealthyThresholdCount"],
            slots=SLOTS,
        )
        for group in groups
    ]
    return "".join(parts)


def _action(action: Mapping[str, Any], names: Mapping[str, str]) -> str:
    if action["Type"] == "forward":
        return f"default_backend {names[action['TargetGroupArn']]}"
    answer = action["FixedResponseConfig"]
    return (
        f"http-request return status {answer['StatusCode']} content-type {answer['ContentType']} "
        f"string '{answer['MessageBody']}'"
    )
