"""A disk that forgets what was not synced, as a power cut makes real ones do. In memory; `forgetful_filesystem` mounts it.

- A file's bytes are durable once the file was synced; what was written since is dropped, or a random part of it is kept, page by page.
- A folder's entries are durable once the folder was synced; of what was done to it since, a random beginning is kept. That a file was
  synced makes no name durable.
"""

import errno
from dataclasses import dataclass, field
from random import Random

PAGE_BYTES = 4096


@dataclass
class File:
    """A file: its bytes now, those that are durable, and how the first came of the second."""

    mode: int = 0o600
    content: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    unsynced: list[tuple[int, bytes | None]] = field(default_factory=list)
    """An offset and what was written there, at most a page; or a new length and None."""


@dataclass
class Folder:
    """A folder: its entries now, those that are durable, and how the first came of the second."""

    mode: int = 0o700
    entries: dict[str, "File | Folder"] = field(default_factory=dict)
    durable: dict[str, "File | Folder"] = field(default_factory=dict)
    unsynced: list[dict[str, "File | Folder | None"]] = field(default_factory=list)


Node = File | Folder


def error(number: int) -> OSError:
    return OSError(number, errno.errorcode[number])


class ForgetfulDisk:
    """The disk.

    Args:
        random: chooses what a power cut keeps; None: nothing that was not synced.
    """

    def __init__(self, random: Random | None = None) -> None:
        self.root = Folder()
        self.is_full = False
        self.is_read_only = False
        self.cuts_after: int | None = None
        """How many more changes and syncs it takes before the power is cut."""
        self.is_cut = False
        self.changes = 0
        self._random = random

    def look_up(self, path: str) -> Node:
        self._alive()
        node: Node = self.root
        for part in [part for part in path.split("/") if part]:
            if not isinstance(node, Folder):
                raise error(errno.ENOTDIR)
            if part not in node.entries:
                raise error(errno.ENOENT)
            node = node.entries[part]
        return node

    def file(self, path: str) -> File:
        node = self.look_up(path)
        if not isinstance(node, File):
            raise error(errno.EISDIR)
        return node

    def folder(self, path: str) -> Folder:
        node = self.look_up(path)
        if not isinstance(node, Folder):
            raise error(errno.ENOTDIR)
        return node

    def add(self, path: str, node: Node) -> None:
        self._change(needs_room=True)
        folder, name = self._parent(path)
        if name in folder.entries:
            raise error(errno.EEXIST)
        _enter(folder, {name: node})

    def remove(self, path: str, kind: type[Node]) -> None:
        self._change()
        folder, name = self._parent(path)
        node = self.look_up(path)
        if not isinstance(node, kind):
            raise error(errno.EISDIR if kind is File else errno.ENOTDIR)
        if isinstance(node, Folder) and node.entries:
            raise error(errno.ENOTEMPTY)
        _enter(folder, {name: None})

    def rename(self, old: str, new: str) -> None:
        self._change()
        (source, old_name), (target, new_name) = self._parent(old), self._parent(new)
        node = self.look_up(old)
        if source is target:
            _enter(source, {old_name: None, new_name: node})
        else:
            _enter(target, {new_name: node})
            _enter(source, {old_name: None})

    def write(self, file: File, data: bytes, offset: int) -> int:
        self._change(needs_room=True)
        _put(file.content, data, offset)
        end = offset + len(data)
        while offset < end:
            length = min(end - offset, PAGE_BYTES - offset % PAGE_BYTES)
            file.unsynced.append((offset, bytes(file.content[offset : offset + length])))
            offset += length
        return len(data)

    def truncate(self, file: File, length: int) -> None:
        self._change()
        _cut_to(file.content, length)
        file.unsynced.append((length, None))

    def sync(self, node: Node) -> None:
        self._change()
        if isinstance(node, File):
            node.durable = bytes(node.content)
        else:
            node.durable = dict(node.entries)
        node.unsynced.clear()

    def cut_power(self) -> None:
        """Forgets; nothing can be done with the disk until `restore_power`."""
        self.is_cut = True
        self._forget(self.root)

    def restore_power(self) -> None:
        self.is_cut, self.cuts_after = False, None

    def size_bytes(self) -> int:
        return _size_bytes(self.root)

    def _forget(self, node: Node) -> None:
        if isinstance(node, File):
            content = bytearray(node.durable)
            for offset, data in node.unsynced:
                if self._random is not None and self._random.random() < 0.5:
                    if data is None:
                        _cut_to(content, offset)
                    else:
                        _put(content, data, offset)
            node.content, node.durable = content, bytes(content)
        else:
            kept = self._random.randint(0, len(node.unsynced)) if self._random is not None else 0
            node.entries = dict(node.durable)
            for change in node.unsynced[:kept]:
                _apply(node.entries, change)
            node.durable = dict(node.entries)
            for child in node.entries.values():
                self._forget(child)
        node.unsynced.clear()

    def _parent(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rpartition("/")
        return self.folder(above), name

    def _alive(self) -> None:
        if self.is_cut:
            raise error(errno.EIO)

    def _change(self, needs_room: bool = False) -> None:
        self._alive()
        if self.is_read_only:
            raise error(errno.EROFS)
        if needs_room and self.is_full:
            raise error(errno.ENOSPC)
        self.changes += 1
        if self.cuts_after is not None:
            self.cuts_after -= 1
            if self.cuts_after < 0:
                self.cut_power()
                raise error(errno.EIO)


def _enter(folder: Folder, change: dict[str, Node | None]) -> None:
    _apply(folder.entries, change)
    folder.unsynced.append(change)


def _apply(entries: dict[str, Node], change: dict[str, Node | None]) -> None:
    for name, node in change.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


def _put(content: bytearray, data: bytes, offset: int) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _cut_to(content: bytearray, length: int) -> None:
    del content[length:]
    content.extend(bytes(length - len(content)))


def _size_bytes(node: Node) -> int:
    return len(node.content) if isinstance(node, File) else sum(_size_bytes(child) for child in node.entries.values())
