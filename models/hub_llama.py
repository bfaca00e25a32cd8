"""The weights of a transformers Llama model, for our own graph."""

import hashlib
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType

from models.blocks import Floats, Matrix
from models.llama import LlamaShape

_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""GGUF's names and transformers' own."""


class HubLlama:
    """A `LlamaForCausalLM` with float32 weights. Implements LlamaWeights."""

    def __init__(self, model: Any) -> None:
        self._state = model.state_dict()
        self.tied = bool(model.config.tie_word_embeddings)
        self.shape = _shape(model)

    def matrix(self, name: str) -> Matrix:
        """Returns a matrix; transformers keeps the rotary halves behind each other, as wanted."""
        return Matrix(self.vector(name), GGMLQuantizationType.F32)

    def vector(self, name: str) -> Floats:
        """Returns weights as they are."""
        if name.startswith("blk."):
            _, layer, part = name.split(".")
            return np.asarray(self._state[f"model.layers.{layer}.{_NAMES[part]}.weight"].numpy(), np.float32)
        return np.asarray(self._state[f"{_NAMES[name]}.weight"].numpy(), np.float32)


def is_plain_llama(model: Any) -> bool:
    """Whether our own graph says the same as this transformers model: no biases, no scaling of the attention, fixed rotary angles."""
    config = model.config
    if config.model_type != "llama" or config.attention_bias or config.mlp_bias or config.hidden_act != "silu":
        return False
    rotary = model.model.rotary_emb
    return rotary.attention_scaling == 1.0 and rotary.rope_type in ("default", "linear", "llama3")


def weights_digest(model: Any) -> str:
    """Returns the SHA-256 of all weights, name by name: what the model is, wherever it came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()


def _shape(model: Any) -> LlamaShape:
    config = model.config
    return LlamaShape(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        feed_forward=config.intermediate_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        vocabulary=config.vocab_size,
        context_tokens=config.max_position_embeddings,
        epsilon=config.rms_norm_eps,
        inverse_frequencies=model.model.rotary_emb.inv_freq.numpy().astype(np.float64),
    )
