"""Vaults in memory, for tests about other things than the store."""


class MemoryVaults:
    """Keeps vaults in memory; breaks where it is told to."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.kept: dict[tuple[str, str], bytes] = {}
        self.breaks = breaks

    async def get(self, client: str, conversation: str) -> bytes | None:
        return self.kept.get((client, conversation))

    async def put(self, client: str, conversation: str, content: bytes, now: float, asked_time: float | None = None) -> None:
        if self.breaks:
            raise OSError("no room for Ada")
        self.kept[client, conversation] = content
