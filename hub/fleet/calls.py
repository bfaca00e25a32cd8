"""Agents' calls under way that stream an answer, so that they can be ended when their agent is shut out."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from contract.errors import SeawallError


@dataclass(slots=True, eq=False)
class _Call:
    task: "asyncio.Task[object]"
    ended_by: SeawallError | None = None


class Calls:
    """Those of this process."""

    def __init__(self) -> None:
        self._open: dict[str, set[_Call]] = {}

    def __contains__(self, agent_id: object) -> bool:
        return agent_id in self._open

    @contextmanager
    def open(self, agent_id: str) -> Iterator[None]:
        """Holds a call of the task that runs this.

        Raises:
            SeawallError: what the call was ended by.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call is held by a task")
        call = _Call(task)
        self._open.setdefault(agent_id, set()).add(call)
        try:
            yield
        except asyncio.CancelledError:
            if call.ended_by is None:
                raise
            task.uncancel()
            raise call.ended_by from None
        finally:
            self._open[agent_id].discard(call)
            if not self._open[agent_id]:
                del self._open[agent_id]

    def agent_ids(self) -> list[str]:
        """Returns whose calls are under way."""
        return list(self._open)

    def end(self, agent_id: str, error: SeawallError) -> None:
        """Ends an agent's calls with an error."""
        for call in self._open.get(agent_id, ()):
            if call.ended_by is None:
                call.ended_by = error
                call.task.cancel()
