"""`seawall-agent policy` on a device's own files."""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.policies.commands import app
from agent.policies.opening import kept_policy
from agent.state import StateFolder
from agent.store.audit import ReceiptStore
from agent.store.database import Database
from contract.calibration.maps import CONFIDENCE, SIMILARITY, Calibrations, Fitted, Map
from contract.policy import Policy
from contract.receipts import Receipt
from tests.fakes.tuf_repository import version_of

PROVIDERS = ("--hub", "de-fra,acme", "--provider", "house,private,de-fra,acme,0", "--provider", "cloud,public,us,them,30")
RECEIPT = Receipt("r1", "p1", "", "local", ("not-confident",), "public", (), 0.1, False, "m", "d", None, 1.0, 20, 30, "http")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "agent.toml"
    file.write_text(f'state_folder = "{tmp_path / "state"}"\n[site]\nregion = "de-fra"\n')
    return file


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    file = tmp_path / "site.cedar"
    file.write_text(run("show")["text"])
    return file


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def remember(folder: Path, *receipts: tuple[Receipt, float]) -> None:
    async def append() -> None:
        database = Database(folder / "agent.db")
        for receipt, at in receipts:
            await ReceiptStore(database, 1e9).append("c1", receipt, at)
        database.close()

    folder.mkdir()
    asyncio.run(append())


def test_the_policy_that_is_shown_is_the_one_that_the_configuration_names(config: Path, tmp_path: Path) -> None:
    shown = run("show", "--config", str(config))
    assert shown["origin"] == "shipped"
    assert shown["digest"] == Policy(shown["text"]).digest
    own = tmp_path / "own.cedar"
    own.write_text('@id("own") permit (principal, action == Action::"cache", resource);')
    config.write_text(f'[privacy]\npolicy_file = "{own}"')
    assert run("show", "--config", str(config))["text"] == own.read_text()


@pytest.mark.parametrize(
    ("trust", "said"), [("", "not used"), ("[trust]\ncalibrated_bar = 0.4", "so that a confidence from 0.60 on is enough")]
)
def test_the_calibration_that_came_with_the_policy_is_shown_with_what_it_makes_of_the_bar(tmp_path: Path, trust: str, said: str) -> None:
    fitted = Calibrations((Fitted(CONFIDENCE, "sha256:a", Map(1.0, -0.8), 900), Fitted(SIMILARITY, "sha256:b", Map(), 300)))
    files = {"policy.cedar": b'@id("all") permit (principal, action, resource);', "calibration.json": fitted.to_json()}
    kept_policy(StateFolder(tmp_path)).keep(version_of({name: [content] for name, content in files.items()}, model="fleet")[0], files)
    config = tmp_path / "agent.toml"
    config.write_text(f'state_folder = "{tmp_path}"\n[privacy]\nsigned_policy = "fleet"\n{trust}')
    assert run("show", "--config", str(config))["calibrations"] == json.loads(fitted.to_json())["maps"]
    shown = CliRunner().invoke(app, ["show", "--config", str(config)]).stdout
    assert said in shown
    assert "calibration of the similarity of sha256:b, from 300 answers: not used, since [cache] calibrated_bar is not set\n" in shown


@pytest.mark.parametrize(
    ("cache", "said"),
    [
        ("calibrated_bar = 0.93", "not used, since [cache] similar is off"),
        ("similar = true\ncalibrated_bar = 0.93", "a similarity from 0.93 on is enough"),
        ("similar = true\ncalibrated_bar = 0.5", "a similarity from 0.75 on is enough"),  # whatever a map says
    ],
)
def test_a_calibration_of_similarities_is_shown_with_what_it_makes_of_the_caches_bar(tmp_path: Path, cache: str, said: str) -> None:
    files = {
        "policy.cedar": b'@id("all") permit (principal, action, resource);',
        "calibration.json": Calibrations((Fitted(SIMILARITY, "sha256:b", Map(), 300),)).to_json(),
    }
    kept_policy(StateFolder(tmp_path)).keep(version_of({name: [content] for name, content in files.items()}, model="fleet")[0], files)
    config = tmp_path / "agent.toml"
    config.write_text(f'state_folder = "{tmp_path}"\n[privacy]\nsigned_policy = "fleet"\n[cache]\n{cache}')
    assert said in CliRunner().invoke(app, ["show", "--config", str(config)]).stdout


def test_a_policy_that_cannot_be_used_is_shown_with_what_is_wrong_and_denies_everything(config: Path, tmp_path: Path) -> None:
    config.write_text(f'[privacy]\npolicy_file = "{tmp_path / "none.cedar"}"')
    shown = run("show", "--config", str(config))
    assert "cannot be read" in shown["trouble"]
    assert (shown["text"], shown["digest"]) == ("", Policy("").digest)


def test_a_decision_is_explained_action_by_action(config: Path, shipped: Path) -> None:
    said = run("test", str(shipped), "--prompt", "hello", "--class", "confidential", *PROVIDERS, "--config", str(config))
    allowed = {(item["action"], item["resource"], item["redacted"]) for item in said["verdicts"] if item["allowed"]}
    assert allowed == {("cache", "", False), ("learn", "", False), ("pass", "hub", True), ("escalate", "house", True)}
    assert said["class"] == "confidential"


def test_time_and_tokens_that_are_left_can_be_given(config: Path, tmp_path: Path) -> None:
    spare = tmp_path / "spare.cedar"
    spare.write_text(
        '@id("t") permit (principal, action == Action::"cache", resource) when '
        "{ context has budget_tokens && context.budget_tokens > 7 && context has latency_milliseconds };"
    )

    def is_kept(*options: str) -> bool:
        verdicts = run("test", str(spare), "--class", "public", *options, "--config", str(config))["verdicts"]
        return bool(verdicts[0]["allowed"])

    assert is_kept("--budget-tokens", "8", "--latency-milliseconds", "1")
    assert not is_kept("--budget-tokens", "7", "--latency-milliseconds", "1")
    assert not is_kept("--budget-tokens", "8")


def test_it_is_said_why_a_policy_failed(config: Path, shipped: Path) -> None:
    config.write_text("")
    arguments = ["test", str(shipped), "--class", "confidential", *PROVIDERS, "--config", str(config)]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "policy-failed" in done.stdout
    assert "does not have the attribute `region`" in done.stdout


def test_where_the_hub_is_not_known_it_is_said_how_to_describe_one(config: Path, shipped: Path) -> None:
    done = CliRunner().invoke(app, ["test", str(shipped), "--prompt", "hello", "--config", str(config)], catch_exceptions=False)
    assert "--provider" in done.stdout


def test_recorded_prompts_are_decided_on_again(config: Path, tmp_path: Path, shipped: Path) -> None:
    now = time.time()
    old = replace(RECEIPT, receipt_id="r0", data_class="internal")
    remember(tmp_path / "state", (RECEIPT, now - 60), (old, now - 86_400))
    closed = tmp_path / "closed.cedar"
    closed.write_text("")
    replayed = run("replay", str(closed), "--since", "1h", "--config", str(config))
    assert (replayed["prompts"], replayed["in_force"]["kept"], replayed["other"]["kept"]) == (1, 1, 0)
    assert replayed["changes"][0]["after"] == "stays; not kept"
    assert run("replay", str(closed), "--since", "2d", "--config", str(config))["prompts"] == 2
    done = CliRunner().invoke(app, ["replay", str(shipped), "--config", str(config)], catch_exceptions=False)
    assert "The file would change nothing of it." in done.stdout


def test_without_receipts_there_is_nothing_to_decide_on(config: Path, shipped: Path) -> None:
    assert run("replay", str(shipped), "--config", str(config))["prompts"] == 0
