"""What progress says that it counts up to, beside how far it came."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

from monoseme.core.display import AtMost, Progress, SilentDisplay


class Totals(SilentDisplay):
    """Keeps up to what each task counts, and how far it came."""

    def __init__(self) -> None:
        self.totals: dict[str, int | None] = {}
        self.done: Counter[str] = Counter()

    @contextlib.contextmanager
    def progress(self, description: str, *, total: int | None, unit: str) -> Iterator[Progress]:
        self.totals[description] = total
        yield cast(Progress, SimpleNamespace(advance=lambda n: self.done.update({description: n})))

    def missed(self) -> dict[str, int]:
        """Tasks that named a total and did not come to it, or to more than a bound, with that total."""
        return {task: total for task, total in self.totals.items() if total is not None and self._misses(task, total)}

    def _misses(self, task: str, total: int) -> bool:
        return self.done[task] > total if isinstance(total, AtMost) else self.done[task] != total
