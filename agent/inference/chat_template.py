"""Renders a model's chat template. It comes with the model, so it runs in a sandbox, with a bound on its loops.

Follows what Hugging Face templates expect: blocks are trimmed, `break` and `continue` work, and `raise_exception` ends the rendering.
"""

from collections.abc import Mapping, Sequence
from typing import NoReturn

from jinja2 import TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from contract.errors import InvalidRequest, Reason

MAX_TURNS = 100_000
"""Passes through loops and macros in one rendering. A conversation needs a few for each message."""


class _Rejected(TemplateError):
    """The template says itself that it cannot render these messages."""


class _TooLong(TemplateError):
    """The template has looped, or multiplied, for too long."""


class ChatTemplate:
    """A compiled template.

    Args:
        source: Jinja text.

    Raises:
        InvalidRequest: BUNDLE_INVALID, it does not compile.
    """

    def __init__(self, source: str) -> None:
        environment = _Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
        environment.globals = {
            "raise_exception": _reject,
            "namespace": environment.globals["namespace"],
            "range": environment.globals["range"],
        }
        try:
            tree = environment.parse(source)
            _count_turns(tree, environment)
            self._template = environment.from_string(tree)
        except (TemplateError, RecursionError) as error:
            raise InvalidRequest(Reason.BUNDLE_INVALID, "The model's chat template is no valid Jinja. Build the bundle again.") from error

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Renders messages, with the opening of the answer at the end.

        Raises:
            InvalidRequest: PROMPT_INVALID where the template refuses the messages; BUNDLE_INVALID where it fails or does not end.
        """
        try:
            return self._template.render(messages=messages, add_generation_prompt=True, _turn=_Turns())
        except _Rejected as error:
            raise InvalidRequest(
                Reason.PROMPT_INVALID, "The model's chat template refuses this order of messages: let user and assistant take turns."
            ) from error
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError, AttributeError) as error:
            raise InvalidRequest(
                Reason.BUNDLE_INVALID, f"The model's chat template failed ({type(error).__name__}). Build the bundle again."
            ) from error


class _Environment(ImmutableSandboxedEnvironment):
    """Forbids the two operators that make much out of little."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, _context: object, operator: str, left: object, right: object) -> object:
        if operator == "*" and isinstance(left, int | float) and isinstance(right, int | float):
            return left * right
        raise _TooLong(f"{operator} is not allowed")


class _Turns:
    """Called at each pass through a loop or a macro."""

    def __init__(self) -> None:
        self._left = MAX_TURNS

    def __call__(self) -> str:
        self._left -= 1
        if self._left < 0:
            raise _TooLong("too many turns")
        return ""


def _count_turns(tree: nodes.Template, environment: ImmutableSandboxedEnvironment) -> None:
    repeated: list[nodes.For | nodes.Macro] = [*tree.find_all(nodes.For), *tree.find_all(nodes.Macro)]
    for node in repeated:
        call = nodes.Call(nodes.Name("_turn", "load"), [], [], None, None)
        node.body.insert(0, nodes.Output([call]))
        node.set_lineno(node.lineno, override=False)
    tree.set_environment(environment)


def _reject(_message: str = "") -> NoReturn:
    raise _Rejected("refused")
