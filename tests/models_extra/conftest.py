"""Small models with random weights, in the form in which Hugging Face keeps them."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedTokenizerFast

from tests.models_extra.making import Make

TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{{ eos_token }}{% endfor %}"


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes alone; like Llama's, it puts a token before every text, which a bundle's must not do."""
    tokens = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    inner = Tokenizer(BPE({token: index for index, token in enumerate(tokens)}, []))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", chat_template=TEMPLATE)


@pytest.fixture
def make_model(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Make:
    """Saves a model of a configuration, and returns its folder."""

    def make(config: PretrainedConfig) -> Path:
        torch.manual_seed(3)
        folder = tmp_path / "Tiny_Model"
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nA model with random weights.\n")
        return folder

    return make
