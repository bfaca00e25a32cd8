"""A GGUF file of a Llama model with random weights, small enough to be made in every test that wants one."""

from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from tokenizers import pre_tokenizers

LAYERS, HIDDEN, HEADS, KV_HEADS, WIDTH, CONTEXT = 2, 64, 4, 2, 96, 128
MERGES = ["h e", "l l", "he ll", "Ġ w", "o r"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
DEVIATION = 0.15
"""Of the weights: so large that attention and the rotary embedding matter, and that a wrong one shows."""

TEMPLATE = "{% for message in messages %}<|im_start|>{{ message['content'] }}<|im_end|>{% endfor %}"


@dataclass(frozen=True)
class TinyGguf:
    """What to write; the defaults are a plain Llama.

    Args:
        kind: how the matrices are stored.
        tied: whether the embedding is the output matrix too.
        architecture: what the file calls itself.
        splitter: the name of its pre-tokenizer.
        leave_out: tensors that are missing.
        extra: tensors that a Llama has not.
        fields: further metadata.
    """

    kind: Kind = Kind.Q4_1
    tied: bool = True
    architecture: str = "llama"
    splitter: str = "smollm"
    template: str | None = TEMPLATE
    leave_out: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    fields: dict[str, str] = field(default_factory=dict)
    seed: int = 7

    def write(self, path: Path) -> Path:
        """Writes the file and returns its path."""
        writer = gguf.GGUFWriter(path, self.architecture)
        tokens = vocabulary()
        self._add_sizes(writer)
        self._add_tokenizer(writer, tokens)
        for name, shape in _shapes(len(tokens), self.tied).items():
            if name not in self.leave_out:
                self._add_tensor(writer, name, shape)
        for name in self.extra:
            writer.add_tensor(name, np.ones(HIDDEN, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def _add_sizes(self, writer: gguf.GGUFWriter) -> None:
        writer.add_block_count(LAYERS)
        writer.add_embedding_length(HIDDEN)
        writer.add_feed_forward_length(WIDTH)
        writer.add_head_count(HEADS)
        writer.add_head_count_kv(KV_HEADS)
        writer.add_context_length(CONTEXT)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_rope_freq_base(10000.0)
        for key, value in self.fields.items():
            writer.add_string(key, value)

    def _add_tokenizer(self, writer: gguf.GGUFWriter, tokens: list[str]) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(self.splitter)
        writer.add_token_list(tokens)
        writer.add_token_types([gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token in tokens])
        writer.add_token_merges(MERGES)
        if self.template is not None:
            writer.add_chat_template(self.template)

    def _add_tensor(self, writer: gguf.GGUFWriter, name: str, shape: tuple[int, ...]) -> None:
        noise = np.random.default_rng([self.seed, *name.encode()]).standard_normal(shape).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(name, 1 + noise / 10)
            return
        kind = Kind.Q8_0 if name == "token_embd.weight" else self.kind
        values = noise * np.float32(DEVIATION)
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)


def vocabulary() -> list[str]:
    """Returns the tokens: the special ones, every byte, what the merges make."""
    return [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES)]


def _shapes(tokens: int, tied: bool) -> dict[str, tuple[int, ...]]:
    kv = HIDDEN // HEADS * KV_HEADS
    layer: dict[str, tuple[int, ...]] = {
        "attn_norm": (HIDDEN,),
        "attn_q": (HIDDEN, HIDDEN),
        "attn_k": (kv, HIDDEN),
        "attn_v": (kv, HIDDEN),
        "attn_output": (HIDDEN, HIDDEN),
        "ffn_norm": (HIDDEN,),
        "ffn_gate": (WIDTH, HIDDEN),
        "ffn_up": (WIDTH, HIDDEN),
        "ffn_down": (HIDDEN, WIDTH),
    }
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (tokens, HIDDEN), "output_norm.weight": (HIDDEN,)}
    if not tied:
        shapes["output.weight"] = (tokens, HIDDEN)
    return shapes | {f"blk.{index}.{name}.weight": shape for index in range(LAYERS) for name, shape in layer.items()}
