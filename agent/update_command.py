"""`seawall-agent update`."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn
from rich.progress import Progress as Bars

from agent.config import AgentSettings
from agent.config_file import load_settings
from agent.inference.loading import load_bundle
from agent.local_client import LocalClient
from agent.logs import set_up_logs
from agent.options import Config
from agent.state import StateFolder
from agent.update.opening import UpdateSite, open_source, open_updater
from agent.update.progress import Progress
from agent.update.slots import Slots, SlotState, Started
from agent.update.updater import Outcome, Wanted
from contract.errors import InvalidRequest, NotPossibleNow, Reason, Unavailable

EXAMPLE = "Example: seawall-agent update, or from a USB stick: seawall-agent update --from /media/stick"
_RESTART = "systemctl restart seawall-agent"
_HEALTH_SECONDS = 5.0

_out = Console(soft_wrap=True, highlight=False, markup=False)


def update(
    source: Annotated[
        str | None,
        typer.Option("--from", help="'hub', a mirror's https:// address, or a folder. Default: what the configuration says, the hub."),
    ] = None,
    version: Annotated[str, typer.Option(help="Take this version, also an older one. Default: the newest. Example: --version 1.2.0")] = "",
    model: Annotated[str, typer.Option(help="Another model than the one that serves. Example: --model smollm2-135m-instruct")] = "",
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait for the hours of the configuration. A metered link is waited for.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="The new version answers well: end its probation.")] = False,
    back: Annotated[bool, typer.Option("--back", help="The new version does not: go back to the one before.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
    config: Config = None,
) -> None:
    """Bring a new version of the model here, verify it, and have it serve from the next start on.

    What came is kept when this is cut off; run it again to go on. A running agent goes on answering with what it has.
    """
    if keep + back + bool(source or version or model or now) > 1:
        raise InvalidRequest(Reason.FIELD_INVALID, "Write --keep or --back alone: they are about the version that is here.")
    set_up_logs("error")
    settings = load_settings(config)
    state = StateFolder(settings.state_folder)
    slots = Slots(state.slots)
    with slots.held():
        started = slots.start()
        if (keep or back) and slots.record.rollout:
            slots.check_probation()
        if keep or back:
            done = _keep(slots, started, settings) if keep else _back(slots)
            said = json.dumps({"done": done}) if as_json else done
        else:
            outcome = asyncio.run(_update(settings, state, slots, started, source or settings.update.source, Wanted(model, version), now))
            said = json.dumps(asdict(outcome)) if as_json else _sentence(outcome)
    _out.print(said)


async def _update(
    settings: AgentSettings, state: StateFolder, slots: Slots, started: Started, name: str, wanted: Wanted, now: bool
) -> Outcome:
    identity = state.identity.read()
    site = UpdateSite(state.update, identity, settings.update, settings.model.bundle, settings.update.pace(now))
    async with open_source(name, identity) as source:
        updater = await open_updater(source, site, slots, started, lambda: _served_digest(settings))
        with _bar() as tell:
            return await updater.update(source, wanted, tell)


def _keep(slots: Slots, started: Started, settings: AgentSettings) -> str:
    if started.index is None or slots.bundle is None or slots.record.entries[slots.record.current].state is not SlotState.CURRENT:
        return "Nothing is on probation."
    if _served_digest(settings) != load_bundle(slots.bundle, verify=False).digest():
        raise NotPossibleNow(
            Reason.UPDATE_NOT_POSSIBLE,
            f"No agent serves {started.index.model} {started.index.version} yet: {_RESTART}, ask it something, then keep it.",
        )
    slots.prove()
    return f"{started.index.model} {started.index.version} in slot {slots.record.current} is kept."


def _back(slots: Slots) -> str:
    found = slots.roll_back("The version on probation is given up by hand.")
    before = "the configuration's bundle" if found.index is None else f"{found.index.model} {found.index.version}"
    return f"Back to {before}; a running agent needs a restart: {_RESTART}"


def _sentence(outcome: Outcome) -> str:
    name = f"{outcome.model} {outcome.version}"
    if not outcome.changed:
        return f"Nothing newer: {name} is what {f'slot {outcome.slot}' if outcome.slot else 'the configuration names'} has."
    return (
        f"{name} is verified in slot {outcome.slot}; {outcome.received_bytes / 1e6:.1f} MB came. To use it: {_RESTART}\n"
        "It is on probation: seawall-agent update --keep if it answers well, --back if it does not."
    )


def _served_digest(settings: AgentSettings) -> str | None:
    """Asks the running agent. Whatever else listens there serves no model of ours."""
    try:
        digest = LocalClient(settings.http, timeout_seconds=_HEALTH_SECONDS).health().get("model_digest")
    except (Unavailable, InvalidRequest):
        return None
    return str(digest) if digest is not None else None


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    """A bar on standard error; why it stands still is a line above it."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TextColumn("{task.fields[rate]}"))
    with Bars(*columns, console=Console(stderr=True, highlight=False, markup=False), transient=True) as bars:
        task = bars.add_task("looking", total=None, rate="")
        said = ""

        def tell(progress: Progress) -> None:
            nonlocal said
            if progress.waiting and progress.waiting != said:
                bars.console.print(progress.waiting, soft_wrap=True)
            said = progress.waiting
            rate = f"{progress.bytes_per_second / 1e6:.1f} MB/s"
            doing = "waiting" if progress.waiting else "fetching"
            bars.update(task, description=doing, completed=progress.done_bytes, total=progress.total_bytes, rate=rate)

        yield tell
