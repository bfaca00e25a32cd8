import pytest

from agent.inference.fit import WORKING_SET_BYTES, cache_bytes_per_token, choose_provider, fit_memory
from agent.inference.settings import EngineSettings
from contract.bundle import Bundle, FileEntry, Shape, Source
from contract.errors import NotPossibleNow, Reason

WEIGHTS_BYTES = 150_000_000
SETTINGS = EngineSettings(slots=8, context_tokens=2048, prefix_rows=4, prefix_tokens=1024)
BUNDLE = Bundle(
    name="model",
    version="1",
    precision="int8",
    license="Apache-2.0",
    source=Source("pypi", "p", "1", "0" * 64),
    shape=Shape(layers=30, kv_heads=3, head_dim=64, vocabulary=49152, context_tokens=1000),
    chat_template="",
    stop_token_ids=(2,),
    files={"model.onnx.data": FileEntry("0" * 64, WEIGHTS_BYTES)},
)
TOKEN_BYTES = cache_bytes_per_token(BUNDLE.shape)
FIXED_BYTES = WEIGHTS_BYTES + WORKING_SET_BYTES + 1024 * TOKEN_BYTES


def test_a_token_takes_a_key_and_a_value_in_every_layer_and_head() -> None:
    assert TOKEN_BYTES == 30 * 2 * 3 * 64 * 4


def test_where_there_is_room_all_stays_and_the_context_is_the_models() -> None:
    fitted = fit_memory(SETTINGS, BUNDLE, free_bytes=10**10)
    assert (fitted.slots, fitted.context_tokens) == (8, 1000)


@pytest.mark.parametrize("slots", [1, 3, 7])
def test_slots_are_given_up_until_the_worst_case_fits(slots: int) -> None:
    assert fit_memory(SETTINGS, BUNDLE, FIXED_BYTES + slots * 1000 * TOKEN_BYTES).slots == slots


def test_where_not_one_slot_fits_it_is_refused_with_both_numbers() -> None:
    with pytest.raises(NotPossibleNow, match=r"needs \d+ MiB.*; 95 MiB are free") as caught:
        fit_memory(SETTINGS, BUNDLE, free_bytes=100_000_000)
    assert caught.value.reason is Reason.MEMORY_TOO_SMALL
    with pytest.raises(NotPossibleNow):
        fit_memory(SETTINGS, BUNDLE, FIXED_BYTES + 1000 * TOKEN_BYTES - 1)


def test_the_first_provider_that_is_there_is_chosen() -> None:
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert choose_provider(wanted, ["CPUExecutionProvider"]) == "CPUExecutionProvider"
    assert choose_provider(wanted, ["CPUExecutionProvider", "CUDAExecutionProvider"]) == "CUDAExecutionProvider"


def test_where_no_provider_is_there_those_that_are_get_named() -> None:
    with pytest.raises(NotPossibleNow, match=r"CUDAExecutionProvider can.*Choose of: CPUExecutionProvider"):
        choose_provider(("CUDAExecutionProvider",), ["CPUExecutionProvider"])
