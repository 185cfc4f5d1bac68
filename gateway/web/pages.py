"""The page and its files, served from the gateway itself: known types only, revalidated by a hash of their content."""

from __future__ import annotations

import asyncio
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Final

from aiohttp import ETag, hdrs, web

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

_NOT_FOUND: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Not found · VaporForge</title>
<h1>Not found</h1><p>There is nothing here. <a href="/">Go to VaporForge</a>.</p></html>
"""


async def serve(request: web.Request) -> web.Response:
    """`GET /{file}`: a file under `static/`, `index.html` for `/`; 304 when the browser has it already."""
    found = await asyncio.to_thread(_load, request.match_info.get("file") or INDEX)
    if found is None:
        return web.Response(status=404, text=_NOT_FOUND, content_type="text/html")
    suffix, body, version = found
    tag = ETag(version, is_weak=True)
    known = any(have.value in (tag.value, "*") for have in request.if_none_match or ())
    response = web.Response(status=304) if known else web.Response(body=body)
    kind = CONTENT_TYPES[suffix]
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


def _load(name: str) -> tuple[str, bytes, str] | None:
    """Suffix, content and version of a file; the index's version is that of the whole page."""
    path = locate(STATIC, name)
    if path is None:
        return None
    body = path.read_bytes()
    if name != INDEX:
        return path.suffix, body, hashlib.sha256(body).hexdigest()[:32]
    version = build(STATIC)
    return path.suffix, body.replace(BUILD_MARK, BUILD_MARK.replace(b'""', f'"{version}"'.encode())), version
