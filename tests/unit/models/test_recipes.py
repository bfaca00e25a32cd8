import pytest

from contract.errors import NotFound, Reason
from models.recipes import TEMPLATE_FROM_GGUF, names, read_recipe


def test_every_recipe_of_the_house_is_complete() -> None:
    assert "smollm2-135m-instruct" in names()
    for name in names():
        recipe = read_recipe(name)
        assert recipe.name == name
        assert recipe.context_tokens > 0
        assert recipe.stop_tokens
        assert len(recipe.source.sha256) == len(recipe.gguf_sha256) == 64
        assert recipe.wheel.startswith(f"{recipe.source.name.replace('-', '_')}-{recipe.source.version}-")


def test_the_shipped_model_takes_its_template_from_its_file() -> None:
    assert read_recipe("smollm2-135m-instruct").chat_template == TEMPLATE_FROM_GGUF


@pytest.mark.parametrize("name", ["gpt-5", "", "..", "evaluation", "smollm2-135m-instruct/"])
def test_an_unknown_name_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(NotFound, match=r"Known: .*smollm2-135m-instruct") as caught:
        read_recipe(name)
    assert caught.value.reason is Reason.MODEL_UNKNOWN
