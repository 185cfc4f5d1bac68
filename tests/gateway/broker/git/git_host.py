"""A git host for tests: git's own `http-backend` behind a small server with Basic auth."""

from __future__ import annotations

import asyncio
import os
import subprocess
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import web

TOKEN: Final = "ghp_TheUsersOwnTokenThatNoSandboxSees"

QUIET: Final = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "PATH": os.environ["PATH"],
    "LC_ALL": "C",
}


def run_git(folder: Path, *arguments: str, env: Mapping[str, str] = {}, check: bool = True) -> str:
    """What git prints, both streams. Raises `CalledProcessError` with it."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**QUIET, "HOME": str(folder), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        timeout=120,
    )
    if check and done.returncode:
        raise AssertionError(f"git {arguments}: {done.stdout}")
    return done.stdout


class GitHost:
    """Repositories below `folder`; those whose path begins with `public/` are read by all. `token`: what opens the
    others. Each request's head is kept."""

    def __init__(self, folder: Path, token: str = TOKEN) -> None:
        self.folder = folder
        self.token = token
        self.requests: list[web.BaseRequest] = []
        self._running: set[asyncio.subprocess.Process] = set()
        self.answer: web.StreamResponse | None = None
        """What is answered in place of git's own."""

    def make(self, name: str) -> Path:
        """A repository with one commit on `main`."""
        bare = self.folder / f"{name}.git"
        bare.parent.mkdir(parents=True, exist_ok=True)
        run_git(self.folder, "init", "-q", "--bare", "-b", "main", str(bare))
        run_git(bare, "config", "http.receivepack", "true")
        run_git(bare, "config", "uploadpack.allowFilter", "true")
        work = self.folder / "work" / name.replace("/", "-")
        work.mkdir(parents=True)
        run_git(work, "init", "-q", "-b", "main")
        (work / "README").write_text("hello\n")
        run_git(work, "add", ".")
        run_git(work, "commit", "-qm", "first")
        run_git(work, "push", "-q", str(bare), "main")
        return bare

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self.answer is not None:
            return self.answer
        public = request.path.startswith("/public/") and "receive-pack" not in request.path_qs
        wanted = "Basic " + b64encode(f"x-access-token:{self.token}".encode()).decode()
        if not public and request.headers.get("Authorization") != wanted:
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic realm=git"})
        return await self._backend(request)

    async def _backend(self, request: web.Request) -> web.StreamResponse:
        env = {
            **QUIET,
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "REMOTE_USER": "ada",
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        }
        process = await asyncio.create_subprocess_exec(
            "git", "http-backend", env=env, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._running.add(process)
        feeding = asyncio.create_task(_feed(request, process.stdin))
        try:
            return await self._answer(request, process.stdout)
        finally:
            feeding.cancel()
            await asyncio.wait([feeding])
            await self._end(process)

    async def close(self) -> None:
        """End what is left of requests that were broken off."""
        for process in tuple(self._running):
            await self._end(process)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        self._running.discard(process)

    async def _answer(self, request: web.Request, stdout: asyncio.StreamReader) -> web.StreamResponse:
        status, headers = 200, {}
        while line := (await stdout.readline()).strip():
            name, _, value = line.decode().partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers[name] = value
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        while chunk := await stdout.read(65536):
            await response.write(chunk)
        await response.write_eof()
        return response


async def _feed(request: web.Request, stdin: asyncio.StreamWriter) -> None:
    try:
        async for chunk in request.content.iter_any():
            stdin.write(chunk)
            await stdin.drain()
    except (OSError, web.RequestPayloadError):
        pass  # cut off: git sees an early end
    finally:
        stdin.close()
