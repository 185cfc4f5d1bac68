"""The page and its files, served from the gateway itself: known types only, revalidated by a hash of their content."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Final

from aiohttp import ETag, hdrs, web

STATIC: Final = Path(__file__).parent / "static"

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

_NOT_FOUND: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Not found · VaporForge</title>
<h1>Not found</h1><p>There is nothing here. <a href="/">Go to VaporForge</a>.</p></html>
"""


async def serve(request: web.Request) -> web.Response:
    """`GET /{file}`: a file under `static/`, `index.html` for `/`; 304 when the browser has it already."""
    found = await asyncio.to_thread(_load, request.match_info.get("file") or "index.html")
    if found is None:
        return web.Response(status=404, text=_NOT_FOUND, content_type="text/html")
    suffix, body = found
    tag = ETag(hashlib.sha256(body).hexdigest()[:32], is_weak=True)
    known = any(have.value in (tag.value, "*") for have in request.if_none_match or ())
    response = web.Response(status=304) if known else web.Response(body=body)
    if not known:
        response.content_type = CONTENT_TYPES[suffix]
        if response.content_type.startswith(("text/", "application/")):
            response.charset = "utf-8"
            response.enable_compression()
    response.etag = tag
    response.headers[hdrs.CACHE_CONTROL] = "no-cache"
    return response


def locate(root: Path, name: str) -> Path | None:
    """The file `name` under `root`; None when there is none, it is hidden, of no known type, or outside of `root`."""
    parts = name.split("/")
    if any(part in ("", "..") or part.startswith(".") or "\0" in part or "\\" in part for part in parts):
        return None
    path = root.joinpath(*parts)
    if path.suffix not in CONTENT_TYPES or not path.is_file():
        return None
    return path if path.resolve().is_relative_to(root.resolve()) else None


def _load(name: str) -> tuple[str, bytes] | None:
    path = locate(STATIC, name)
    return None if path is None else (path.suffix, path.read_bytes())
