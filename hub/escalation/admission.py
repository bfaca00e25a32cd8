"""What is let in: nothing restricted, and only so much at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from contract.classification import DataClass
from contract.errors import Busy, NotPermitted, Reason
from hub.config import Limits
from hub.escalation.prompts import Escalation


class Admission:
    """Counts what is under way.

    Args:
        limits: how much may be.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_agent: Counter[str] = Counter()

    @contextmanager
    def admit(self, escalation: Escalation) -> Iterator[None]:
        """Holds a place while the answer streams.

        Raises:
            NotPermitted: DATA_CLASS_NOT_ALLOWED.
            Busy: QUEUE_FULL.
        """
        if escalation.data_class >= DataClass.RESTRICTED:
            raise NotPermitted(Reason.DATA_CLASS_NOT_ALLOWED, "A restricted prompt never leaves its site. Check the agent's policy.")
        if self._by_agent[escalation.agent_id] >= self._limits.escalations_per_agent:
            raise Busy(Reason.QUEUE_FULL, f"This agent has {self._limits.escalations_per_agent} prompts under way. Wait for one of them.")
        if self._by_agent.total() >= self._limits.escalations:
            raise Busy(Reason.QUEUE_FULL, "The hub has as many prompts under way as it takes. Try again in a while.")
        self._by_agent[escalation.agent_id] += 1
        try:
            yield
        finally:
            self._by_agent[escalation.agent_id] -= 1
            self._by_agent += Counter()  # forgets agents that have none under way
