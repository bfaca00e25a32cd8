"""How long work is shown, so that the work itself knows no terminal."""

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

Item = TypeVar("Item")


class Progress(Protocol):
    """What a long piece of work tells of itself."""

    def over(self, what: str, items: Sequence[Item]) -> Iterator[Item]:
        """Yields the items, showing how many are done."""
        ...

    def say(self, what: str) -> None:
        """Names a piece of work that cannot be counted."""
        ...


class Quiet:
    """Shows nothing."""

    def over(self, what: str, items: Sequence[Item]) -> Iterator[Item]:  # noqa: ARG002  the Protocol's
        """Yields the items."""
        yield from items

    def say(self, what: str) -> None:
        """Says nothing."""


class Terminal:
    """A bar for each piece of work, on standard error."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    def over(self, what: str, items: Sequence[Item]) -> Iterator[Item]:
        """Yields the items under a bar."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Bars(*columns, console=self._console) as bars:
            yield from bars.track(items, total=len(items), description=what)

    def say(self, what: str) -> None:
        """Prints it as a line."""
        self._console.print(what, soft_wrap=True, highlight=False)
