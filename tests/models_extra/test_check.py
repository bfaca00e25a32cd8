"""The comparison with optimum's export lets no graph through that says something else."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from contract.bundle import MODEL_FILE
from contract.errors import InvalidRequest
from models.blocks import Matrix, Precision
from models.build import bundle_shape
from models.check import check_against_export
from models.hub_build import export_float32
from models.hub_llama import HubLlama
from models.llama_graph import write_llama
from models.progress import Quiet
from tests.models_extra.making import Make

TOKENS = range(2, 60)
CONFIG = LlamaConfig(
    vocab_size=258,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=96,
    initializer_range=0.15,
)


class WrongAngles(HubLlama):
    def __init__(self, model: object) -> None:
        super().__init__(model)
        self.shape = replace(self.shape, inverse_frequencies=self.shape.inverse_frequencies[::-1])


class SwappedWeights(HubLlama):
    def matrix(self, name: str) -> Matrix:
        return super().matrix(name.replace("ffn_gate", "ffn_up"))


@pytest.mark.parametrize(("weights", "right"), [(HubLlama, True), (WrongAngles, False), (SwappedWeights, False)])
def test_a_graph_that_says_something_else_is_refused(make_model: Make, tmp_path: Path, weights: type[HubLlama], right: bool) -> None:
    model = AutoModelForCausalLM.from_pretrained(make_model(CONFIG), dtype=torch.float32)
    exported = export_float32(model, tmp_path / "exported")
    source = weights(model)
    write_llama(source, Precision.INT8, 96, tmp_path / MODEL_FILE, Quiet())
    arguments = tmp_path / MODEL_FILE, bundle_shape(source.shape, 96), exported, TOKENS
    if right:
        assert check_against_export(*arguments) > 0.99
    else:
        with pytest.raises(InvalidRequest, match="differs from the model's own"):
            check_against_export(*arguments)
