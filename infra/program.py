"""The Pulumi program: settings, then the target, then what the stack tells about itself."""

from __future__ import annotations

import importlib
import ipaddress
from typing import TYPE_CHECKING

import pulumi

from infra.config import LOOPBACK, ROOT, Settings, read_settings
from infra.rules.check import check
from infra.rules.shape import has_tls
from infra.table import read_table
from infra.values import ConfigError
from infra.version import read_version

if TYPE_CHECKING:
    from infra.targets.common import Deployed


def program() -> None:
    """Declare everything of one stack. Raises `ConfigError` before anything is declared when a value is bad."""
    settings = read_settings()
    check(settings)
    _export(settings, _deploy_aws(settings) if settings.target == "aws" else _deploy_docker(settings))


def _deploy_docker(settings: Settings) -> Deployed:
    from infra.targets.docker import deploy

    if settings.tls_certificate is None and not _is_loopback(settings.bind_address):
        pulumi.log.warn(
            f"vaporforge:bindAddress is {settings.bind_address} and vaporforge:tlsCertificate is not set: "
            "users' tokens travel in the clear unless a proxy in front of this stack speaks TLS"
        )
    if settings.engine_host and settings.bind_address in LOOPBACK:
        pulumi.log.warn(
            f"vaporforge:bindAddress is {settings.bind_address}, the loopback of {settings.engine_host}: nobody else "
            f"reaches it, unless by a tunnel (ssh -L {settings.port}:{settings.bind_address}:{settings.port})"
        )
    return deploy(settings, ROOT)


def _deploy_aws(settings: Settings) -> Deployed:
    # 121 MB and one and a half seconds, which no other stack has to have.
    try:
        importlib.import_module("pulumi_aws")
    except ImportError:
        raise ConfigError(
            "vaporforge:target is aws, and pulumi-aws is not installed: run scripts/setup aws, "
            "or pip install -r infra/requirements-aws.txt"
        ) from None
    from infra.targets.aws import deploy

    if not has_tls(settings):
        pulumi.log.warn(
            "vaporforge:certificateArn and vaporforge:hostedZone are not set: users' tokens travel in the clear; "
            "set one of them for anything but a first look"
        )
    return deploy(settings, ROOT)


def _export(settings: Settings, deployed: Deployed) -> None:
    pulumi.export("url", deployed.url)
    pulumi.export("version", read_version(ROOT))
    pulumi.export("stackId", settings.stack_id)
    pulumi.export("target", settings.target)
    pulumi.export("instance", pulumi.Output.unsecret(deployed.instance))
    pulumi.export("images", deployed.images)
    pulumi.export("jwtAudience", settings.jwt_audience)
    pulumi.export("jwtSecret", deployed.jwt_secret)
    pulumi.export("credentialKey", deployed.credential_key)
    for name, value in deployed.more.items():
        pulumi.export(name, value)
    if settings.dynamodb == "aws" and settings.target == "docker":
        # What `aws dynamodb create-table --cli-input-json` takes.
        pulumi.export("tableDefinition", {"TableName": settings.dynamodb_table, **read_table(ROOT)})


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
