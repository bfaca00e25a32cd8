"""Pages: none is larger than a client takes, and none is empty while there is more."""

import pytest

from hub.api.paging import MAX_PAGE_BYTES, fitting
from seawall.hub.v1 import command_pb2


@pytest.mark.parametrize(("sizes", "shown"), [([], 0), ([0.1, 0.1], 2), ([0.4, 0.4, 0.4], 2), ([1.5, 0.1], 1), ([0.9, 0.2, 0.01], 1)])
def test_a_page_has_as_many_items_as_go_into_a_message(sizes: list[float], shown: int) -> None:
    commands = [command_pb2.Command(output="x" * int(size * MAX_PAGE_BYTES)) for size in sizes]
    assert fitting(iter(commands)) == commands[:shown]
