"""Reads what qemu's blklogwrites recorded of a disk: the format of the Linux kernel's dm-log-writes.

A super block, then for each request a sector with its entry, followed by the data of a write. Integers are little-endian.
"""

import random
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAGIC = 0x6A736677736872
SUPER = struct.Struct("<QQQI")  # magic, version, number of entries, sector size
ENTRY = struct.Struct("<QQQQ")  # first sector, number of sectors, flags, length of the data that follows
FLUSH, FUA, DISCARD = 1, 2, 4


@dataclass(frozen=True)
class Request:
    offset: int  # bytes, on the disk
    length: int  # bytes
    flags: int
    data_at: int  # where a write's data lies in the log

    @property
    def is_flush(self) -> bool:
        return bool(self.flags & FLUSH)

    @property
    def is_discard(self) -> bool:
        return bool(self.flags & DISCARD)


def read_log(path: Path) -> Iterator[Request]:
    """The requests in the order in which they were completed."""
    with path.open("rb") as log:
        magic, version, entries, sector_size = SUPER.unpack(log.read(SUPER.size))
        if magic != MAGIC or version != 1:
            raise ValueError(f"{path} is not a log of blklogwrites (magic {magic:#x}, version {version})")
        position = sector_size
        for _ in range(entries):
            log.seek(position)
            sector, sectors, flags, _ = ENTRY.unpack(log.read(ENTRY.size))
            request = Request(sector * sector_size, sectors * sector_size, flags, position + sector_size)
            yield request
            position += sector_size
            if not request.is_discard:
                position += request.length


def flushes(log: Path) -> int:
    """How many there are so far."""
    return sum(request.is_flush for request in read_log(log))


class Replay:
    """A disk's file that requests are applied to."""

    def __init__(self, log: Path, disk: Path):
        self.log = log.open("rb")
        self.disk = disk.open("r+b", buffering=0)

    def apply(self, request: Request) -> None:
        if request.length == 0:
            return
        self.disk.seek(request.offset)
        if request.is_discard:
            self.disk.write(bytes(request.length))
        else:
            self.log.seek(request.data_at)
            self.disk.write(self.log.read(request.length))

    def __enter__(self) -> "Replay":
        return self

    def __exit__(self, *_) -> None:
        self.log.close()
        self.disk.close()


def make_blank(disk: Path, size: int) -> Path:
    with disk.open("wb") as file:
        file.truncate(size)
    return disk


def power_cuts(log: Path, disk: Path, size: int, seed: int = 1) -> Iterator[tuple[int, Path, str]]:
    """The disk as a power cut may leave it: after each flush; and before each, where of the writes since the last one
    either the first so many are there, or any of them. Yields the flush's number, the disk, and how it came about."""
    chance = random.Random(seed)
    pending: list[Request] = []
    number = 0
    between = disk.with_name(f"{disk.name}-between")
    with Replay(log, make_blank(disk, size)) as replay:
        for request in read_log(log):
            if not request.is_flush:
                pending.append(request)
                continue
            number += 1
            if pending:
                kept = pending[: chance.randrange(len(pending))] if number % 2 else [one for one in pending if chance.random() < 0.5]
                subprocess.run(["cp", "--sparse=always", disk, between], check=True)
                with Replay(log, between) as partly:
                    for one in kept:
                        partly.apply(one)
                yield number, between, f"before, {len(kept)} of {len(pending)} writes there"
                for one in pending:
                    replay.apply(one)
                pending = []
                yield number, disk, "after"
