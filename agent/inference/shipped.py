"""Small networks that come with the agent: compared with the digests beside them before they run.

They run on one thread that never spins, so that they take nothing from the decoder but a core for some milliseconds.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
from tokenizers import Tokenizer

from contract.errors import InvalidRequest, Reason, Unavailable

DIGESTS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Shipped:
    """The files of one network, and what is said where they are not as they came.

    Args:
        name: of the part that they belong to.
        without: what the agent does without them.
        files: all of them but the digests.
        unavailable: the reason where one cannot be read.
        invalid: the reason where one is another.
    """

    name: str
    without: str
    files: tuple[str, ...]
    unavailable: Reason
    invalid: Reason

    def verify(self, folder: Path) -> dict[str, str]:
        """Returns the SHA-256 of each file, by its name; all are as they came.

        Args:
            folder: of the files.

        Raises:
            Unavailable: one cannot be read.
            InvalidRequest: one is another.
        """
        try:
            lines = [line.split() for line in (folder / DIGESTS).read_text("ascii").splitlines()]
            sums = {name: digest for digest, name in lines}
            found = {name: _digest(folder / name) for name in self.files}
        except (OSError, ValueError) as error:
            why = f"The {self.name}'s weights in {folder} cannot be read: {self.without}. Install seawall-agent anew."
            raise Unavailable(self.unavailable, why) from error
        for name, digest in found.items():
            if digest != sums.get(name):
                why = f"The {self.name}'s {name} in {folder} is damaged: {self.without}. Install seawall-agent anew."
                raise InvalidRequest(self.invalid, why)
        return found


def open_network(path: Path) -> onnxruntime.InferenceSession:
    """Opens a graph that was verified. Who could change the file in between could change the code."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # prompts are of all lengths: what is kept for one fits no other
    # From its path: ONNX Runtime keeps a copy of what it is given as bytes.
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def open_tokenizer(path: Path) -> Tokenizer:
    """Opens a tokenizer that was verified, which cuts nothing off and fills nothing up."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
