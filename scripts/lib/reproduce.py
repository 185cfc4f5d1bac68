"""`scripts/reproduce`: builds every image of a stack twice without a cache, and says what differs between the two."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import docker

from infra.content import EPOCH
from infra.plugin.settled import settle_image
from scripts.lib.image_diff import alike, differences, read_image

ROOT = Path(__file__).resolve().parents[2]

IMAGES = {
    "gateway": (".", "gateway/Dockerfile"),
    "agent": ("container", "container/Dockerfile"),
    "proxy": ("infra/proxy", "infra/proxy/Dockerfile"),
    "egress": ("infra/egress", "infra/egress/Dockerfile"),
}
"""Context and Dockerfile by part, as infra/images.py has them."""

COPIED = ("gateway", "container", "infra/proxy", "infra/egress", ".dockerignore")
SHOWN = 20

SAME, DIFFERENT, BUT_TIMES = 0, 1, 3


def main() -> int:
    """0: two builds give one id; 3: they do but for the times that the builder writes into the image's description;
    1: they differ otherwise. The worst of all images."""
    options = argparse.ArgumentParser(prog="scripts/reproduce", description=main.__doc__)
    options.add_argument("--base", required=True, help="the image to build on")
    options.add_argument("--ca-certs", default="", help="a file of further certificate authorities")
    options.add_argument("--claude", action="store_true", help="the agent's image with the claude agent")
    options.add_argument(
        "--as-built", action="store_true", help="as the builder leaves them, also where that tells the time"
    )
    options.add_argument(
        "part", nargs="*", choices=[[], *IMAGES], help="gateway, agent, proxy or egress; all"
    )
    chosen = options.parse_args()
    arguments = {
        "BASE": chosen.base,
        "CA_CERTS": Path(chosen.ca_certs).read_text(encoding="utf-8") if chosen.ca_certs else "",
        "REQUIREMENTS": "requirements-claude.txt" if chosen.claude else "requirements.txt",
        "SOURCE_DATE_EPOCH": EPOCH,
    }
    worst = SAME
    with tempfile.TemporaryDirectory(prefix="vaporforge-reproduce-") as name:
        elsewhere = Path(name) / "clone"
        _copy(elsewhere)
        for part in chosen.part or IMAGES:
            status = _twice(part, elsewhere, arguments, Path(name), settled=not chosen.as_built)
            worst = max(worst, status, key=(SAME, BUT_TIMES, DIFFERENT).index)
    return worst


def _copy(place: Path) -> None:
    """What is built of, as in another clone: with other times."""
    for name in COPIED:
        source, target = ROOT / name, place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "node_modules")
            shutil.copytree(source, target, ignore=ignored, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(source, target)


def _twice(part: str, elsewhere: Path, arguments: dict[str, str], folder: Path, *, settled: bool) -> int:
    images = []
    for number, root in enumerate((ROOT, elsewhere), 1):
        tag = f"vaporforge-reproduce/{part}:{number}"
        _build(tag, root, part, arguments)
        if settled:
            api = docker.APIClient(**docker.utils.kwargs_from_env())
            settle_image(api, tag)
            api.close()
        archive = folder / "image.tar"
        try:
            subprocess.run(["docker", "save", "--output", str(archive), tag], check=True)
            images.append(read_image(archive))
        finally:
            archive.unlink(missing_ok=True)
            subprocess.run(["docker", "image", "rm", tag], check=True, stdout=subprocess.DEVNULL)
    first, second = images
    if first.id == second.id:
        _say(f"{part}: one id, {first.id}")
        return SAME
    found = differences(first, second)
    if alike(first, second):
        _say(f"{part}: the same files and settings; two ids, for the builder writes into them when it built")
    else:
        _say(f"{part}: {len(found)} differences: {first.id} and {second.id}")
    for line in found[:SHOWN]:
        _say(f"  {line}")
    if len(found) > SHOWN:
        _say(f"  and {len(found) - SHOWN} more")
    return BUT_TIMES if alike(first, second) else DIFFERENT


def _build(tag: str, root: Path, part: str, arguments: dict[str, str]) -> None:
    context, dockerfile = IMAGES[part]
    proxies = [name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "no_proxy")]
    # A name without a value has the CLI take it from its environment: a long one would not fit its command line.
    given = [word for name in (*arguments, *proxies) for word in ("--build-arg", name)]
    command = [
        "docker",
        "build",
        "--quiet",
        "--no-cache",
        "--tag",
        tag,
        "--file",
        str(root / dockerfile),
        *given,
    ]
    subprocess.run(
        [*command, str(root / context)],
        env={**os.environ, **arguments, "DOCKER_BUILDKIT": "1"},
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
