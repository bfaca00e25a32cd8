"""Every metric that a panel, an alert or a service level names is one that a hub and an agent really show."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml  # type: ignore[import-untyped]

from tests.fakes.provider_server import openai_answer, provider_server
from tests.integration.intake.device import Device
from tests.integration.intake.mosquitto import Mosquitto
from tests.integration.seeing.site import Site, running_site

ROOT = Path(__file__).resolve().parents[3]
DASHBOARD = json.loads((ROOT / "packaging" / "grafana" / "seawall.json").read_text())
RULES = ROOT / "packaging" / "prometheus" / "seawall.rules.yml"
LEVELS = (ROOT / "docs" / "slos.md").read_text()
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
ALERTS: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]

PROMETHEUS_OWN = {"up"}
WORDS = {"by", "and", "or", "unless", "on", "ignoring", "without", "group_left", "offset", "bool"}


def panels() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        if panel["type"] != "row":
            yield panel


def metric_names(expression: str) -> set[str]:
    """The metrics in PromQL: names that are no function, no keyword and no label."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring)\s*\([^)]*\)", " ", bare)
    found = re.findall(r"(?<![\w$.])([a-zA-Z_:][\w:]*)(?!\w)(\s*\()?", bare)
    return {name for name, call in found if not call and name not in WORDS}


def labels(expression: str) -> Iterator[tuple[str, str]]:
    """Each metric with each label that it is chosen by."""
    for name, chosen in re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", expression):
        for label in re.findall(r"(\w+)\s*[=!]", re.sub(r'"[^"]*"', '""', chosen)):
            yield name, label


EXPRESSIONS = [
    *(target["expr"] for panel in panels() for target in panel["targets"]),
    *(alert["expr"] for alert in ALERTS),
    *(line for block in re.findall(r"```promql\n(.*?)```", LEVELS, re.DOTALL) for line in block.splitlines()),
]


@pytest.fixture
async def shown(tmp_path: Path) -> dict[str, set[str]]:
    """Every sample's name, with its labels, of a hub and an agent that have answered one prompt over each intake."""
    broker = Mosquitto(tmp_path)
    broker.start()
    try:
        async with (
            provider_server(openai_answer("x")) as provider,
            running_site(tmp_path, provider, "", broker.port) as site,
            Device(broker.port) as device,
        ):
            await device.until_status("online")
            await device.send({"prompt": "why?"})
            assert await device.answer()
            assert (await site.ask("how?")).status_code == 200
            await device.send({"nothing": "good"})
            assert await device.reason() == "FIELD_UNKNOWN"
            return _samples(await _scraped(site))
    finally:
        await asyncio.to_thread(broker.stop)


async def _scraped(site: Site) -> str:
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as client:
        ports = (site.hub.hub.metrics_port, site.http.port)
        return "".join([(await client.get(f"http://127.0.0.1:{port}/metrics")).text for port in ports])


def _samples(text: str) -> dict[str, set[str]]:
    """Names from the `TYPE` lines, so that a metric with labels of which none has happened yet is there too."""
    result: dict[str, set[str]] = {}
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        for suffix in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
            result.setdefault(name + suffix, set())
    for name, found in re.findall(r"^([a-zA-Z_:][\w:]*)\{(.*)\} ", text, re.MULTILINE):
        result.setdefault(name, set()).update(re.findall(r'(\w+)="', found))
    return result


async def test_every_metric_that_is_named_is_shown(shown: dict[str, set[str]]) -> None:
    named = {name for expression in EXPRESSIONS for name in metric_names(expression)}
    assert len(named) > 30
    assert named - PROMETHEUS_OWN <= shown.keys()


async def test_every_metric_of_ours_is_looked_at(shown: dict[str, set[str]]) -> None:
    named = {name for expression in EXPRESSIONS for name in metric_names(expression)}
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown if name.startswith("seawall_hub")}
    assert ours <= {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}


async def test_every_label_that_is_chosen_by_is_there(shown: dict[str, set[str]]) -> None:
    for expression in EXPRESSIONS:
        for name, label in labels(expression):
            if shown.get(name) and label not in ("job", "instance"):
                assert label in shown[name], f"{name} has no {label}: {expression}"


async def test_what_the_mqtt_intake_refuses_is_counted(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    broker.start()
    try:
        async with (
            provider_server(openai_answer("x")) as provider,
            running_site(tmp_path, provider, "", broker.port) as site,
            Device(broker.port) as device,
        ):
            await device.until_status("online")
            await device.send({"nothing": "good"})
            await device.reason()
            sample = site.metrics.registry.get_sample_value
            assert sample("seawall_agent_refusals_total", {"reason": "FIELD_UNKNOWN"}) == 1
            assert sample("seawall_agent_mqtt_connected") == 1
    finally:
        await asyncio.to_thread(broker.stop)


def test_every_alert_says_what_and_what_to_do() -> None:
    names = [alert["alert"] for alert in ALERTS]
    assert len(names) == len(set(names))
    for alert in ALERTS:
        assert re.fullmatch(r"\d+[mhd]", alert["for"])
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert alert["annotations"]["summary"].endswith(".")
        assert alert["annotations"]["action"].endswith((".", "?"))
        assert alert["expr"].count("(") == alert["expr"].count(")")
        assert metric_names(alert["expr"])


def test_panels_neither_overlap_nor_share_an_id() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_every_service_level_has_an_alert_that_is_there() -> None:
    guards = re.findall(r"`(Seawall\w+)`", LEVELS)
    assert len(guards) >= 5
    assert set(guards) <= {alert["alert"] for alert in ALERTS}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
def test_promtool_takes_the_rules_and_they_speak_up_when_they_should(tmp_path: Path) -> None:
    every = [{"record": f"r{number}", "expr": each.replace("$__rate_interval", "5m")} for number, each in enumerate(EXPRESSIONS)]
    all_of_them = tmp_path / "all.json"
    all_of_them.write_text(json.dumps({"groups": [{"name": "all", "rules": every}]}))
    for verb, file in (("check", RULES), ("check", all_of_them), ("test", RULES.with_name("seawall.rules.test.yml"))):
        checked = subprocess.run(["promtool", verb, "rules", file], capture_output=True, text=True, timeout=60, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
