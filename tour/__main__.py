"""`python -m tour`: everything on this machine, a walk through it, and then a site to play with until Ctrl-C."""

import fcntl
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tour.device import Device
from tour.processes import Child, Children, ProcessDied
from tour.site import AGENT_ID, Cloud, Ports, Site
from tour.steps import STEPS, Walked, walk

ROOT = Path(__file__).resolve().parent.parent
MODEL = "smollm2-135m-instruct"
KEY_VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)


@app.command()
def tour(
    leave: Annotated[bool, typer.Option("--exit", help="End after the walk; the last line is JSON.")] = False,
    provider: Annotated[
        str,
        typer.Option(help="openai or anthropic: ask that cloud, with the key in OPENAI_API_KEY or ANTHROPIC_API_KEY. Default: a stand-in."),
    ] = "",
    model: Annotated[str, typer.Option(help="The provider's model. Example: --provider openai --model gpt-4o-mini")] = "",
) -> None:
    """Start a broker, a hub, a cloud and an agent on loopback, and walk five prompts through them."""
    cloud = _chosen_cloud(provider, model)
    folder = ROOT / ".seawall"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        _hold(lock.fileno())
        site_folder = folder / "tour"
        shutil.rmtree(site_folder, ignore_errors=True)
        try:
            with Children(site_folder / "logs") as children:
                all_ok = _run(Site(ROOT, site_folder, children, Ports.choose()), cloud, leave)
        except (ProcessDied, TimeoutError) as error:
            console.print(f"[red]error:[/red] {error}")
            raise typer.Exit(1) from error
    raise typer.Exit(0 if all_ok else 1)


def _run(site: Site, cloud: Cloud | None, leave: bool) -> bool:
    started = time.monotonic()
    _say("broker")
    site.start_broker()
    _say("cloud")
    chosen = cloud or site.start_stand_in(MODEL)
    _say("hub")
    hub = site.start_hub(chosen)
    _say("agent")
    site.start_agent(ROOT / "build" / "models" / f"{MODEL}-int8")
    console.print(f"\nAll is up: {site.broker_name}, hub, agent, and as the cloud {chosen.label}.\n")
    walked = _walk(site, hub)
    seconds = time.monotonic() - started
    if leave:
        print(json.dumps({"steps": [_summary(item) for item in walked], "seconds": round(seconds, 1)}))
    else:
        site.start_hub(chosen)
        _stay(site)
    return all(item.ok for item in walked)


def _walk(site: Site, hub: Child) -> list[Walked]:
    device = Device(site.ports.broker, AGENT_ID, "tour")
    device.wait_for_agent()
    walked = []
    for number, step in enumerate(STEPS, 1):
        if step.hub_stopped:
            hub.end()
        item = walk(step, device.ask)
        walked.append(item)
        _show(number, item)
    device.close()
    return walked


def _show(number: int, item: Walked) -> None:
    mark = "[green]✓[/green]" if item.ok else "[red]✗ not as told[/red]"
    console.print(f"{mark} [bold]{number}. {item.step.title}[/bold]")
    console.print(f"   prompt  {item.step.prompt}", markup=False)
    console.print(f"   answer  {' '.join(item.answer.split())[:200]}", markup=False)
    console.print(f"   why     {_why(item.receipt)} · {item.milliseconds:.0f} ms\n", markup=False)


def _why(receipt: dict[str, Any]) -> str:
    words = [receipt["route"]]
    if receipt.get("confidence") is not None:
        words.append(f"confidence {receipt['confidence']:.2f}")
    words.append(", ".join(receipt["reasons"]))
    departure = receipt.get("departure")
    if departure is None:
        words.append("nothing left the site")
    else:
        words.append(
            f"{departure['characters']} characters left for {departure['provider'] or 'the hub'} ({departure['region'] or 'no answer'})"
        )
    return " · ".join(words)


def _summary(item: Walked) -> dict[str, Any]:
    return {"name": item.step.name, "route": item.receipt["route"], "milliseconds": round(item.milliseconds, 1), "ok": item.ok}


def _stay(site: Site) -> None:
    prefix = f"seawall/v1/agents/{AGENT_ID}/clients/me"
    console.print("[bold]Try it by hand[/bold], from another terminal:\n")
    for line in (
        f"mosquitto_sub -p {site.ports.broker} -t '{prefix}/answers'",
        f"""mosquitto_pub -p {site.ports.broker} -q 1 -t '{prefix}/prompts' -m '{{"prompt": "Why is the sky blue?"}}'""",
        f"curl -s http://127.0.0.1:{site.ports.http}/v1/chat/completions -H 'Content-Type: application/json' "
        """-d '{"messages": [{"role": "user", "content": "Why is the sky blue?"}]}'""",
        f".venv/bin/seawall-agent ask 'Why is the sky blue?' --config {site.agent_config.relative_to(ROOT)}",
    ):
        console.print(f"  {line}\n", markup=False)
    console.print("Ctrl-C ends it.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("\nEnding …")


def _chosen_cloud(provider: str, model: str) -> Cloud | None:
    """Returns the cloud that was asked for; None: the stand-in."""
    if not provider:
        return None
    if provider not in KEY_VARIABLES:
        raise typer.BadParameter("write openai or anthropic", param_hint="--provider")
    if not model:
        raise typer.BadParameter(f"which of its models? Example: --provider {provider} --model NAME", param_hint="--model")
    variable = KEY_VARIABLES[provider]
    if not os.environ.get(variable):
        raise typer.BadParameter(f"put the key in the environment: export {variable}=…", param_hint="--provider")
    return Cloud(label=f"{provider} ({model})", kind=provider, model=model, key_variable=variable, tier="public")


def _hold(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        console.print("[red]error:[/red] a tour is running in this folder already: end it with Ctrl-C there.")
        raise typer.Exit(1) from None


def _say(what: str) -> None:
    console.print(f"starting {what} …", style="dim")


def main() -> None:
    """Runs the tour; Ctrl-C ends it in order."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
