from agent.inference.waiting import Request, WaitingRoom


def request(number: int, client: str = "", priority: int = 0, deadline_seconds: float | None = None) -> Request:
    return Request(number, (1, 2, 3), client, priority, deadline_seconds)


def order(room: WaitingRoom, cost_tokens: int = 10) -> list[int]:
    taken = []
    while chosen := room.take():
        room.charge(chosen.client, cost_tokens)
        taken.append(chosen.request_id)
    return taken


def test_one_clients_requests_go_in_their_order() -> None:
    room = WaitingRoom()
    for number in (3, 1, 2):
        room.add(request(number))
    assert order(room) == [3, 1, 2]


def test_a_higher_priority_goes_first() -> None:
    room = WaitingRoom()
    for number, priority in enumerate((0, 1, -1, 1)):
        room.add(request(number, priority=priority))
    assert order(room) == [1, 3, 0, 2]


def test_a_client_with_many_requests_does_not_keep_another_waiting() -> None:
    room = WaitingRoom()
    for number in range(5):
        room.add(request(number, "many"))
    room.add(request(10, "few"))
    room.add(request(11, "few"))
    assert order(room) == [0, 10, 1, 11, 2, 3, 4]


def test_what_counts_is_tokens_not_requests() -> None:
    room = WaitingRoom()
    for number in range(4):
        room.add(request(number, "short"))
        room.add(request(10 + number, "long"))
    taken = []
    while chosen := room.take():
        room.charge(chosen.client, 300 if chosen.client == "long" else 100)
        taken.append(chosen.request_id)
    assert taken == [0, 10, 1, 2, 11, 3, 12, 13]


def test_a_pause_saves_up_nothing() -> None:
    room = WaitingRoom()
    for number in range(20):
        room.add(request(number, "busy"))
    for _ in range(10):
        chosen = room.take()
        assert chosen
        room.charge("busy", 100)
    for number in range(100, 104):
        room.add(request(number, "late"))
    assert order(room, 100)[:6] == [100, 10, 101, 11, 102, 12]


def test_late_requests_are_removed_and_named() -> None:
    room = WaitingRoom()
    room.add(request(1, deadline_seconds=5.0))
    room.add(request(2, deadline_seconds=6.0))
    room.add(request(3))
    assert room.remove_late(5.5) == [1]
    assert order(room) == [2, 3]


def test_who_has_left_is_not_here() -> None:
    room = WaitingRoom()
    room.add(request(1))
    room.add(request(2))
    assert room.remove(1)
    assert not room.remove(1)
    assert len(room) == 1
    assert order(room) == [2]


def test_clients_that_are_gone_are_forgotten() -> None:
    room = WaitingRoom()
    for number in range(1000):
        room.add(request(number, f"client-{number}"))
        assert room.take()
        room.charge(f"client-{number}", 5)
    room.add(request(1, "last"))
    room.take()
    assert len(room._served) <= 1000
    room.charge("last", 10_000)
    room.add(request(2, "last"))
    room.take()
    assert len(room._served) <= 1
