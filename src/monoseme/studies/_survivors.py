"""Training side by side where one that fails must not cost the others: it is left out, with its error.

Each SAE is first tried alone on a few batches, whatever goes wrong. What goes wrong later is a loss that is no longer finite;
then the others begin again without that SAE. What failed is written down, so that a resumed study knows.
"""

import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from monoseme.core.display import get_display
from monoseme.core.errors import NonFiniteLossError, TrainingError
from monoseme.core.files import read_json, write_atomic, write_json
from monoseme.saes import SAE
from monoseme.training.feed import Rows, joined_items

T = TypeVar("T")
_FAILED = "failed.json"


class Survived(NamedTuple, Generic[T]):
    """What the last attempt returned, and what was left out of it."""

    result: T
    failed: Mapping[str, str]
    """Name -> its error, in a line."""


def train_survivors(
    names: Sequence[str],
    work: Path,
    *,
    trial: Callable[[str], object],
    attempt: Callable[[tuple[str, ...], Path], T],
) -> Survived[T]:
    """Calls `attempt` with the names that `trial` raises nothing for, and again without each one whose loss is not finite.

    `attempt` gets a folder of its own, the same one on a second call with the same `work`.
    Raises TrainingError when none is left.
    """
    failed = _tried(names, work, trial)
    while True:
        left = tuple(name for name in names if name not in failed)
        if not left:
            raise TrainingError("no SAE of this study could be trained:\n" + "\n".join(f"  {n}: {e}" for n, e in failed.items()))
        try:
            return Survived(attempt(left, work / f"run{len(failed)}"), failed)
        except NonFiniteLossError as error:
            name = _named_in(str(error), left)
            if name is None:
                raise
            failed[name] = str(error).splitlines()[0]
            get_display().warn(f"{name} is left out: {failed[name]}; the others begin again")
            write_json(work / _FAILED, failed)


def try_one(sae: SAE, batches: Sequence[Rows]) -> None:
    """Everything that training and use will ask of the SAE, once: it raises here what it would raise there."""
    sae.start(joined_items(batches))
    for rows in batches:
        losses = sae.loss(rows.x, mask=rows.mask)
        if losses.total.requires_grad:  # a baseline may have nothing to learn
            losses.total.backward()
        sae.project_gradients()
        sae.after_step(losses)
    sae.export()


def error_line(error: Exception) -> str:
    """The kind of the error and the first line of its message."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def note_error(folder: Path, name: str, error: Exception) -> str:
    """Keeps the traceback in a file under `folder`, warns, and returns the error in a line."""
    write_atomic(folder / "errors" / f"{name}.txt", "".join(traceback.format_exception(error)))
    get_display().warn(f"{name} is left out: {error_line(error)}")
    return error_line(error)


def _tried(names: Sequence[str], work: Path, trial: Callable[[str], object]) -> dict[str, str]:
    """What failed, from the file where there is one."""
    if (work / _FAILED).is_file():
        return read_json(work / _FAILED)
    failed: dict[str, str] = {}
    for name in names:
        try:
            trial(name)
        except Exception as error:  # noqa: BLE001 - an architecture may fail in any way; the others must not suffer
            failed[name] = note_error(work, name, error)
    write_json(work / _FAILED, failed)
    return failed


def _named_in(message: str, names: Sequence[str]) -> str | None:
    """Whose job an error of the training loop puts in quotation marks: `relu`, or one of its several (`relu.target_l0_8`)."""
    quoted = re.findall(r'"([^"]+)"', message)
    return next((name for name in names for word in quoted if word == name or word.startswith(f"{name}.")), None)
