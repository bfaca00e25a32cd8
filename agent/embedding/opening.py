"""Loads the embedder, or says why it cannot be."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.embedding.embedder import Embedder
from contract.errors import SeawallError


@dataclass(frozen=True, slots=True)
class Opened:
    """The embedder, or why there is none.

    Args:
        embedder: None: it cannot be used.
        problem: why, with what to do; empty where it can.
    """

    embedder: Embedder | None
    problem: str = ""


def open_embedder(load: Callable[[], Embedder] = Embedder) -> Opened:
    """Loads the embedder. Never raises: one that cannot be loaded says so in its `problem`, and the agent answers without it.

    Args:
        load: loads it.
    """
    try:
        return Opened(load())
    except SeawallError as error:
        return Opened(None, error.message)
    except Exception as error:  # noqa: BLE001 - whatever ONNX Runtime says of a file that it cannot read
        why = f"The embedder cannot be loaded ({type(error).__name__}): questions are not compared. Install seawall-agent anew."
        return Opened(None, why)
