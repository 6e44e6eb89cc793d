"""How a study stands, in one line that is kept up to date."""

import sys
import time

from lightning_collapse.sweeps.claims import Claims
from lightning_collapse.sweeps.study import Study

__all__ = ["Progress"]

_TERMINAL_SECONDS, _PLAIN_SECONDS = 2.0, 60.0


class Progress:
    """The line: rewritten on a terminal; elsewhere a new one for every end, or once a minute."""

    def __init__(self, study: Study, claims: Claims) -> None:
        self._study, self._claims = study, claims
        self._terminal = sys.stdout.isatty()
        self._looked, self._shown_at, self._shown = 0.0, 0.0, ""

    def __enter__(self) -> "Progress":
        self._started, self._before = time.monotonic(), self._rounds()
        return self

    def __exit__(self, *_: object) -> None:
        self._show(self._line())
        if self._terminal:
            print()

    def tell(self) -> None:
        """Shows the line, if it is time."""
        now = time.monotonic()
        if now - self._looked < _TERMINAL_SECONDS:
            return
        self._looked = now
        line = self._line()
        counts = line.partition(";")[0]
        if self._terminal or counts != self._shown or now - self._shown_at > _PLAIN_SECONDS:
            self._show(line)
            self._shown, self._shown_at = counts, now

    def _show(self, line: str) -> None:
        before, after = ("\r\x1b[K", "") if self._terminal else ("", "\n")
        print(f"{before}{line}", end=after, flush=True)

    def _line(self) -> str:
        left = self._seconds_left()
        told = "" if left is None else f"; about {_duration(left)} left"
        return f"{self._study.plan.name}: {self._claims.line()}{told}"

    def _rounds(self) -> int:
        """Rounds that are made, of those planned."""
        return sum(min(run.rounds_done, run.rounds) for run in self._study.runs)

    def _seconds_left(self) -> float | None:
        """Tells by the rounds that were made since the start."""
        done = self._rounds()
        failed = [run for run in self._study.runs if self._claims.state(run) == "failed"]
        total = sum(run.rounds for run in self._study.runs)
        total -= sum(run.rounds - min(run.rounds_done, run.rounds) for run in failed)
        if done <= self._before or done >= total:
            return None
        return (time.monotonic() - self._started) / (done - self._before) * (total - done)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
