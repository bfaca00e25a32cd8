from pathlib import Path

import numpy as np
import pytest

from contract.errors import InvalidRequest, Reason
from models.gguf_file import GgufFile
from tests.fakes import tiny_gguf
from tests.fakes.tiny_gguf import TinyGguf, vocabulary


def test_sizes_are_read(tmp_path: Path) -> None:
    shape = GgufFile(TinyGguf().write(tmp_path / "tiny.gguf")).shape
    assert (shape.layers, shape.hidden, shape.heads, shape.kv_heads, shape.head_dim) == (2, 64, 4, 2, 16)
    assert (shape.vocabulary, shape.context_tokens) == (len(vocabulary()), tiny_gguf.CONTEXT)
    assert shape.epsilon == pytest.approx(1e-5)
    np.testing.assert_allclose(shape.inverse_frequencies, [10000.0 ** (-i / 8) for i in range(8)])


@pytest.mark.parametrize("tied", [True, False])
def test_an_output_matrix_of_its_own_is_told_from_a_tied_one(tmp_path: Path, tied: bool) -> None:
    assert GgufFile(TinyGguf(tied=tied).write(tmp_path / "tiny.gguf")).tied is tied


@pytest.mark.parametrize(("name", "heads"), [("blk.0.attn_q", 4), ("blk.1.attn_k", 2)])
def test_rotary_halves_come_behind_each_other(tmp_path: Path, name: str, heads: int) -> None:
    source = GgufFile(TinyGguf().write(tmp_path / "tiny.gguf"))
    stored = next(tensor for tensor in source._reader.tensors if tensor.name == f"{name}.weight")
    raw = np.asarray(stored.data).reshape(heads, 16, -1)
    expected = np.concatenate([raw[:, 0::2], raw[:, 1::2]], axis=1)
    np.testing.assert_array_equal(source.matrix(name).raw.reshape(raw.shape), expected)


@pytest.mark.parametrize(
    ("tiny", "says"),
    [
        (TinyGguf(architecture="gpt2"), "its architecture is 'gpt2'"),
        (TinyGguf(fields={"llama.rope.scaling.type": "yarn"}), "partial or scaled"),
        (TinyGguf(extra=("rope_freqs.weight",)), "partial or scaled"),
        (TinyGguf(extra=("blk.0.attn_q.bias",)), "no place for: .'blk.0.attn_q.bias'."),
        (TinyGguf(leave_out=("blk.1.ffn_up.weight",)), "lacks the tensors .'blk.1.ffn_up.weight'."),
    ],
)
def test_what_the_graph_cannot_say_is_refused(tmp_path: Path, tiny: TinyGguf, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        GgufFile(tiny.write(tmp_path / "tiny.gguf"))
    assert caught.value.reason is Reason.MODEL_SOURCE_INVALID


def test_a_file_that_ends_anywhere_early_is_refused(tmp_path: Path) -> None:
    whole = TinyGguf().write(tmp_path / "tiny.gguf").read_bytes()
    for size in [0, 1, 4, 16, *range(24, len(whole) - 1, len(whole) // 60), len(whole) - 32]:
        part = tmp_path / f"{size}.gguf"
        part.write_bytes(whole[:size])
        with pytest.raises(InvalidRequest, match=r"no whole GGUF file|cannot be written"):
            GgufFile(part)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("This is no model.\n" * 100)
    with pytest.raises(InvalidRequest, match=r"text.gguf is no whole GGUF file .* Fetch it again"):
        GgufFile(tmp_path / "text.gguf")
