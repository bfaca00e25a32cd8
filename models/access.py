"""What opens signing keys: secrets from the environment or the terminal, and the library of a token."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import typer

PASSPHRASE_VARIABLE = "SEAWALL_PASSPHRASE"
PIN_VARIABLE = "SEAWALL_PIN"
MODULE_VARIABLE = "PYKCS11LIB"
"""As securesystemslib names it."""

AskSecret = Callable[[str], str]
"""Returns the secret of what the argument names."""


@dataclass(frozen=True, slots=True)
class Access:
    """What opens keys.

    Args:
        passphrase: of a file.
        pin: of a token, where the URI names no file for it.
        module_path: the library that speaks to a token, where the URI names none.
    """

    passphrase: AskSecret
    pin: AskSecret
    module_path: str = ""


def terminal_access() -> Access:
    """Returns the access of who runs a command."""
    return Access(
        lambda what: os.environ.get(PASSPHRASE_VARIABLE) or _ask(f"Passphrase of {what}"),
        cache(lambda what: os.environ.get(PIN_VARIABLE) or _ask(f"PIN of {what}")),  # a token may hold several keys
        os.environ.get(MODULE_VARIABLE, ""),
    )


def new_passphrase() -> str:
    """Returns the passphrase that new keys are encrypted with."""
    given = os.environ.get(PASSPHRASE_VARIABLE)
    return given or str(typer.prompt("Passphrase for the new keys", hide_input=True, confirmation_prompt=True, err=True))


def _ask(question: str) -> str:
    return str(typer.prompt(question, hide_input=True, err=True))
