"""Builds a bundle by a recipe: a GGUF file's weights as an ONNX graph, its tokenizer, and `bundle.json`."""

from pathlib import Path

from contract.bundle import BUNDLE_FILE, MODEL_FILE, TOKENIZER_FILE, Bundle, Shape
from contract.health import HEALTH_FILE
from models.blocks import Precision
from models.bundling import entries, new_folder
from models.errors import unsupported
from models.gguf_file import GgufFile
from models.llama import LlamaShape
from models.progress import Progress
from models.recipes import TEMPLATE_FROM_GGUF, Recipe
from models.rounding import write_graph
from models.tokenizer import read_tokenizer, token_ids, write_tokenizer


def build_bundle(recipe: Recipe, gguf: Path, precision: Precision, target: Path, progress: Progress) -> Bundle:
    """Writes a model's bundle.

    Args:
        recipe: what the model is.
        gguf: its weights and vocabulary.
        precision: how to store the weights.
        target: the bundle's folder.
        progress: is told of each layer.

    Raises:
        InvalidRequest: MODEL_SOURCE_INVALID: the GGUF file is broken, or of a model that cannot be written.
        Conflict: FIELD_INVALID: something that is no bundle is at `target`.
    """
    source = GgufFile(gguf)
    if recipe.context_tokens > source.shape.context_tokens:
        raise unsupported(f"the recipe gives it {recipe.context_tokens} tokens of context, it has {source.shape.context_tokens}")
    tokenizer = read_tokenizer(source)
    with new_folder(target) as folder:
        shape = bundle_shape(source.shape, recipe.context_tokens)
        write_graph(source, precision, shape, folder / MODEL_FILE, progress)
        write_tokenizer(tokenizer, folder / TOKENIZER_FILE)
        if recipe.health is not None:
            (folder / HEALTH_FILE).write_bytes(recipe.health.to_json())
        bundle = Bundle(
            name=recipe.name,
            version=bundle_version(recipe, precision),
            precision=precision,
            license=recipe.license,
            source=recipe.source,
            shape=shape,
            chat_template=_chat_template(recipe, source),
            stop_token_ids=token_ids(tokenizer, recipe.stop_tokens),
            files=entries(folder),
        )
        (folder / BUNDLE_FILE).write_bytes(bundle.to_json())
    return bundle


def bundle_version(recipe: Recipe, precision: Precision) -> str:
    """Returns the version of a recipe's bundle; each precision is a version of its own."""
    return f"{recipe.version}-{precision}"


def bundle_shape(shape: LlamaShape, context_tokens: int) -> Shape:
    """Returns what a runtime needs to know of a model's sizes."""
    return Shape(
        layers=shape.layers,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        vocabulary=shape.vocabulary,
        context_tokens=context_tokens,
    )


def _chat_template(recipe: Recipe, source: GgufFile) -> str:
    if recipe.chat_template != TEMPLATE_FROM_GGUF:
        return recipe.chat_template
    template = source.field("tokenizer.chat_template")
    if not isinstance(template, str):
        raise unsupported("it carries no chat template, and the recipe names none")
    return template
