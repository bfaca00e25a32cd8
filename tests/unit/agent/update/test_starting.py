"""Which model serves at start."""

import shutil
from pathlib import Path

import pytest

from agent.inference.away import ModelAway
from agent.inference.current import CurrentModel
from agent.inference.loading import load_bundle
from agent.prompts import Message, Sampling
from agent.update.slots import Slots
from agent.update.starting import open_model
from contract.errors import InvalidRequest, Reason
from tests.fakes.engine import FakeEngine
from tests.fakes.versions import Version, make_version

ONE, TWO, OTHER = (make_version(number) for number in (1, 2, 9))


class VerifiedEngine(FakeEngine):
    """Answers nothing of its own; its bundle is verified as the real engine's is."""

    def __init__(self, folder: Path) -> None:
        super().__init__(["a"], 0.9)
        self.bundle = load_bundle(folder)
        if self.bundle.version in self.cannot_run:
            raise InvalidRequest(Reason.BUNDLE_INVALID, f"Version {self.bundle.version} is no graph that can run here.")

    cannot_run: frozenset[str] = frozenset()

    async def close(self) -> None:
        """Nothing is to be closed."""


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return Slots(tmp_path / "slots")


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """The bundle that the configuration names."""
    elsewhere = Slots(tmp_path / "elsewhere")
    return shutil.copytree(install(elsewhere, OTHER), tmp_path / "configured")


def models(*cannot_run: str) -> CurrentModel:
    kind = type("Engine", (VerifiedEngine,), {"cannot_run": frozenset(cannot_run)})
    return CurrentModel(kind, lambda _: True)


def install(slots: Slots, version: Version) -> Path:
    slots.stage(version.index_json, version.read)
    bundle = slots.switch()
    slots.prove()
    return bundle


async def test_without_slots_the_configured_bundle_serves(slots: Slots, configured: Path) -> None:
    current = models()
    assert await open_model(current, slots, configured) == ()
    assert current.bundle.version == "9"


async def test_the_current_slot_goes_before_the_configured_bundle(slots: Slots, configured: Path) -> None:
    install(slots, ONE)
    current = models()
    assert await open_model(current, slots, configured) == ()
    assert current.bundle.version == "1"


async def test_a_slot_whose_model_cannot_run_falls_back_to_the_other(slots: Slots, configured: Path) -> None:
    install(slots, ONE)
    install(slots, TWO)
    current = models("2")
    (problem,) = await open_model(current, slots, configured)
    assert "Version 2" in problem
    assert current.bundle.version == "1"


async def test_with_both_slots_damaged_the_configured_bundle_serves_and_it_is_said_why(slots: Slots, configured: Path) -> None:
    for version in (ONE, TWO):
        (install(slots, version) / "model.onnx").write_bytes(b"torn")
    current = models()
    problems = await open_model(current, slots, configured)
    assert [problem[:6] for problem in problems] == ["Slot b", "Slot a"]
    assert (current.bundle.version, current.away) == ("9", "")


async def test_with_no_bundle_left_the_agent_starts_all_the_same(slots: Slots, tmp_path: Path) -> None:
    (install(slots, ONE) / "model.onnx").write_bytes(b"torn")
    current = models()
    assert len(await open_model(current, slots, tmp_path / "none")) == 2
    assert current.bundle.version == "1", "what it has answered before is still in the cache"
    with current.held() as model, pytest.raises(ModelAway) as refused:
        await anext(model.generate([Message("user", "hello")], Sampling()))
    assert refused.value.reason is Reason.MODEL_UNAVAILABLE
    assert str(tmp_path) not in refused.value.message, "clients are told nothing of the device's folders"
    again = models()
    assert await open_model(again, Slots(tmp_path / "slots"), tmp_path / "none") != ()
    assert again.away


async def test_where_no_slot_was_ever_used_a_wrong_bundle_is_refused_as_ever(slots: Slots, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await open_model(models(), slots, tmp_path / "none")
    assert refused.value.reason is Reason.BUNDLE_INVALID
