"""What each setting did to the answers: kept in files for a resume, and as rows of tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.files import read_json, write_json
from monoseme.studies._base import Row
from monoseme.studies._kept_files import reading
from monoseme.studies._unlearning.clamping import Setting

Right = NDArray[np.bool_]


class Outcome(NamedTuple):
    """What one setting did. Only questions that the unedited model answers right are asked."""

    setting: Setting
    latents: tuple[int, ...]
    """Those that were clamped; none where no latent met the setting."""
    forget: Right
    """Question to forget -> still answered right."""
    retain: Mapping[str, Right]
    """Set -> question -> still answered right."""

    @property
    def retained(self) -> Right:
        """All other questions, pooled."""
        return np.concatenate(list(self.retain.values()))


def setting_row(name: str, outcome: Outcome, least_retained: float) -> Row:
    """One setting of one SAE."""
    side = float(outcome.retained.mean())
    row: dict[str, Any] = {"subject": name, **outcome.setting._asdict(), "n_clamped": len(outcome.latents)}
    row |= {"forget_accuracy": float(outcome.forget.mean()), "side_effect_accuracy": side, "admissible": side >= least_retained}
    return row | {f"accuracy_{held}": float(right.mean()) if len(right) else None for held, right in outcome.retain.items()}


def write_outcomes(file: Path, outcomes: Sequence[Outcome]) -> None:
    """Keeps them as JSON for a resume. Raises DiskFullError."""
    write_json(
        file,
        [
            {
                "setting": list(each.setting),
                "latents": list(each.latents),
                "forget": [int(right) for right in each.forget],
                "retain": {name: [int(right) for right in held] for name, held in each.retain.items()},
            }
            for each in outcomes
        ],
    )


def read_outcomes(file: Path) -> list[Outcome]:
    """What `write_outcomes` wrote. Raises ArtifactDamagedError."""
    with reading(file):
        return [
            Outcome(
                Setting(*each["setting"]),
                tuple(each["latents"]),
                np.array(each["forget"], dtype=bool),
                {name: np.array(held, dtype=bool) for name, held in each["retain"].items()},
            )
            for each in read_json(file)
        ]
