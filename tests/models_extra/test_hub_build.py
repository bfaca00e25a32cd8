"""Any model through optimum, for real: small random models, exported, written, bundled, and run by the agent's own session."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from agent.inference.loading import load_bundle
from agent.inference.session import ModelSession
from agent.inference.tokenizer import ChatTokenizer
from agent.prompts import Message
from contract.bundle import MODEL_FILE, TOKENIZER_FILE, Bundle
from contract.errors import InvalidRequest, Unavailable
from models.blocks import Precision
from models.hub_build import build_from_hub, bundle_name
from models.progress import Quiet
from tests.models_extra.making import Make

VOCABULARY = 258
IDS = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 1, "initializer_range": 0.15}
SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 96}
LLAMA = {**IDS, **SIZES, "intermediate_size": 96, "num_key_value_heads": 2}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 24,
}
TOKENS = [int(token) for token in np.random.default_rng(4).integers(2, VOCABULARY, 40)]

OURS: dict[str, Callable[[], PretrainedConfig]] = {
    "llama": lambda: LlamaConfig(**LLAMA),
    "llama tied": lambda: LlamaConfig(**LLAMA, tie_word_embeddings=True),
    "llama 3": lambda: LlamaConfig(**LLAMA, rope_scaling=LLAMA3_ROPE),
}
ADAPTED: dict[str, Callable[[], PretrainedConfig]] = {
    "llama with biases": lambda: LlamaConfig(**LLAMA, attention_bias=True),
    "qwen2": lambda: Qwen2Config(**LLAMA, tie_word_embeddings=True),
    "gpt2": lambda: GPT2Config(**IDS, n_embd=64, n_layer=2, n_head=4, n_positions=96),
    "gpt_neox": lambda: GPTNeoXConfig(**IDS, **SIZES, intermediate_size=96),
    "opt": lambda: OPTConfig(**IDS, **SIZES, ffn_dim=96, word_embed_proj_dim=64, init_std=0.15),
}


def build(folder: Path, precision: Precision = Precision.INT8) -> tuple[Path, Bundle]:
    target = folder.parent / "bundle"
    build_from_hub(str(folder), "main", precision, target, Quiet())
    return target, load_bundle(target)


def torch_logits(folder: Path, tokens: list[int]) -> NDArray[np.float32]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return np.asarray(model(torch.tensor([tokens])).logits[0].numpy(), np.float32)


def similarity(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    return float(np.corrcoef(left.ravel(), right.ravel())[0, 1])


def operators(target: Path) -> set[str]:
    return {node.op_type for node in onnx.load(target / MODEL_FILE, load_external_data=False).graph.node}


@pytest.mark.parametrize("name", [*OURS, *ADAPTED])
def test_a_bundle_says_what_the_model_says(make_model: Make, name: str) -> None:
    folder = make_model({**OURS, **ADAPTED}[name]())
    target, bundle = build(folder)
    expected = torch_logits(folder, TOKENS)
    session = ModelSession(target / MODEL_FILE, bundle.shape, rows=3, context_tokens=64, threads=1)

    at_once = session.extend(0, TOKENS, 0, len(TOKENS)).copy()
    assert similarity(at_once, expected) > 0.99
    assert (at_once.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.8

    in_pieces = [session.extend(1, TOKENS[start : start + 15], start, len(TOKENS[start : start + 15])).copy() for start in (0, 15, 30)]
    assert similarity(np.concatenate(in_pieces), at_once) > 0.999

    last = session.extend(2, TOKENS[:11], 0)[0].copy()
    assert similarity(last, at_once[10]) > 0.999


@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2"])
def test_rows_of_different_lengths_decode_together_as_each_alone(make_model: Make, name: str) -> None:
    target, bundle = build(make_model({**OURS, **ADAPTED}[name]()))
    session = ModelSession(target / MODEL_FILE, bundle.shape, rows=3, context_tokens=64, threads=1)
    starts = [5, 23, 14]
    for row, start in enumerate(starts):
        session.extend(row, TOKENS[row : row + start], 0)
    together = session.decode([TOKENS[row + start] for row, start in enumerate(starts)], starts).copy()
    again = session.decode([2, 3, 4], [start + 1 for start in starts]).copy()
    for row, start in enumerate(starts):
        alone = ModelSession(target / MODEL_FILE, bundle.shape, rows=1, context_tokens=64, threads=1)
        tokens = [*TOKENS[row : row + start + 1], row + 2]
        logits = alone.extend(0, tokens, 0, 2)
        assert similarity(together[row], logits[0]) > 0.999
        assert similarity(again[row], logits[1]) > 0.999


@pytest.mark.parametrize("name", ["llama", "llama tied"])
@pytest.mark.parametrize("precision", [Precision.INT4_EXACT, Precision.INT4_COLUMNS])
def test_a_llama_may_have_four_bits(make_model: Make, name: str, precision: Precision) -> None:
    folder = make_model(OURS[name]())
    target, bundle = build(folder, precision)
    session = ModelSession(target / MODEL_FILE, bundle.shape, rows=1, context_tokens=64, threads=1)
    assert similarity(session.extend(0, TOKENS, 0, len(TOKENS)), torch_logits(folder, TOKENS)) > 0.9


def test_a_plain_llama_becomes_our_own_graph_and_others_optimums(make_model: Make, tmp_path: Path) -> None:
    ours, _ = build(make_model(OURS["llama"]()))
    assert {"GroupQueryAttention", "MatMulNBits", "GatherBlockQuantized"} <= operators(ours)
    shutil.rmtree(tmp_path / "Tiny_Model")
    adapted, _ = build(make_model(ADAPTED["qwen2"]()))
    assert {"ScatterElements", "MatMulNBits", "GatherBlockQuantized"} <= operators(adapted)
    assert "GroupQueryAttention" not in operators(adapted)


def test_the_bundle_says_what_it_is(make_model: Make) -> None:
    _, bundle = build(make_model(OURS["llama"]()))
    assert (bundle.name, bundle.precision, bundle.license) == ("tiny-model", "int8", "apache-2.0")
    assert bundle.version == f"{bundle.source.sha256[:12]}-int8"
    assert (bundle.source.kind, bundle.source.version) == ("huggingface", "local")
    assert (bundle.shape.layers, bundle.shape.kv_heads, bundle.shape.head_dim) == (2, 2, 16)
    assert (bundle.shape.vocabulary, bundle.shape.context_tokens) == (VOCABULARY, 96)
    assert bundle.stop_token_ids == (1,)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_same_model_gives_the_same_bundle(make_model: Make, name: str) -> None:
    folder = make_model({**OURS, **ADAPTED}[name]())
    assert build(folder)[1].digest() == build(folder)[1].digest()


def test_the_agent_reads_a_conversation_as_transformers_does(make_model: Make, tokenizer: PreTrainedTokenizerFast) -> None:
    target, bundle = build(make_model(OURS["llama"]()))
    ours = ChatTokenizer(target / TOKENIZER_FILE, bundle.chat_template).encode([Message("user", "Hi, 2 you")], 100)
    theirs = tokenizer.apply_chat_template([{"role": "user", "content": "Hi, 2 you"}], add_generation_prompt=True)
    assert ours == theirs
    assert ours[0] == 0


def test_four_bits_are_for_llamas(make_model: Make) -> None:
    with pytest.raises(InvalidRequest, match=r"int4-exact is for plain Llama models, and this one is 'qwen2'. Take int8"):
        build(make_model(ADAPTED["qwen2"]()), Precision.INT4_EXACT)


def test_a_model_without_a_chat_template_is_refused(make_model: Make) -> None:
    folder = make_model(OURS["llama"]())
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(InvalidRequest, match="has no chat template"):
        build(folder)
    assert not (folder.parent / "bundle").exists()


def test_pickled_weights_are_not_read(make_model: Make) -> None:
    folder = make_model(OURS["llama"]())
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(Unavailable, match="safetensors"):
        build(folder)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="Check the id and the network"):
        build(tmp_path / "nothing")


def test_an_architecture_that_nobody_knows_is_refused(make_model: Make) -> None:
    folder = make_model(OURS["llama"]())
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"model_type": "llama"', '"model_type": "novel"'))
    with pytest.raises(InvalidRequest, match="novel"):
        build(folder)


@pytest.mark.parametrize(("hub_id", "name"), [("Org/Some_Model.v1-1B", "some-model.v1-1b"), ("./", "model"), ("/data/Ünï", "n")])
def test_a_bundles_name_follows_from_the_id(hub_id: str, name: str) -> None:
    assert bundle_name(hub_id) == name
