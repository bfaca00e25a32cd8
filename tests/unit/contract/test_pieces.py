"""Pieces of blobs are the messages that the proto describes: what is written and read by hand is compared with the generated class."""

import random

import pytest
from google.protobuf.message import DecodeError

from contract.errors import InvalidRequest, Reason
from contract.pieces import Piece
from seawall.hub.v1.release_pb2 import BlobPiece

DIGEST = "0123456789abcdef" * 4
NUMBERS = [0, 1, 127, 128, 300, 1_048_577, (1 << 31) - 1, 1 << 31, (1 << 63) - 1]
DATA = random.Random(3).randbytes(1_048_577)


def generated(piece: Piece) -> bytes:
    return BlobPiece(
        digest=piece.digest, offset=piece.offset, stored_size_bytes=piece.stored_size_bytes, data=bytes(piece.data)
    ).SerializeToString()


def same(piece: Piece, message: bytes) -> bool:
    other = BlobPiece.FromString(message)
    return piece == Piece(other.digest, other.offset, other.stored_size_bytes, memoryview(other.data))


@pytest.mark.parametrize("number", [*NUMBERS, -1, -(1 << 63)])
def test_a_message_is_byte_for_byte_the_generated_classs(number: int) -> None:
    for piece in (Piece(DIGEST, number, 7, b"data"), Piece(DIGEST, 7, number, memoryview(b"data"))):
        assert piece.to_message() == generated(piece)
        assert Piece.from_message(generated(piece)) == piece


@pytest.mark.parametrize("size_bytes", [1, 127, 128, 16_383, 16_384, 262_144, 1_048_577])
def test_data_of_every_size_comes_whole(size_bytes: int) -> None:
    piece = Piece(DIGEST, 0, 1_048_577, DATA[:size_bytes])
    assert piece.to_message() == generated(piece)
    assert Piece.from_message(piece.to_message()).data == DATA[:size_bytes]


def test_what_is_empty_may_be_left_out() -> None:
    assert Piece.from_message(b"") == Piece("", 0, 0, memoryview(b""))
    empty = Piece("", 0, 0, b"")
    assert same(empty, empty.to_message())


def test_data_is_a_view_into_the_message_and_no_copy() -> None:
    message = Piece(DIGEST, 0, len(DATA), DATA).to_message()
    data = Piece.from_message(message).data
    assert isinstance(data, memoryview)
    assert data.obj is message


@pytest.mark.parametrize(
    "added",
    [b"\x28\x96\x01", b"\x29" + bytes(8), b"\x2d" + bytes(4), b"\x2a\x03new", b"\x80\x7d\x05", b"\x0d" + bytes(4), b"\x22\x05later"],
    ids=["number", "eight bytes", "four bytes", "text", "high number", "digest as four bytes", "data again"],
)
def test_fields_that_are_not_known_are_passed_over_and_the_last_of_a_kind_counts(added: bytes) -> None:
    whole = generated(Piece(DIGEST, 5, 9, b"data"))
    for message in (whole + added, added + whole):
        assert same(Piece.from_message(message), message)


@pytest.mark.parametrize(
    "message",
    [
        b"\x0a",
        b"\x0a\x05abcd",
        b"\x10",
        b"\x10" + b"\x80" * 10 + b"\x01",
        b"\x10" + b"\xff" * 9 + b"\x02",
        b"\x00\x01",
        b"\x0a\x02\xff\xfe",
        b"\x22" + b"\xff" * 9 + b"\x01",
        b"\x29" + bytes(7),
        b"\x2d" + bytes(3),
        b"\x2b\x2c",
        b"\x2e",
        b"\x2f",
        b"\x28\x01" * 65,
    ],
    ids=[
        "no size",
        "cut off",
        "no number",
        "eleven bytes",
        "65 bits",
        "field 0",
        "no UTF-8",
        "huge",
        "cut 8",
        "cut 4",
        "group",
        "6",
        "7",
        "65 fields",
    ],
)
def test_what_is_no_such_message_is_refused(message: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Piece.from_message(message)
    assert caught.value.reason is Reason.RELEASE_INVALID


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_read_is_what_the_generated_class_reads(seed: int) -> None:
    compare_damaged(seed, 200)


@pytest.mark.system
@pytest.mark.parametrize("seed", range(100, 200))
def test_whatever_is_read_is_what_the_generated_class_reads_in_many_runs(seed: int) -> None:
    compare_damaged(seed, 5_000)


def compare_damaged(seed: int, runs: int) -> None:
    """Damages messages at random: each is refused, or read as the generated class reads it; what that refuses is refused."""
    randomness, read = random.Random(seed), 0
    for _ in range(runs):
        piece = Piece(DIGEST[: randomness.randrange(65)], randomness.choice(NUMBERS), randomness.choice(NUMBERS), randomness.randbytes(20))
        message = bytearray(generated(piece))
        for _ in range(randomness.randrange(4)):
            message[randomness.randrange(len(message))] = randomness.randrange(256)
        try:
            found = Piece.from_message(bytes(message))
        except InvalidRequest:
            continue
        try:
            assert same(found, bytes(message)), message.hex()
        except DecodeError:
            pytest.fail(f"{message.hex()} is read, and the generated class refuses it")
        read += 1
    assert read > runs // 10


def test_a_message_without_damage_is_never_refused() -> None:
    randomness = random.Random(9)
    for _ in range(500):
        piece = Piece(DIGEST, randomness.getrandbits(randomness.randrange(1, 64)), randomness.getrandbits(63), randomness.randbytes(40))
        assert Piece.from_message(generated(piece)) == piece
