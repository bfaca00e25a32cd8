"""Prompts that wait for a slot: who is next, and who must go. Pure: no clock, no model, no threads."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt as the scheduler sees it.

    Args:
        request_id: unique in this process.
        tokens: the prompt's token ids, at least one.
        client: who asks; clients share the model evenly.
        priority: higher goes first.
        deadline_seconds: on the scheduler's clock; work stops there. None: never.
        is_scored: nothing is answered; how likely each token is after those before it is what is asked.
    """

    request_id: int
    tokens: tuple[int, ...]
    client: str = ""
    priority: int = 0
    deadline_seconds: float | None = None
    is_scored: bool = False

    def is_late(self, now_seconds: float) -> bool:
        """Whether its deadline has passed."""
        return self.deadline_seconds is not None and now_seconds >= self.deadline_seconds


class WaitingRoom:
    """A queue: the highest priority first, then the client that was served least, then the oldest.

    Service is counted in tokens (Sheng et al. 2024, "Fairness in Serving Large Language Models"). A client that comes back after a
    pause starts level with the one that is served now, as in start-time fair queueing (Goyal et al. 1996): a pause saves up nothing.
    """

    def __init__(self) -> None:
        self._requests: OrderedDict[int, Request] = OrderedDict()
        self._served: dict[str, float] = {}
        self._level = 0.0

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: Request) -> None:
        """Lets a request in."""
        if not any(other.client == request.client for other in self._requests.values()):
            self._served[request.client] = max(self._served.get(request.client, 0.0), self._level)
        self._requests[request.request_id] = request

    def take(self) -> Request | None:
        """Removes and returns the next request."""
        if not self._requests:
            return None
        chosen = min(self._requests.values(), key=lambda request: (-request.priority, self._served[request.client]))
        self._level = max(self._level, self._served[chosen.client])
        del self._requests[chosen.request_id]
        self._forget_idle_clients()
        return chosen

    def remove(self, request_id: int) -> bool:
        """Removes a request; says whether it was here."""
        return self._requests.pop(request_id, None) is not None

    def remove_late(self, now_seconds: float) -> Sequence[int]:
        """Removes the requests whose deadline has passed; returns their ids."""
        late = [request.request_id for request in self._requests.values() if request.is_late(now_seconds)]
        for request_id in late:
            del self._requests[request_id]
        return late

    def charge(self, client: str, tokens: int) -> None:
        """Counts service for a client."""
        self._served[client] = max(self._served.get(client, 0.0), self._level) + tokens

    def _forget_idle_clients(self) -> None:
        waiting = {request.client for request in self._requests.values()}
        self._served = {client: served for client, served in self._served.items() if served > self._level or client in waiting}
