"""The frames on the pipe between a process and its child."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.carrying import MOST_BYTES, Frame, FrameKind, Frames
from contract.errors import Reason, SeawallError
from contract.secagg import wire

NUMBERS = st.integers(0, 2**32 - 1)
FRAMES = st.builds(Frame, st.sampled_from(FrameKind), NUMBERS, st.text(max_size=63), st.binary(max_size=300), NUMBERS)


@given(st.lists(FRAMES, max_size=5), st.integers(1, 50))
def test_frames_arrive_whole_in_whatever_pieces(sent: list[Frame], piece_bytes: int) -> None:
    content = b"".join(frame.to_bytes() for frame in sent)
    frames = Frames()
    pieces = [content[start : start + piece_bytes] for start in range(0, len(content), piece_bytes)]
    assert [frame for piece in pieces for frame in frames.feed(piece)] == sent


def test_the_longest_message_of_a_round_fits() -> None:
    longest = Frame(FrameKind.MESSAGE, 1, "a1", bytes(wire.MOST_BYTES))
    assert list(Frames().feed(longest.to_bytes())) == [longest]


@pytest.mark.parametrize(
    "content",
    [
        Frame(FrameKind.MESSAGE, body=bytes(MOST_BYTES + 1)).to_bytes()[:15],
        b"\x00" + Frame(FrameKind.MESSAGE).to_bytes()[1:],
        b"\xff" + Frame(FrameKind.MESSAGE).to_bytes()[1:],
        Frame(FrameKind.MESSAGE, name="é").to_bytes().replace("é".encode(), b"\xff\xff"),
    ],
    ids=["too long", "no kind", "unknown kind", "no name"],
)
def test_what_is_no_frame_is_refused_before_more_is_read(content: bytes) -> None:
    with pytest.raises(SeawallError) as caught:
        list(Frames().feed(content))
    assert caught.value.reason is Reason.ROUND_MESSAGE_INVALID
