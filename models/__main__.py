"""`seawall-models`: builds, fetches, lists and measures models."""

import signal
import sys

from contract.errors import Conflict, InvalidRequest, NotFound, SeawallError

WRONG_INPUT = 2
FAILED = 1

_EXTRAS = (
    "Install seawall[build] to build by name, seawall[models] for --hub-id, seawall[detector] to train the detector, "
    "seawall[hsm] for keys on a token, "
    "seawall[tour] to compare with llama.cpp."
)


def main() -> None:
    """Runs the command line; an error is one line on standard error, and 2 (mend the input) or 1 as the exit status."""
    # Ended from outside, the work takes its temporary files with it, as it does after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from models.commands import app  # behind the handlers: its imports are what a lean installation lacks

        app(prog_name="seawall-models")
    except ModuleNotFoundError as error:
        _end(f"{error.name} is not installed. {_EXTRAS}", WRONG_INPUT)
    except SeawallError as error:
        _end(error.message, WRONG_INPUT if isinstance(error, InvalidRequest | NotFound | Conflict) else FAILED)
    except OSError as error:
        _end(f"{error.strerror or error}: {error.filename or 'while reading or writing'}.", FAILED)


def _end(message: str, status: int) -> None:
    sys.stderr.write(f"error: {message}\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
