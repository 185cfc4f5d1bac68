"""The page and its files, served from the gateway itself: known types only, revalidated by a hash of their content.

`boot.js` is served within the index: what loads lost files again must not be lost itself.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import ETag, hdrs, web

from gateway.web.request.middleware import CONTENT_SECURITY_POLICY, POLICY
from gateway.web.request.paths import inner_path, is_api

STATIC: Final = Path(__file__).parent.parent / "static"

CONTENT_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain",
}
"""What is served, and as what; a file with another suffix does not exist for a browser."""

INDEX: Final = "index.html"

BUILD_MARK: Final = b'<meta name="build" content="">'
"""Where `index.html` takes the name of the build that it belongs to; the page compares it with the index's ETag."""

BOOT: Final = "boot.js"
BOOT_MARK: Final = b'<script src="boot.js"></script>'
"""Where `index.html` takes the text of `boot.js`, for the policy names its hash: nothing else inline may run."""


class Found(NamedTuple):
    """A file: its suffix, its content and that content's version; `script`: the hash of what runs within it."""

    suffix: str
    body: bytes
    version: str
    script: str = ""


_NOT_FOUND: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Not found · VaporForge</title>
<h1>Not found</h1><p>There is nothing here. <a href="{home}">Go to VaporForge</a>.</p></html>
"""


async def serve(request: web.Request) -> web.Response:
    """`GET /{file}`: a file under `static/`, `index.html` for `/`; 304 when the browser has it already."""
    if is_api(request):  # under a path of its own
        raise web.HTTPNotFound
    found = await asyncio.to_thread(_load, request.match_info.get("file") or INDEX)
    if found is None:
        return _nothing(request)
    tag = ETag(found.version, is_weak=True)
    known = any(have.value in (tag.value, "*") for have in request.if_none_match or ())
    response = web.Response(status=304) if known else web.Response(body=found.body)
    if found.script:
        policy = CONTENT_SECURITY_POLICY.replace("script-src 'self'", f"script-src 'self' '{found.script}'")
        response.headers[POLICY] = policy
    kind = CONTENT_TYPES[found.suffix]
    compressed = kind.startswith(("text/", "application/"))
    if not known:
        response.content_type = kind
        if compressed:
            response.charset = "utf-8"
            response.enable_compression()
    if compressed:
        response.headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
    response.etag = tag
    response.headers[hdrs.CACHE_CONTROL] = "no-cache"
    return response


def _nothing(request: web.Request) -> web.Response:
    """The way home is relative: what is before the gateway's own path may have been taken away on the way here."""
    base = request.path.removesuffix(inner_path(request))
    depth = request.rel_url.raw_path.count("/") - base.count("/") - 1
    text = _NOT_FOUND.format(home="../" * depth or "./")
    return web.Response(status=404, text=text, content_type="text/html")


def locate(root: Path, name: str) -> Path | None:
    """The file `name` under `root`; None when there is none, it is hidden, of no known type, or outside of `root`."""
    parts = name.split("/")
    if any(part in ("", "..") or part.startswith(".") or "\0" in part or "\\" in part for part in parts):
        return None
    path = root.joinpath(*parts)
    try:
        if path.suffix not in CONTENT_TYPES or not path.is_file():
            return None
        return path if path.resolve().is_relative_to(root.resolve()) else None
    except (OSError, ValueError):  # a name that no file can have: too long, half a surrogate pair
        return None


def build(root: Path) -> str:
    """The name of the build: a hash of all files that are served, their names and their content, 32 hex digits."""
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))
    files = [path for name in names if (path := locate(root, name))]
    stamps = ((path, (stat := path.stat()).st_mtime_ns, stat.st_size) for path in files)
    return _hash_of(root, tuple(stamps))


@lru_cache(maxsize=1)
def _hash_of(root: Path, stamps: tuple[tuple[Path, int, int], ...]) -> str:
    whole = hashlib.sha256()
    for path, _, _ in stamps:
        body = path.read_bytes()
        whole.update(f"{path.relative_to(root).as_posix()}\0{len(body)}\0".encode() + body)
    return whole.hexdigest()[:32]


def _load(name: str) -> Found | None:
    """A file; the index's version is that of the whole page."""
    path = locate(STATIC, name)
    if path is None:
        return None
    body = path.read_bytes()
    if name != INDEX:
        return Found(path.suffix, body, hashlib.sha256(body).hexdigest()[:32])
    version = build(STATIC)
    body = body.replace(BUILD_MARK, BUILD_MARK.replace(b'""', f'"{version}"'.encode()))
    if BOOT_MARK not in body:
        return Found(path.suffix, body, version)
    boot = (STATIC / BOOT).read_bytes()
    script = f"sha256-{base64.b64encode(hashlib.sha256(boot).digest()).decode()}"
    return Found(path.suffix, body.replace(BOOT_MARK, b"<script>%s</script>" % boot), version, script)
