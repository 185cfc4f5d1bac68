"""Starts the plugin: `python -m tests.aws.plugin aws`, or docker, of which VF_TEST_IMAGES is `unbuilt` or `local`."""

from __future__ import annotations

import os
import sys

from infra.plugin.serve import serve
from tests.aws.plugin.images import LocalImageType, UnbuiltImageType, package
from tests.aws.plugin.types import AWS


def main() -> None:
    """See `serve`."""
    if sys.argv[1] == "aws":
        serve(AWS, sys.argv[2:])
    else:
        image = {"unbuilt": UnbuiltImageType, "local": LocalImageType}[os.environ["VF_TEST_IMAGES"]]
        serve(package(image()), sys.argv[2:])


if __name__ == "__main__":
    main()
