"""Static files: types, revalidation, and that nothing outside of the folder can be had."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from gateway.web import pages
from gateway.web.pages import locate
from gateway.web.request import middleware

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Client = TestClient[web.Request, web.Application]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "static"
    (root / "vendor").mkdir(parents=True)
    (root / "index.html").write_text("<!doctype html><p>héllo</p>")
    (root / "boot.js").write_text("start();\n")
    (root / "client.js").write_text("export const a = 1;\n" * 200)
    (root / "vendor" / "lib.js").write_text("export const b = 2;\n")
    (root / "page.py").write_text("secret")
    (root / ".hidden.js").write_text("secret")
    (tmp_path / "outside.js").write_text("secret")
    (root / "link.js").symlink_to(tmp_path / "outside.js")
    monkeypatch.setattr(pages, "STATIC", root)
    return root


@pytest_asyncio.fixture
async def client(root: Path) -> AsyncIterator[Client]:
    app = web.Application()
    app.router.add_get("/{file:.*}", pages.serve)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_the_page_is_at_the_root(client: Client) -> None:
    response = await client.get("/")
    assert (response.status, response.content_type, response.charset) == (200, "text/html", "utf-8")
    assert "héllo" in await response.text()
    assert response.headers["Cache-Control"] == "no-cache"


async def test_what_loads_lost_files_again_comes_within_the_page(root: Path) -> None:
    (root / "index.html").write_text('<!doctype html><script src="boot.js"></script><p>')
    app = web.Application()
    app.router.add_get("/{file:.*}", pages.serve)
    app.on_response_prepare.append(middleware.add_headers)
    script = f"'sha256-{base64.b64encode(hashlib.sha256(b'start();' + bytes([10])).digest()).decode()}'"
    own = middleware.CONTENT_SECURITY_POLICY
    async with TestClient(TestServer(app)) as client:
        whole = await client.get("/")
        assert await whole.text() == "<!doctype html><script>start();\n</script><p>"
        same = await client.get("/", headers={"If-None-Match": whole.headers["ETag"]})
        assert same.status == 304
        for response in (whole, same):
            policy = response.headers["Content-Security-Policy"]
            assert policy == own.replace("script-src 'self'", f"script-src 'self' {script}")
        (root / "boot.js").write_text("other();\n")
        other = await client.get("/", headers={"If-None-Match": whole.headers["ETag"]})
        assert other.status == 200
        assert script not in other.headers["Content-Security-Policy"]
        assert (await client.get("/boot.js")).headers["Content-Security-Policy"] == own


async def test_modules_are_javascript(client: Client) -> None:
    for path in ("/client.js", "/vendor/lib.js"):
        response = await client.get(path)
        assert (response.status, response.content_type) == (200, "text/javascript")


async def test_text_is_compressed_for_who_can_read_it(client: Client) -> None:
    response = await client.get("/client.js", headers={"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "gzip"
    assert await response.text() == "export const a = 1;\n" * 200


async def test_a_file_is_sent_again_only_when_it_changed(client: Client, root: Path) -> None:
    tag = (await client.get("/client.js")).headers["ETag"]
    again = await client.get("/client.js", headers={"If-None-Match": tag})
    assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", tag)
    (root / "client.js").write_text("export const a = 2;\n" * 200)  # the same size
    changed = await client.get("/client.js", headers={"If-None-Match": tag})
    assert changed.status == 200
    assert "a = 2" in await changed.text()


async def test_head_has_no_body(client: Client) -> None:
    response = await client.head("/client.js")
    assert (response.status, await response.read()) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/nothing.js",
        "/vendor",
        "/vendor/",
        "/page.py",
        "/.hidden.js",
        "/link.js",
        "/%2e%2e/outside.js",
        "/..%2foutside.js",
        "/vendor/..%2f..%2foutside.js",
        "/vendor%5c..%5c..%5coutside.js",
        "/client.js%00.html",
        "//client.js",
        "/vendor//lib.js",
    ],
)
async def test_what_is_not_a_file_of_the_page_is_not_found(client: Client, path: str) -> None:
    # Encoded already: yarl would tidy up the path before it is sent.
    url = URL(f"{str(client.make_url('/')).rstrip('/')}{path}", encoded=True)
    response = await client.session.get(url)
    assert (response.status, response.content_type) == (404, "text/html")
    text = await response.text()
    assert "secret" not in text
    up = "../" * (path.count("/") - 1) or "./"  # relative: the page may be under any path
    assert f'href="{up}"' in text


@pytest.mark.parametrize("name", ["../outside.js", "vendor/../../outside.js", "/etc/hosts.txt", "", "x\0.js"])
def test_names_that_lead_outside_have_no_file(root: Path, name: str) -> None:
    assert locate(root, name) is None


def test_every_file_of_the_page_itself_can_be_served() -> None:
    names = [path.relative_to(pages.STATIC) for path in pages.STATIC.rglob("*") if path.is_file()]
    own = [name for name in names if name.parts[0] != "vendor" and not name.name.startswith(".")]
    assert len({name.parent for name in own}) > 1
    assert all(locate(pages.STATIC, name.as_posix()) == pages.STATIC / name for name in own)
