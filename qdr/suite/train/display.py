"""What models in training show on stderr: on a terminal a bar each, elsewhere one line a minute for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

Show = Callable[[str, int, int], None]  # a model's title, its finished steps, of how many
PERIOD = 60.0  # seconds between two lines where stderr is no terminal


class Display:
    """A context in which models in training are shown.

    Args:
        models: how many are made in all; where there are several, how many are done is shown too.
        console: where to; stderr unless given.
    """

    def __init__(self, models: int = 1, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._ids: dict[str, TaskID] = {}
        self._at: dict[str, tuple[int, int]] = {}
        self._models, self._made, self._said = models, 0, time.monotonic()
        self._all = self._bars.add_task("models", total=models) if models > 1 else None

    def __enter__(self) -> Display:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def show(self, title: str, done: int, total: int) -> None:
        """Move a model on to `done` of `total` steps."""
        if title not in self._ids:
            self._ids[title] = self._bars.add_task(title, total=total)
        self._at[title] = (done, total)
        self._bars.update(self._ids[title], completed=done)
        if not self._console.is_terminal and time.monotonic() - self._said >= PERIOD:
            self._said = time.monotonic()
            steps = [f"{name} {finished}/{of}" for name, (finished, of) in self._at.items()]
            made = [f"{self._made}/{self._models} models"] if self._models > 1 else []
            self._console.print(f"qdr: {', '.join(made + steps)}", markup=False, soft_wrap=True)

    def made(self, title: str, psnr: float | None) -> None:
        """Put a line with its PSNR on validation images, where it has one, in place of a finished model's bar."""
        self._made += 1
        if psnr is not None:
            self._console.print(f"qdr: {title}: {psnr:.2f} dB on validation images", markup=False, soft_wrap=True)
        self._at.pop(title, None)
        if title in self._ids:
            self._bars.remove_task(self._ids.pop(title))
        if self._all is not None:
            self._bars.advance(self._all)


def nowhere(title: str, done: int, total: int) -> None:
    """Show nothing."""
