"""The fields of a request that both intakes know, their bounds, and how a wrong one is told to the one who asked."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from agent.intake.strict_json import named
from agent.prompts import Message, Sampling
from contract.errors import InvalidRequest, Reason


class InvalidField(InvalidRequest):
    """A field is unknown or wrong.

    Args:
        reason: FIELD_UNKNOWN or FIELD_INVALID.
        message: as in every SeawallError.
        field: where, such as `messages[2].content`.
    """

    def __init__(self, reason: Reason, message: str, field: str) -> None:
        super().__init__(reason, message)
        self.field = field


def is_id(text: str) -> bool:
    """Says whether a text can be the id of a prompt or a conversation, or a client's name: 1 to 128 printable characters."""
    return 1 <= len(text) <= 128 and text.isprintable()


def _checked_id(text: str) -> str:
    if not is_id(text):
        raise PydanticCustomError("id", "It should be 1 to 128 printable characters")
    return text


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Id = Annotated[str, AfterValidator(_checked_id)]
TimeoutSeconds = Annotated[float, Field(gt=0, le=86_400)]
ClassName = Literal["public", "internal", "confidential", "restricted"]
"""Of a contract.classification.DataClass."""
StopTexts = Annotated[list[Annotated[str, StringConstraints(min_length=1, max_length=256)]], Field(max_length=8), BeforeValidator(_as_list)]


class Request(BaseModel):
    """A JSON object whose types are taken as they stand, and in which unknown fields are errors. null means left out."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class SamplingRequest(Request):
    """How tokens are chosen. Bounds: temperature and top_p as in OpenAI's API; the others are what a sampler can use at all."""

    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    stop: StopTexts | None = None

    def sampling(self) -> Sampling:
        """Returns the values, with the defaults where none were given."""
        names = ("max_tokens", "temperature", "top_p", "top_k", "seed", "repetition_penalty")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        return Sampling(stop=tuple(self.stop or ()), **given)


def checked_messages(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Returns messages that can be answered.

    Raises:
        InvalidRequest: PROMPT_INVALID: there are none, the last is not the user's, or it is blank.
    """
    if not messages:
        raise InvalidRequest(Reason.PROMPT_INVALID, "There is no prompt: give at least one message of the user.")
    if messages[-1].role != "user":
        raise InvalidRequest(Reason.PROMPT_INVALID, f"The last message has the role {messages[-1].role}: end with one of the user.")
    if not messages[-1].content.strip():
        raise InvalidRequest(Reason.PROMPT_INVALID, "The prompt is empty: write what is asked.")
    return messages


def explained(error: ValidationError, known: Iterable[str]) -> InvalidField:
    """Turns the first complaint into an error of ours, without the value that was sent.

    Args:
        error: of the validation of a request.
        known: the names of its fields, for a guess at what was meant.
    """
    complaints = error.errors(include_url=False, include_context=False, include_input=False)
    complaint = next((complaint for complaint in complaints if complaint["type"] == "extra_forbidden"), complaints[0])
    if complaint["type"] == "extra_forbidden":
        return unknown_field(_path(complaint["loc"]), known)
    field = _path(complaint["loc"])
    # pydantic would name our class here.
    message = "It should be an object" if complaint["type"] == "model_type" else complaint["msg"]
    return InvalidField(Reason.FIELD_INVALID, f"The field {named(field)} is wrong: {message[0].lower()}{message[1:]}.", field)


def unknown_field(field: str, known: Iterable[str]) -> InvalidField:
    """Says that a field is unknown, and which one may have been meant."""
    near = get_close_matches(field.rpartition(".")[2][:60], list(known), n=1)
    hint = f"Did you mean {named(near[0])}?" if near else "Leave it out."
    return InvalidField(Reason.FIELD_UNKNOWN, f"The field {named(field)} is unknown. {hint}", field)


def _path(location: tuple[int | str, ...]) -> str:
    steps = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(steps).removeprefix(".") or "(the whole text)"
