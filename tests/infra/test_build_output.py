"""What of a build's output a person gets to read, and what the Dockerfiles give the builder to show."""

from __future__ import annotations

import re
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from infra.plugin import image
from infra.plugin.resource import PluginError
from tests.conftest import ROOT

BUNDLE = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ\nmJc=\n-----END CERTIFICATE-----\n"

OUTPUT = f"""\
#1 [internal] load build definition from Dockerfile
#1 sha256:50fedd2bca8aced9b6f84c946f69b67a9bbf4e5639642eac603adf62d7291701
#1 transferring dockerfile: 237B done
#1 DONE 0.0s
#3 [internal] load metadata for docker.io/library/vaporforge-base:bookworm
#4 [1/3] FROM docker.io/library/vaporforge-base:bookworm
#4 CACHED
#7 ...
#5 [2/3] RUN printf "{BUNDLE}"
#6 [3/3] RUN pip install
#6 0.322 no route to the index
#6 ERROR: exit code: 1
"""


def built(output: str, code: int) -> tuple[list[str], str]:
    """What is shown while an image is built by a CLI that writes this, and the error at its end."""
    told: list[str] = []
    log = SimpleNamespace(status=lambda _, text: told.append(text))
    context: Any = SimpleNamespace(log=log, urn="u", cancelled=threading.Event())
    command = ["sh", "-c", f"cat <<'END'\n{output}END\nexit {code}"]
    try:
        image._run(context, command, {"PATH": "/usr/bin:/bin"}, "dev/gateway:1", image.Shown([BUNDLE, "x"]))
    except PluginError as error:
        return told, str(error)
    return told, ""


def test_the_bundle_is_not_shown_and_the_rest_is() -> None:
    told, _ = built(OUTPUT, 0)
    assert not [line for line in told if "CERTIFICATE" in line or "MIIB" in line or "mJc=" in line]
    assert "#6 [3/3] RUN pip install" in told
    assert "#4 [1/3] FROM docker.io/library/vaporforge-base:bookworm" in told


def test_a_failure_names_the_image_that_was_to_be_built_and_no_other() -> None:
    _, error = built(OUTPUT, 1)
    assert error == (
        'building dev/gateway:1 failed:\n"\n#6 [3/3] RUN pip install\n#6 0.322 no route to the index\n'
        "#6 ERROR: exit code: 1"
    )


@pytest.mark.parametrize("path", ["gateway/Dockerfile", "container/Dockerfile", "infra/proxy/Dockerfile"])
def test_no_step_has_the_bundle_in_what_the_builder_shows_of_it(path: str) -> None:
    assert not re.search(r"\$\{?CA_CERTS", (ROOT / path).read_text(encoding="utf-8"))
