"""Builds a bundle of any model that optimum can export: from Hugging Face by its id, or from a folder.

A Llama without peculiarities is written as our own graph, which is the faster one; anything else is optimum's graph, made 8-bit and
adapted to the engine. Either is then compared with optimum's float32 export, so that no graph is bundled that says something else.
"""

import json
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from huggingface_hub import ModelCard
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError
from optimum.exporters.onnx import onnx_export_from_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from contract.bundle import BUNDLE_FILE, MODEL_FILE, TOKENIZER_FILE, Bundle, Shape, Source
from contract.errors import Reason, Unavailable
from models.adapted import adapt
from models.blocks import Precision
from models.build import bundle_shape
from models.bundling import entries, new_folder
from models.check import check_against_export
from models.errors import unsupported
from models.evaluation.report import TEXT
from models.graph import MICROSOFT
from models.hub_llama import HubLlama, is_plain_llama, weights_digest
from models.progress import Progress
from models.quantized import quantize
from models.rounding import write_graph

MOST_CONTEXT_TOKENS = 4096
"""A row of the cache has as many; a model that was trained for more would take memory that a small device lacks."""

_CHECKED_CHARACTERS = 400
_LICENSE_UNKNOWN = "NOASSERTION"
"""SPDX's word."""


def bundle_name(hub_id: str) -> str:
    """Returns the name of the bundle that is built of a model."""
    return re.sub(r"[^a-z0-9.-]+", "-", Path(hub_id).name.lower()).strip("-.")[:40] or "model"


def build_from_hub(hub_id: str, revision: str, precision: Precision, target: Path, progress: Progress) -> Bundle:
    """Writes a model's bundle.

    Args:
        hub_id: `ORG/NAME`, or a folder in the same form. Only safetensors are read, and no code of the model's is run.
        revision: a branch, tag or commit.
        precision: how to store the weights; the int4 ones are for Llama models.
        target: the bundle's folder.
        progress: is told of each step.

    Raises:
        Unavailable: MODEL_SOURCE_UNAVAILABLE: it cannot be loaded.
        InvalidRequest: MODEL_SOURCE_INVALID: it is of a kind that cannot be written.
        Conflict: FIELD_INVALID: something that is no bundle is at `target`.
    """
    progress.say(f"Loading {hub_id}")
    model, tokenizer = _load(hub_id, revision)
    template, stop_token_ids = _chat_template(tokenizer), _stop_token_ids(model, tokenizer)
    digest = weights_digest(model)
    with new_folder(target) as folder, tempfile.TemporaryDirectory(prefix=".exported-", dir=target.parent) as room:
        progress.say("Exporting with optimum")
        exported = export_float32(model, Path(room))
        shape = _write_graph(model, exported, precision, folder, progress)
        _write_tokenizer(tokenizer, folder / TOKENIZER_FILE)
        progress.say("Comparing with the export")
        text = TEXT.read_text(encoding="utf-8")[:_CHECKED_CHARACTERS]
        check_against_export(folder / MODEL_FILE, shape, exported, tokenizer.encode(text, add_special_tokens=False))
        bundle = Bundle(
            name=bundle_name(hub_id),
            version=f"{digest[:12]}-{precision}",
            precision=precision,
            license=_license(hub_id),
            source=Source("huggingface", hub_id, model.config._commit_hash or "local", digest),
            shape=shape,
            chat_template=template,
            stop_token_ids=stop_token_ids,
            files=entries(folder),
        )
        (folder / BUNDLE_FILE).write_bytes(bundle.to_json())
    return bundle


def _load(hub_id: str, revision: str) -> tuple[Any, Any]:
    try:
        tokenizer = AutoTokenizer.from_pretrained(hub_id, revision=revision)
        model = AutoModelForCausalLM.from_pretrained(hub_id, revision=revision, dtype=torch.float32, use_safetensors=True)
    except (OSError, HFValidationError) as error:
        why = f"{hub_id} cannot be loaded: {_first_line(error)} Check the id and the network, or name a folder that holds the model."
        raise Unavailable(Reason.MODEL_SOURCE_UNAVAILABLE, why) from error
    except (ValueError, KeyError, ImportError) as error:
        raise unsupported(_first_line(error)) from error
    if not tokenizer.is_fast:
        raise unsupported("its tokenizer has no tokenizer.json form")
    return model.eval(), tokenizer


def export_float32(model: Any, folder: Path) -> Path:
    """Writes optimum's float32 graph and returns its path."""
    with warnings.catch_warnings():
        # The tracer warns of every branch in the model's code. Whatever it froze wrongly, the comparison finds.
        warnings.simplefilter("ignore")
        try:
            onnx_export_from_model(model, folder, task="text-generation-with-past", do_validation=False)
        except (ValueError, KeyError, NotImplementedError, RuntimeError) as error:
            raise unsupported(f"optimum cannot export it: {_first_line(error)}") from error
    return folder / "model.onnx"


def _write_graph(model: Any, exported: Path, precision: Precision, folder: Path, progress: Progress) -> Shape:
    context_tokens = min(MOST_CONTEXT_TOKENS, model.config.max_position_embeddings)
    if is_plain_llama(model):
        weights = HubLlama(model)
        shape = bundle_shape(weights.shape, context_tokens)
        write_graph(weights, precision, shape, folder / MODEL_FILE, progress)
        return shape
    if precision is not Precision.INT8:
        raise unsupported(f"{precision} is for plain Llama models, and this one is {model.config.model_type!r}. Take int8")
    graph = onnx.load(exported)
    quantize(graph.graph)
    shape = adapt(graph, context_tokens)
    if MICROSOFT not in {opset.domain for opset in graph.opset_import}:
        graph.opset_import.append(onnx.helper.make_opsetid(MICROSOFT, 1))
    data = f"{MODEL_FILE}.data"
    onnx.save(graph, folder / MODEL_FILE, save_as_external_data=True, all_tensors_to_one_file=True, location=data)
    return shape


def _write_tokenizer(tokenizer: Any, path: Path) -> None:
    """Writes the tokenizer without what adds, cuts or fills: what a prompt begins with is the template's to say."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    content |= {"post_processor": None, "truncation": None, "padding": None}
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _chat_template(tokenizer: Any) -> str:
    """Returns the template with the tokens that it may name defined in it, since the engine hands it messages alone."""
    try:
        template = tokenizer.get_chat_template()
    except ValueError as error:
        raise unsupported("it has no chat template, so it is no model that answers") from error
    tokens = {"bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token}
    defined = "".join(f"{{% set {name} = {json.dumps(value or '')} %}}" for name, value in tokens.items())
    return f"{defined}{template}"


def _stop_token_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    named = model.generation_config.eos_token_id
    ids = {*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id} - {None}
    if not ids:
        raise unsupported("it names no token that ends an answer")
    return tuple(sorted(ids))


def _license(hub_id: str) -> str:
    """Returns what the model's card says."""
    card = Path(hub_id) / "README.md" if Path(hub_id).is_dir() else hub_id
    try:
        return ModelCard.load(card).data.get("license") or _LICENSE_UNKNOWN
    except (FileNotFoundError, EntryNotFoundError, HfHubHTTPError, ValueError):
        return _LICENSE_UNKNOWN


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
