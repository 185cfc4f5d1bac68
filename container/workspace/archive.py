"""A sandbox's folders as a gzipped tar: packed chunk by chunk, unpacked with nothing written outside of them."""

from __future__ import annotations

import gzip
import logging
import os
import stat
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Final, Protocol

from container.errors import BadRequest, PayloadTooLarge

log = logging.getLogger(__name__)

ENTRIES: Final = 2_000_000
"""Files and folders that an archive may unpack to."""

CHUNK_BYTES: Final = 256 * 1024
"""About the size of a packed chunk, and of one read of a file."""

WORK_BYTES: Final = 8 * 1024 * 1024
"""A chunk comes at least after this many bytes of content, however well they pack."""

LEVEL: Final = 1
"""Of gzip: a quarter of the default's time for a tenth more bytes."""

_END: Final = bytes(2 * tarfile.BLOCKSIZE)


class Readable(Protocol):
    """What an archive is read from."""

    def read(self, size: int = -1, /) -> bytes: ...


def pack(roots: Mapping[str, Path], skip: Collection[str]) -> Iterator[bytes]:
    """The folders, each under its name, without the paths in `skip` (`name/path`); chunks may be empty.

    Folders, files and symbolic links with their modes and times; a hard link becomes a file of its own. What cannot be
    read, sockets, pipes and devices are left out. A file that changes meanwhile is as it was found, cut or filled with
    zeros to the size it had.
    """
    press = zlib.compressobj(LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    held, done = bytearray(), 0
    for name, root in roots.items():
        for block in _tree(name, root, skip):
            held += press.compress(block)
            done += len(block)
            if len(held) >= CHUNK_BYTES or done >= WORK_BYTES:
                yield bytes(held)
                held, done = bytearray(), 0
    yield bytes(held) + press.compress(_END) + press.flush()


def _tree(name: str, root: Path, skip: Collection[str]) -> Iterator[bytes]:
    folders = [(name, root)]
    while folders:
        prefix, folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            log.warning("left out of the snapshot: %s: %s", prefix, error.strerror)
            continue
        for entry in found:
            path = f"{prefix}/{entry.name}"
            if path in skip:
                continue
            try:
                yield from _entry(path, entry)
            except OSError as error:
                log.warning("left out of the snapshot: %s: %s", path, error.strerror)
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append((path, Path(entry.path)))


def _entry(path: str, entry: os.DirEntry[str]) -> Iterator[bytes]:
    status = entry.stat(follow_symlinks=False)
    if stat.S_ISREG(status.st_mode):
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                yield _header(path, status, tarfile.REGTYPE, size=status.st_size)
                yield from _content(file, status.st_size)
    elif stat.S_ISDIR(status.st_mode):
        yield _header(path, status, tarfile.DIRTYPE)
    elif stat.S_ISLNK(status.st_mode):
        yield _header(path, status, tarfile.SYMTYPE, link=os.readlink(entry.path))  # noqa: PTH115 - the text itself


def _header(path: str, status: os.stat_result, kind: bytes, *, size: int = 0, link: str = "") -> bytes:
    info = tarfile.TarInfo(path)
    info.type, info.size, info.linkname = kind, size, link
    info.mode, info.mtime = status.st_mode & 0o777, status.st_mtime
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _content(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Exactly `size` bytes and what fills the last block: the header has said so already."""
    left = size
    while left:
        try:
            block = file.read(min(left, CHUNK_BYTES))
        except OSError:
            block = b""
        if not block:
            block = bytes(min(left, CHUNK_BYTES))
        left -= len(block)
        yield block
    yield bytes(-size % tarfile.BLOCKSIZE)


def unpack(source: Readable, roots: Mapping[str, Path], skip: Collection[str], *, limit: int) -> int:
    """Put an archive's entries into the folders (real paths) of their names; the bytes of content.

    Nothing is written through a link: symbolic links, which may point anywhere as a virtual environment's `python`
    does, are made last, and an entry whose path leads through one is refused. So are hard links, devices, pipes,
    sparse files (which `limit` would not bound), absolute paths and `..`. What is there already is replaced, entries
    in `skip` are left out.

    Raises BadRequest (damaged or hostile), PayloadTooLarge (more than `limit` bytes, or `ENTRIES`), OSError.
    """
    unpacking = _Unpacking(roots, skip)
    try:
        with gzip.GzipFile(fileobj=source, mode="rb") as plain:  # type: ignore[call-overload]
            counted = _Counted(plain, limit)
            with tarfile.open(fileobj=counted, mode="r|") as archive:  # type: ignore[call-overload]
                for info in archive:
                    unpacking.add(archive, info)
                    archive.members.clear()  # of a stream nothing is looked up again
            while counted.read(CHUNK_BYTES):  # the checksum is behind the last byte
                pass
    except (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError) as error:
        raise BadRequest(f"The snapshot is damaged: {error}.", field="body") from error
    unpacking.finish()
    return counted.count


class _Counted:
    """A reader that gives up behind `limit` bytes: what packs small may unpack without end."""

    def __init__(self, source: IO[bytes], limit: int) -> None:
        self._source = source
        self._limit = limit
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.count += len(data)
        if self.count > self._limit:
            raise PayloadTooLarge(f"The snapshot unpacks to more than {self._limit:,} bytes.", field="body")
        return data


@dataclass(slots=True)
class _Unpacking:
    roots: Mapping[str, Path]
    skip: Collection[str]
    links: dict[Path, tuple[Path, str]] = field(default_factory=dict)
    folders: dict[Path, tarfile.TarInfo] = field(default_factory=dict)
    checked: set[Path] = field(default_factory=set)
    """Folders that are no links; none can become one, as nothing replaces a folder."""
    count: int = 0

    def add(self, archive: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        self._count()
        parts = PurePosixPath(info.name).parts
        root = self.roots.get(parts[0]) if parts else None
        if root is None or len(parts) < 2 or ".." in parts or "\0" in info.name:
            raise _refused(info, "leads elsewhere")
        if any("/".join(parts[:end]) in self.skip for end in range(2, len(parts) + 1)):
            return
        path = root.joinpath(*parts[1:])
        if info.isdir():
            self._folder(root, path, info)
            self.folders[path] = info
        elif info.issparse():
            raise _refused(info, "has holes: its size is not what the snapshot holds of it")
        elif info.isreg():
            self._folder(root, path.parent, info)
            self._file(archive, info, path)
        elif info.issym():
            self._folder(root, path.parent, info)
            self.links[path] = (root, info.linkname)
        else:
            raise _refused(info, "is no folder, file or symbolic link")

    def _count(self) -> None:
        """One more entry, or folder that an entry is in."""
        self.count += 1
        if self.count > ENTRIES:
            raise PayloadTooLarge(f"The snapshot has more than {ENTRIES:,} files and folders.", field="body")

    def finish(self) -> None:
        """Make the links, then give the folders their modes and times, the deepest first."""
        for path, (_root, target) in self.links.items():
            self._clear(path, target)
            path.symlink_to(target)
        for path, info in sorted(self.folders.items(), reverse=True):
            path.chmod(info.mode & 0o777)
            os.utime(path, ns=_times(info))

    def _folder(self, root: Path, path: Path, info: tarfile.TarInfo) -> None:
        """Have `path` below `root` as a real folder."""
        if path in self.checked or path == root:
            return
        self._folder(root, path.parent, info)
        if path in self.links or path.is_symlink():
            raise _refused(info, "leads through a link")
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            if not path.is_dir():
                raise _refused(info, "leads through a file") from None
        else:
            self._count()
            path.chmod(0o700)
        self.checked.add(path)

    def _file(self, archive: tarfile.TarFile, info: tarfile.TarInfo, path: Path) -> None:
        self.links.pop(path, None)
        self._clear(path, info.name)
        source = archive.extractfile(info)
        assert source is not None  # noqa: S101 - it is a regular file
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            while block := source.read(CHUNK_BYTES):
                file.write(block)
            file.flush()
            os.fchmod(descriptor, info.mode & 0o777)
            os.utime(descriptor, ns=_times(info))

    @staticmethod
    def _clear(path: Path, name: str) -> None:
        if path.is_dir() and not path.is_symlink():
            raise BadRequest(f"The snapshot's {name} would replace a folder.", field="body")
        path.unlink(missing_ok=True)


def _times(info: tarfile.TarInfo) -> tuple[int, int]:
    """To the microsecond, which is what a float has of today's times."""
    nanoseconds = round(info.mtime * 1_000_000) * 1000
    return nanoseconds, nanoseconds


def _refused(info: tarfile.TarInfo, why: str) -> BadRequest:
    return BadRequest(f"The snapshot is refused: {info.name[:200]!r} {why}.", field="body")
