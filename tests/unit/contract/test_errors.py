"""The tree of errors, as both sides read it."""

from collections.abc import Iterator

import grpc
import pytest

from contract.errors import Reason, SeawallError


def tree(root: type[SeawallError]) -> Iterator[type[SeawallError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == root.__module__:  # other rooms have errors of their own below these
            yield from tree(child)


@pytest.mark.parametrize("kind", list(tree(SeawallError)))
def test_every_error_has_a_code_that_exists_and_says_what_it_was_told(kind: type[SeawallError]) -> None:
    error = kind(Reason.INTERNAL, "what to do")
    assert (error.reason, error.message, str(error)) == (Reason.INTERNAL, "what to do", "what to do")
    assert error.grpc_code in grpc.StatusCode.__members__
    assert 400 <= error.http_status < 600


def test_a_reason_is_spelt_as_it_is_named() -> None:
    for reason in Reason:
        assert reason.value == reason.name
        assert len(reason) <= 63
