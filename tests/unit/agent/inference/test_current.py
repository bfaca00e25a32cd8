"""The exchange of models, with a model that answers what it is told to."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from agent.inference.away import ModelAway
from agent.inference.current import CurrentModel, LoadedModel
from agent.inference.engine import Finished, Piece
from agent.prompts import Message, Sampling
from contract.errors import InvalidRequest, Reason
from tests.fakes.engine import BUNDLE, FakeEngine

ONE, TWO, BROKEN = Path("one"), Path("two"), Path("broken")
QUESTION = [Message("user", "hello")]


class ClosableEngine(FakeEngine):
    """Answers with its name, three times."""

    def __init__(self, name: str) -> None:
        super().__init__([name] * 3, 0.9)
        self.bundle = replace(BUNDLE, name=name)
        self.is_closed = False

    async def generate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        client: str = "",
        *,
        priority: int = 0,
        deadline_seconds: float | None = None,
    ) -> AsyncGenerator[Piece | Finished, None]:
        async for piece in super().generate(messages, sampling, client):
            assert not self.is_closed
            yield piece

    async def close(self) -> None:
        self.is_closed = True


class Shelf:
    """Loads engines by name, and remembers them."""

    def __init__(self, both_fit: bool) -> None:
        self.both_fit = both_fit
        self.loaded: list[ClosableEngine] = []
        self.most_open = 0

    def load(self, folder: Path) -> LoadedModel:
        if folder == BROKEN:
            raise InvalidRequest(Reason.BUNDLE_INVALID, "It is broken.")
        self.loaded.append(ClosableEngine(folder.name))
        self.most_open = max(self.most_open, sum(not engine.is_closed for engine in self.loaded))
        return self.loaded[-1]

    def current(self, drain_seconds: float = 60.0) -> CurrentModel:
        return CurrentModel(self.load, lambda _: self.both_fit, drain_seconds)


async def answer(models: CurrentModel) -> str:
    with models.held() as model:
        return "".join([piece.text async for piece in model.generate(QUESTION, Sampling()) if isinstance(piece, Piece)])


async def until(happened: Callable[[], bool]) -> None:
    for _ in range(1000):
        if happened():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never happened")


async def test_before_the_first_model_prompts_are_told_to_ask_again() -> None:
    models = Shelf(both_fit=True).current()
    with pytest.raises(ModelAway) as refused:
        await answer(models)
    assert refused.value.reason is Reason.MODEL_LOADING
    assert "Ask again in about" in refused.value.message
    await models.exchange(ONE)
    assert (await answer(models), models.away) == ("one" * 3, "")


@pytest.mark.parametrize("both_fit", [True, False])
async def test_what_is_begun_ends_on_the_old_model_which_is_then_closed(both_fit: bool) -> None:
    shelf = Shelf(both_fit)
    models = shelf.current()
    await models.exchange(ONE)
    with models.held() as held:
        async with aclosing(held.generate(QUESTION, Sampling())) as pieces:
            texts = [await anext(pieces)]
            exchange = asyncio.create_task(models.exchange(TWO))
            await until(lambda: models.bundle.name == "two" or models.away != "")
            texts += [piece async for piece in pieces]
            assert [piece.text for piece in texts if isinstance(piece, Piece)] == ["one"] * 3
            assert not shelf.loaded[0].is_closed
            assert held.bundle.name == "one"
    await exchange
    assert (await answer(models), models.bundle.name) == ("two" * 3, "two")
    assert [engine.is_closed for engine in shelf.loaded] == [True, False]
    assert shelf.most_open == (2 if both_fit else 1)


async def test_where_one_fits_prompts_are_refused_while_the_new_one_is_loaded_and_the_old_ones_answers_are_still_its_own() -> None:
    models = Shelf(both_fit=False).current()
    await models.exchange(ONE)
    with models.held():
        exchange = asyncio.create_task(models.exchange(TWO))
        await until(lambda: models.away != "")
        with pytest.raises(ModelAway) as refused:
            await answer(models)
        assert refused.value.reason is Reason.MODEL_LOADING
        assert models.bundle.name == "one"
    await exchange
    assert await answer(models) == "two" * 3


@pytest.mark.parametrize("both_fit", [True, False])
async def test_a_model_that_cannot_be_loaded_leaves_the_one_before(both_fit: bool) -> None:
    models = Shelf(both_fit).current()
    await models.exchange(ONE)
    with pytest.raises(InvalidRequest):
        await models.exchange(BROKEN)
    assert (await answer(models), models.away) == ("one" * 3, "")


async def test_a_client_that_never_reads_its_answer_does_not_hold_up_the_exchange_for_ever() -> None:
    shelf = Shelf(both_fit=True)
    models = shelf.current(drain_seconds=0.01)
    await models.exchange(ONE)
    with models.held():
        await models.exchange(TWO)
        assert shelf.loaded[0].is_closed
    assert await answer(models) == "two" * 3


@pytest.mark.parametrize("both_fit", [True, False])
async def test_a_model_is_tried_while_the_old_one_answers_or_comes_back(both_fit: bool) -> None:
    shelf = Shelf(both_fit)
    models = shelf.current()
    await models.exchange(ONE)
    async with models.tried(TWO) as tried:
        assert (tried.model.bundle.name, tried.is_beside) == ("two", both_fit)
        if both_fit:
            assert await answer(models) == "one" * 3
        else:
            with pytest.raises(ModelAway):
                await answer(models)
    assert (await answer(models), models.folder) == ("one" * 3, ONE)
    assert shelf.loaded[1].is_closed
    assert shelf.most_open == (2 if both_fit else 1)


@pytest.mark.parametrize("both_fit", [True, False])
async def test_a_model_that_cannot_be_tried_leaves_the_one_before(both_fit: bool) -> None:
    models = Shelf(both_fit).current()
    await models.exchange(ONE)
    with pytest.raises(InvalidRequest):
        async with models.tried(BROKEN):
            raise AssertionError
    assert await answer(models) == "one" * 3


async def test_without_a_model_another_can_be_tried() -> None:
    shelf = Shelf(both_fit=True)
    models = shelf.current()
    await models.go_without("Both slots are damaged.")
    async with models.tried(TWO) as tried:
        assert not tried.is_beside
    assert models.folder is None
    assert shelf.loaded[0].is_closed


async def test_a_trial_that_is_given_up_while_answers_are_waited_for_changes_nothing() -> None:
    shelf = Shelf(both_fit=False)
    models = shelf.current()
    await models.exchange(ONE)

    async def try_it() -> None:
        async with models.tried(TWO):
            raise AssertionError("an answer was under way")

    with models.held():
        trying = asyncio.create_task(try_it())
        await until(lambda: models.away != "")
        trying.cancel()
        await asyncio.gather(trying, return_exceptions=True)
    assert await answer(models) == "one" * 3
    assert len(shelf.loaded) == 1


@pytest.mark.parametrize("is_trial", [True, False])
@pytest.mark.parametrize("stopped_at", [2, 3])
async def test_a_cancellation_at_any_load_leaves_the_device_with_the_model_before(is_trial: bool, stopped_at: int) -> None:
    shelf, has_come, may_end = Shelf(both_fit=False), threading.Event(), threading.Event()

    def load(folder: Path) -> LoadedModel:
        model = shelf.load(folder)
        if len(shelf.loaded) == stopped_at:
            has_come.set()
            may_end.wait(10)
        return model

    models = CurrentModel(load, lambda _: False)
    await models.exchange(ONE)

    async def exchange() -> None:
        if is_trial:
            async with models.tried(TWO):
                return
        with suppress(asyncio.CancelledError):
            await models.exchange(BROKEN if stopped_at == 2 else TWO)  # of the broken one, the one before is what is loaded second

    working = asyncio.create_task(exchange())
    if is_trial or stopped_at == 2:
        await asyncio.to_thread(has_come.wait, 10)
    working.cancel()
    may_end.set()
    await asyncio.gather(working, return_exceptions=True)
    assert await answer(models) == "one" * 3
    assert [engine.is_closed for engine in shelf.loaded] == [True] * (len(shelf.loaded) - 1) + [False]


async def test_a_load_that_is_given_up_leaves_no_model_behind() -> None:
    shelf, may_end = Shelf(both_fit=True), threading.Event()

    def load(folder: Path) -> LoadedModel:
        may_end.wait(10)
        return shelf.load(folder)

    models = CurrentModel(load, lambda _: True)
    loading = asyncio.create_task(models.exchange(ONE))
    await asyncio.sleep(0)
    loading.cancel()
    may_end.set()
    await asyncio.gather(loading, return_exceptions=True)
    assert all(engine.is_closed for engine in shelf.loaded)


async def test_without_a_model_prompts_are_told_why() -> None:
    models = Shelf(both_fit=True).current()
    await models.go_without("Both slots are damaged.", replace(BUNDLE, name="last"))
    with pytest.raises(ModelAway) as refused:
        await answer(models)
    assert (refused.value.reason, refused.value.message) == (Reason.MODEL_UNAVAILABLE, "Both slots are damaged.")
    assert models.bundle.name == "last"
    await models.exchange(ONE)
    assert await answer(models) == "one" * 3
