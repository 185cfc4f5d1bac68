"""The stand-in for Pulumi's docker plugin: the types of pulumi-docker that we use."""

from __future__ import annotations

from typing import Final

from infra.plugin.container import ContainerType
from infra.plugin.image import ImageType
from infra.plugin.network import NetworkType
from infra.plugin.package import Package
from infra.plugin.remote_image import RemoteImageType
from infra.plugin.volume import VolumeType

VERSION: Final = "5.2.0"
"""The version of the official plugin whose behaviour this one has for the types below (pulumi-docker in pyproject)."""

STAND_IN: Final = Package(
    name="docker",
    version=VERSION,
    types={
        "docker:index/container:Container": ContainerType(),
        "docker:index/image:Image": ImageType(),
        "docker:index/network:Network": NetworkType(),
        "docker:index/remoteImage:RemoteImage": RemoteImageType(),
        "docker:index/volume:Volume": VolumeType(),
    },
    who="this stand-in plugin",
    remedy=f"the official docker plugin does (pulumi plugin install resource docker {VERSION})",
    configured=frozenset({"host", "version"}),
)
