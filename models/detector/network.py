"""MiniLM's encoder in PyTorch, with the shapes of words added and a label for each token."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from agent.detection.words import SHAPES
from models.minilm.source import encoder_state

HIDDEN = 384
HEADS = 12
INNER = 1536
EPSILON = 1e-12


class Layer(nn.Module):  # type: ignore[misc] # torch is not in the venv of the checks
    """One of BERT's layers (Devlin et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.mix = (nn.Linear(HIDDEN, HIDDEN) for _ in range(4))
        self.up, self.down = nn.Linear(HIDDEN, INNER), nn.Linear(INNER, HIDDEN)
        self.mix_norm, self.down_norm = (nn.LayerNorm(HIDDEN, eps=EPSILON) for _ in range(2))

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Reads states [batch, tokens, HIDDEN]; mask [batch, 1, 1, tokens] is True where a token is."""
        query, key, value = (
            part(states).unflatten(-1, (HEADS, HIDDEN // HEADS)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)
        states = self.mix_norm(states + nn.functional.dropout(self.mix(mixed), 0.1, self.training))
        inner = self.down(nn.functional.gelu(self.up(states)))
        return self.down_norm(states + nn.functional.dropout(inner, 0.1, self.training))


class Tagger(nn.Module):  # type: ignore[misc]
    """Tells for each token how likely each label is.

    Args:
        labels: how many there are.
        layers: of MiniLM's six, the first ones that are kept.
    """

    def __init__(self, labels: int, layers: int) -> None:
        super().__init__()
        self.words = nn.Embedding(30522, HIDDEN)
        self.positions = nn.Embedding(512, HIDDEN)
        self.words_norm = nn.LayerNorm(HIDDEN, eps=EPSILON)
        self.shapes = nn.Embedding(SHAPES, HIDDEN)
        self.layers = nn.ModuleList(Layer() for _ in range(layers))
        self.head = nn.Linear(HIDDEN, labels)
        nn.init.zeros_(self.shapes.weight)

    def forward(self, ids: torch.Tensor, shapes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Returns logits [batch, tokens, labels] of ids and shapes [batch, tokens]; mask is True where a token is."""
        states = self.words_norm(self.words(ids) + self.positions.weight[: ids.shape[1]]) + self.shapes(shapes)
        for layer in self.layers:
            states = layer(states, mask[:, None, None, :])
        return self.head(states)


def load_encoder(tagger: Tagger, weights: Path) -> None:
    """Puts MiniLM's weights, a safetensors file, into the tagger."""
    state = encoder_state(load_file(weights), len(tagger.layers))
    fresh = {name: value for name, value in tagger.state_dict().items() if name not in state}  # shapes and labels, which MiniLM has not
    tagger.load_state_dict(state | fresh)
