"""The folder in which the agent keeps its state, and the key that its store is sealed with."""

import fcntl
import os
import secrets
from pathlib import Path

from agent.identity.files import IdentityFolder, make_private, sync_folder, write_private
from contract.errors import NotPossibleNow, Reason

_KEY_BYTES = 32
_KEY_ADVICE = "if one of them may have copied the store as well, what was in it then can be read with this key"


class StateFolder:
    """The folder.

    Args:
        path: made with mode 0700 where it is missing.

    Raises:
        NotPossibleNow: CONFIG_INVALID, it cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if not path.is_dir():
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_folder(path.parent)
        except OSError as error:
            raise _unusable(path, error) from error
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise _unusable(path, PermissionError("no permission"))

    @property
    def database(self) -> Path:
        """The store's file."""
        return self.path / "agent.db"

    @property
    def slots(self) -> Path:
        """The folder of the model's slots."""
        return self.path / "models" / "slots"

    @property
    def update(self) -> Path:
        """The folder of updates that are under way, and of what is trusted."""
        return self.path / "update"

    @property
    def policies(self) -> Path:
        """The folder of the signed policy, and of what is trusted of it."""
        return self.path / "policies"

    @property
    def learning(self) -> Path:
        """The folder of the signed roster, and of what is trusted of it."""
        return self.path / "learning"

    @property
    def known_hub(self) -> Path:
        """The file of what the hub has said of itself."""
        return self.path / "hub.json"

    @property
    def identity(self) -> IdentityFolder:
        """The identity's folder."""
        return IdentityFolder(self.path / "identity")

    def data_key(self, given: Path | None = None) -> bytes:
        """Returns this device's key, 32 bytes, under which the store is sealed.

        Args:
            given: the file that the configuration names, which must be there; None: one in this folder, made at the first call.

        Raises:
            NotPossibleNow: CONFIG_INVALID, the file is damaged, or cannot be read or written.
        """
        file = given or self.path / "data.key"
        try:
            if given is None:
                if not file.exists():
                    write_private(file, secrets.token_bytes(_KEY_BYTES))
                make_private(file, _KEY_ADVICE)
            key = file.read_bytes()
        except OSError as error:
            if given is None:
                raise _unusable(self.path, error) from error
            raise NotPossibleNow(
                Reason.CONFIG_INVALID,
                f"The key {file} cannot be read ({error}): put it back, or run this as the agent's user while the agent runs.",
            ) from error
        if len(key) != _KEY_BYTES:
            raise NotPossibleNow(
                Reason.CONFIG_INVALID,
                f"{file} is damaged: put it back from its backup; without one remove it, and what was kept under it is lost.",
            )
        return key

    def lock(self) -> None:
        """Holds the folder for this process until it ends.

        Raises:
            NotPossibleNow: CONFIG_INVALID, another agent runs on it, or it cannot be written.
        """
        try:
            self._lock = (self.path / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NotPossibleNow(
                Reason.CONFIG_INVALID, f"Another seawall-agent runs on {self.path}: stop it, or give this one a state_folder of its own."
            ) from error
        except OSError as error:
            raise _unusable(self.path, error) from error


def _unusable(path: Path, error: OSError) -> NotPossibleNow:
    return NotPossibleNow(
        Reason.CONFIG_INVALID, f"The state folder {path} cannot be used ({error}): set state_folder in the configuration."
    )
