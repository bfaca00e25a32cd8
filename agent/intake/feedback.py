"""What a client says of an answer that it got: `{"id": …, "good": true}`; `prompt_id` may stand in place of `id`. Pure."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import ValidationError

from agent.intake import strict_json
from agent.intake.fields import Id, InvalidField, Request, explained
from contract.errors import InvalidRequest, Reason

MAX_FEEDBACK_BYTES = 4096

GiveFeedback = Callable[[str, str, bool], Awaitable[None]]
"""Takes the client, the prompt's id, and whether its answer was good; raises SeawallError, such as ANSWER_NOT_FOUND."""


class _Feedback(Request):
    id: Id | None = None
    prompt_id: Id | None = None
    good: bool


@dataclass(frozen=True, slots=True)
class Feedback:
    """What is said of an answer."""

    prompt_id: str
    is_good: bool


def read_feedback(payload: bytes) -> Feedback:
    """Reads feedback.

    Raises:
        InvalidRequest: UTF8_INVALID, JSON_INVALID, FIELD_UNKNOWN, FIELD_INVALID.
    """
    content = strict_json.read(payload)
    if not isinstance(content, dict):
        raise InvalidRequest(Reason.JSON_INVALID, 'The text is JSON, but no object: send {"id": "...", "good": true}.')
    try:
        read = _Feedback.model_validate(content)
    except ValidationError as error:
        raise explained(error, _Feedback.model_fields) from None
    prompt_id = read.id or read.prompt_id
    if prompt_id is None or (read.id is not None and read.prompt_id is not None):
        raise InvalidField(Reason.FIELD_INVALID, "Give the id of the answer, in one of the fields 'id' and 'prompt_id'.", "id")
    return Feedback(prompt_id, read.good)
