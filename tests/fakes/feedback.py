"""Takes feedback, and knows every answer but one."""

from contract.errors import NotFound, Reason


class FakeFeedback:
    """Keeps what was given; there is no answer `unknown`."""

    def __init__(self) -> None:
        self.given: list[tuple[str, str, bool]] = []

    async def give(self, client: str, prompt_id: str, is_good: bool) -> None:
        if prompt_id == "unknown":
            raise NotFound(Reason.ANSWER_NOT_FOUND, "There is no answer of this id for you.")
        self.given.append((client, prompt_id, is_good))
