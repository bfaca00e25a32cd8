import pytest

from agent.inference.chat_template import ChatTemplate
from contract.errors import InvalidRequest, Reason

MESSAGES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]


def test_messages_and_the_opening_of_the_answer_are_rendered() -> None:
    template = ChatTemplate(
        "{% for m in messages %}\n    {% if m.role == 'system' %}{% continue %}{% endif %}\n[{{ m.role }}]{{ m.content }}\n{% endfor %}\n"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    assert template.render([{"role": "system", "content": "x"}, *MESSAGES]) == "[user]hi\n[assistant]ho\n[assistant]"


def test_a_template_may_refuse_messages_and_its_words_are_not_passed_on() -> None:
    template = ChatTemplate("{{ raise_exception('bad: ' + messages[0].content) }}")
    with pytest.raises(InvalidRequest) as caught:
        template.render(MESSAGES)
    assert caught.value.reason is Reason.PROMPT_INVALID
    assert "hi" not in caught.value.message.split()


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'x' * 10000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ range(1000000000) | list }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[7].content + 1 }}",
        "{{ 1 / 0 }}",
        "{{ cycler.__init__.__globals__ }}",
        "{% include '/etc/passwd' %}",
    ],
)
def test_a_template_that_fails_loops_or_breaks_out_is_an_invalid_bundle(source: str) -> None:
    template = ChatTemplate(source)
    with pytest.raises(InvalidRequest) as caught:
        template.render(MESSAGES)
    assert caught.value.reason is Reason.BUNDLE_INVALID


def test_a_template_that_does_not_compile_is_an_invalid_bundle() -> None:
    with pytest.raises(InvalidRequest) as caught:
        ChatTemplate("{% for %}")
    assert caught.value.reason is Reason.BUNDLE_INVALID


def test_numbers_may_be_multiplied() -> None:
    assert ChatTemplate("{{ 6 * 7 }}").render(MESSAGES) == "42"
