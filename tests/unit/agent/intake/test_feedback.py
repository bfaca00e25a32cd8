import pytest

from agent.intake.feedback import Feedback, read_feedback
from contract.errors import InvalidRequest, Reason


@pytest.mark.parametrize("name", ["id", "prompt_id"])
def test_the_id_may_stand_under_either_name(name: str) -> None:
    assert read_feedback(f'{{"{name}": "p1", "good": false}}'.encode()) == Feedback("p1", False)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff", Reason.UTF8_INVALID),
        (b"[]", Reason.JSON_INVALID),
        (b'{"good": true}', Reason.FIELD_INVALID),
        (b'{"id": "p1"}', Reason.FIELD_INVALID),
        (b'{"id": "p1", "good": 1}', Reason.FIELD_INVALID),
        (b'{"id": "", "good": true}', Reason.FIELD_INVALID),
        (b'{"id": "p1", "prompt_id": "p1", "good": true}', Reason.FIELD_INVALID),
        (b'{"id": "p1", "good": true, "comment": "bad"}', Reason.FIELD_UNKNOWN),
    ],
)
def test_anything_else_is_refused(payload: bytes, reason: Reason) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_feedback(payload)
    assert refused.value.reason is reason
