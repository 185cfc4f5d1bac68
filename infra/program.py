"""The Pulumi program: settings, then the target, then what the stack tells about itself."""

from __future__ import annotations

import ipaddress

import pulumi

from infra.config import LOOPBACK, ROOT, Settings, read_settings
from infra.table import read_table
from infra.targets.docker import deploy
from infra.version import read_version


def program() -> None:
    """Declare everything of one stack. Raises `ConfigError` before anything is declared when a value is bad."""
    settings = read_settings()
    if settings.tls_certificate is None and not _is_loopback(settings.bind_address):
        pulumi.log.warn(
            f"vaporforge:bindAddress is {settings.bind_address} and vaporforge:tlsCertificate is not set: "
            "users' tokens travel in the clear unless a proxy in front of this stack speaks TLS"
        )
    if settings.engine_host and settings.bind_address in LOOPBACK:
        pulumi.log.warn(
            f"vaporforge:bindAddress is {settings.bind_address}, the loopback of {settings.engine_host}: nobody else "
            f"reaches it, unless by a tunnel (ssh -L {settings.port}:localhost:{settings.port})"
        )
    deployed = deploy(settings, ROOT)
    _export(settings, deployed.images, deployed.jwt_secret)


def _export(settings: Settings, images: dict[str, str], jwt_secret: pulumi.Output[str]) -> None:
    pulumi.export("url", settings.url if settings.running else "")
    pulumi.export("version", read_version(ROOT))
    pulumi.export("stackId", settings.stack_id)
    pulumi.export("images", images)
    pulumi.export("jwtAudience", settings.jwt_audience)
    pulumi.export("jwtSecret", jwt_secret)
    if settings.dynamodb == "aws":
        # What `aws dynamodb create-table --cli-input-json` takes.
        pulumi.export("tableDefinition", {"TableName": settings.dynamodb_table, **read_table(ROOT)})


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
