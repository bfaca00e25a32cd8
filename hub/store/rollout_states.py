"""The words that rows of rollouts and of their agents hold: names of the protos' enums."""

ACTIVE = "ACTIVE"
WAITING_FOR_APPROVAL = "WAITING_FOR_APPROVAL"
PAUSED = "PAUSED"
ROLLING_BACK = "ROLLING_BACK"
ROLLED_BACK = "ROLLED_BACK"
COMPLETED = "COMPLETED"
CANCELLED = "CANCELLED"
UNFINISHED = frozenset({ACTIVE, WAITING_FOR_APPROVAL, PAUSED, ROLLING_BACK})

TAKE = "TAKE"
GIVE_BACK = "GIVE_BACK"

UNHEARD = ""
"""Of an agent that has not reported."""

PROVEN = "PROVEN"
REFUSED = "REFUSED"
WENT_BACK = "ROLLED_BACK"
FAILURES = frozenset({REFUSED, WENT_BACK})
NOT_TAKEN = frozenset({UNHEARD, "WAITING", "FETCHING", "CHECKING", "SHADOWING"})
"""The version does not serve, and may still come to."""

TAKEN = frozenset({"ON_PROBATION", PROVEN, WENT_BACK})
