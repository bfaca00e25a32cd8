"""The signed policy that was taken last, in one file: put there by renaming, and verified whenever it is read."""

import base64
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agent.identity.files import write_private
from agent.update.slot_record import make_synced_folder
from contract.calibration.maps import NO_CALIBRATIONS, Calibrations, read_calibrations
from contract.errors import Busy, InvalidRequest, NotPossibleNow, Reason
from contract.learning_limits import LearningLimits
from contract.policy import Policy
from contract.policy_bundle import CALIBRATION_FILE, LEARNING_FILE, POLICY_FILE, RECOGNIZERS_FILE, check_policy_bundle
from contract.release import Index

_FILE = "signed.json"


@dataclass(frozen=True, slots=True)
class Kept:
    """A signed policy: TUF has verified the index, and the index the files.

    Args:
        index: of its files.
        files: by name.
        policy: read and checked.
    """

    index: Index
    files: Mapping[str, bytes]
    policy: Policy

    @property
    def name(self) -> str:
        """As in `policies/{policy}/versions/{version}`."""
        return f"policies/{self.index.model}/versions/{self.index.version}"

    @property
    def text(self) -> str:
        """The Cedar policies."""
        return self.files[POLICY_FILE].decode()

    @property
    def recognizers(self) -> bytes | None:
        """What is beside the policy; None: nothing."""
        return self.files.get(RECOGNIZERS_FILE)

    @property
    def calibrations(self) -> Calibrations:
        """What is beside the policy of how figures of models become probabilities."""
        content = self.files.get(CALIBRATION_FILE)
        return NO_CALIBRATIONS if content is None else read_calibrations(content)

    @property
    def learning(self) -> LearningLimits | None:
        """What is said beside the policy of the part in learning; None: nothing."""
        return LearningLimits.from_json(self.files[LEARNING_FILE]) if LEARNING_FILE in self.files else None


class KeptPolicy:
    """The place of the signed policy on the disk.

    Args:
        folder: made when something is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stamp(self) -> tuple[int, int, int]:
        """Returns what changes whenever another policy is kept, or the file is touched."""
        try:
            found = (self._folder / _FILE).stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_ino, found.st_mtime_ns, found.st_size)

    def read(self) -> Kept | None:
        """Returns what is kept; None: nothing was ever taken.

        Raises:
            InvalidRequest: POLICY_INVALID, it is damaged.
        """
        try:
            content = json.loads((self._folder / _FILE).read_bytes())
            index = Index.from_json(content["index"].encode())
            files = {name: base64.b64decode(text, validate=True) for name, text in content["files"].items()}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidRequest) as error:
            raise self._damaged(type(error).__name__) from error
        return self._verified(index, files)

    def keep(self, index: Index, files: Mapping[str, bytes]) -> Kept:
        """Puts a policy in the place of the one that is kept, once all of it has been checked.

        Raises:
            InvalidRequest: POLICY_INVALID, it may not be put in force; the one that is kept stays.
            NotPossibleNow: DISK_FULL.
        """
        kept = self._verified(index, files)
        encoded = {name: base64.b64encode(content).decode() for name, content in files.items()}
        try:
            make_synced_folder(self._folder)
            write_private(self._folder / _FILE, json.dumps({"index": index.to_json().decode(), "files": encoded}).encode())
        except OSError as error:
            raise self._unwritable(error) from error
        return kept

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other processes from taking a policy until the block ends.

        Raises:
            Busy: UPDATE_NOT_POSSIBLE, another one does.
            NotPossibleNow: DISK_FULL.
        """
        with self._lock_file() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                message = "A policy is being taken already, perhaps by the running agent: try again in a moment."
                raise Busy(Reason.UPDATE_NOT_POSSIBLE, message) from error
            yield

    def _lock_file(self) -> IO[bytes]:
        try:
            make_synced_folder(self._folder)
            return os.fdopen(os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600), "wb")
        except OSError as error:
            raise self._unwritable(error) from error

    def _verified(self, index: Index, files: Mapping[str, bytes]) -> Kept:
        wanted = {file.name: file.sha256 for file in index.files}
        if {name: hashlib.sha256(content).hexdigest() for name, content in files.items()} != wanted:
            raise self._damaged("a digest")
        return Kept(index, files, check_policy_bundle(files))

    def _damaged(self, what: str) -> InvalidRequest:
        message = f"The signed policy in {self._folder} is damaged ({what}): nothing is cached and nothing leaves until another is taken."
        return InvalidRequest(Reason.POLICY_INVALID, f"{message} Remove {_FILE}, then: seawall-agent policy update")

    def _unwritable(self, error: OSError) -> NotPossibleNow:
        message = f"The policy cannot be kept in {self._folder} ({error.strerror}): make room, or let it be written to."
        return NotPossibleNow(Reason.DISK_FULL, message)
