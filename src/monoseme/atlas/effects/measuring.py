"""Measures what latents do for the next token, by ablating each at some of its firings, and writes it beside them.

The effects of a slice of latents are measured together, context by context, and put down: a killed run goes on with the next.

Letters: w latents of a slice, V vocabulary, n ablated firings.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from monoseme.atlas.atlas import Atlas
from monoseme.atlas.bins import N_DECILES
from monoseme.atlas.effects._ablating import Ablator, AtOnce, Runs
from monoseme.atlas.effects._draw import Drawn, draw_firings, next_tokens
from monoseme.atlas.effects.reading import ABLATION_TYPES, ABLATIONS_FILE, EFFECT_TYPES, EFFECTS_FILE, effects_folder
from monoseme.atlas.kept_codes import KeptCodes
from monoseme.atlas.latents import LATENTS_PER_GROUP, Latents
from monoseme.atlas.scanning.feed import Target
from monoseme.atlas.slices import Slices
from monoseme.core.artifact import exists_error, new_artifact
from monoseme.core.config import to_dict
from monoseme.core.display import get_display
from monoseme.core.errors import ArtifactMissingError, ConfigError
from monoseme.core.files import typed
from monoseme.models import LanguageModel

_MOST_NUMBERS = 1 << 27
"""Of the w x V changes that a slice adds up in float32: half a gigabyte."""
_MOST_LATENTS = 2048
"""In a slice: each reads most of the kept contexts again, and what a kill loses is one slice."""


@dataclass(frozen=True, kw_only=True)
class EffectsConfig:
    """How the effects of latents are measured."""

    n_per_decile: int = 2
    """Firings ablated from each tenth of a latent's activations (count)."""
    n_tokens: int = 10
    """Tokens kept at each end: most risen and most fallen (count)."""
    contexts_at_once: int = 16
    """Contexts read by the model at once (count)."""
    runs_at_once: int = 128
    """Ablations run at once (count); each takes the keys and values of its context along."""
    seed: int = 0
    """Seed of the draw of firings."""

    def __post_init__(self) -> None:
        for name in ("n_per_decile", "n_tokens", "contexts_at_once", "runs_at_once"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, but must be at least 1.")


def measure_effects(
    atlas: Atlas,
    target: Target,
    model: LanguageModel,
    *,
    latents: Sequence[int] | None = None,
    config: EffectsConfig | None = None,
) -> list[Path]:
    """Ablate `latents` (None: all) of what was scanned of `target`, one folder for each of its keys.

    What a latent writes is taken from the activation at one firing token; the rest of it, the SAE's error too, stays. Measured
    on the prediction of the next token. Killed, it goes on when it is called again with the same arguments.
    Raises ArtifactExistsError, ArtifactMissingError for an atlas without what it takes, ConfigError for latents that are not
    there or another model or SAE than was scanned, and what the model raises.
    """
    config = config or EffectsConfig()
    for key in target.keys:
        if effects_folder(atlas.path, key).exists():
            raise exists_error(effects_folder(atlas.path, key))
        _check(atlas, atlas.latents(key), target, model)
    numbers = range(len(target.keys))
    return [_measure_key(atlas, target, number, model=model, latents=latents, config=config) for number in numbers]


def _check(atlas: Atlas, latents: Latents, target: Target, model: LanguageModel) -> None:
    again = f"\n  Scan again into another folder:  monoseme scan SAE --out {typed(f'{atlas.path}.effects')}"
    if latents.kept_codes() is None or atlas.text.context_starts is None:
        raise ArtifactMissingError(f"{latents.artifact.path} holds no kept codes, and effects are measured on them.{again}")
    inputs = latents.artifact.inputs
    for what, found in (("sae", target.sae_hash), ("model", model.content_hash())):
        if found is not None and inputs.get(what, found) != found:
            raise ConfigError(f"{latents.key} was scanned with another {what} than is given now.{again}")


def _measure_key(
    atlas: Atlas, target: Target, number: int, *, model: LanguageModel, latents: Sequence[int] | None, config: EffectsConfig
) -> Path:
    opened = atlas.latents(target.keys[number])
    chosen = list(range(opened.n_latents)) if latents is None else sorted(set(latents))
    for latent in chosen:
        opened.check_latent(latent)
    work = _Work.of(atlas, opened, target, number, model=model, config=config)
    described = {"holds": "effects", "name": opened.key, "effects": to_dict(config), "latents": chosen}
    inputs = {"latents": opened.content_hash, "model": model.content_hash()}
    path = effects_folder(atlas.path, opened.key)
    slices = Slices(path, {"inputs": inputs, **described})
    width = max(1, min(_MOST_LATENTS, _MOST_NUMBERS // model.spec.vocab_size))
    with get_display().progress(f"ablate {opened.key}", total=len(chosen), unit="latents") as progress:
        for first in range(0, len(chosen), width):
            some = chosen[first : first + width]
            if not slices.has(some[0]):
                slices.put(some[0], work.measure(some))
            progress.advance(len(some))
    with new_artifact(path, kind="atlas", config=described, inputs=inputs, seeds={"effects": config.seed}) as draft:
        for name, types in ((EFFECTS_FILE, EFFECT_TYPES), (ABLATIONS_FILE, ABLATION_TYPES)):
            _write(draft.folder / name, [pq.read_table(part) for part in slices.tables(name)], types, chosen)
    slices.remove()
    return path


class _Work(NamedTuple):
    """All that measuring a slice takes."""

    kept: KeptCodes
    deciles: list[Any]
    """Of each latent the borders of its tenths; None where it never fired."""
    following: NDArray[np.int64]
    """[M] the token after each kept one; -1: none."""
    ablator: Ablator
    config: EffectsConfig
    n_vocabulary: int

    @classmethod
    def of(
        cls, atlas: Atlas, opened: Latents, target: Target, number: int, *, model: LanguageModel, config: EffectsConfig
    ) -> "_Work":
        """For one of the keys of `target`."""
        kept = opened.kept_codes()
        assert kept is not None  # checked before
        ablator = Ablator(
            model,
            target,
            number,
            kept=kept,
            text=atlas.text,
            only=opened.only,
            at_once=AtOnce(config.contexts_at_once, config.runs_at_once),
        )
        following = next_tokens(kept, atlas.text)
        return cls(kept, opened.column("deciles"), following, ablator, config, model.spec.vocab_size)

    def measure(self, latents: Sequence[int]) -> dict[str, pa.Table]:
        """The two tables of a slice."""
        drawn = [self._draw(latent) for latent in latents]
        of = np.repeat(np.arange(len(latents)), [len(each.row) for each in drawn])
        row, value, decile = (np.concatenate(column) for column in zip(*drawn, strict=True))
        target = torch.from_numpy(self.following[row])
        loss, change = np.zeros(len(row)), np.zeros(len(row))
        moved = torch.zeros(len(latents), self.n_vocabulary)
        for found in self.ablator.changes(Runs(row, np.asarray(latents)[of], value)):
            at = target[found.runs].to(found.before.device)[:, None]
            before, after = (each.gather(1, at).squeeze(1).double().cpu().numpy() for each in (found.before, found.after))
            loss[found.runs], change[found.runs] = -before, before - after
            moved.index_add_(0, torch.from_numpy(of[found.runs]), (found.after - found.before).float().cpu())
        ablations = {
            "latent": np.asarray(latents)[of],
            "decile": decile,
            "document": self.kept.document[row],
            "position": self.kept.position[row],
            "value": value,
            "next_token": self.following[row],
            "loss": loss,
            "loss_change": change,
        }
        effects = [
            self._effect(latent, change[of == i], decile[of == i], moved[i] / max(1, int((of == i).sum())))
            for i, latent in enumerate(latents)
        ]
        return {
            EFFECTS_FILE: pa.Table.from_pylist(effects, EFFECT_TYPES),
            ABLATIONS_FILE: pa.table({name: pa.array(column) for name, column in ablations.items()}).cast(ABLATION_TYPES),
        }

    def _draw(self, latent: int) -> Drawn:
        return draw_firings(
            self.kept,
            latent,
            edges=self.deciles[latent],
            has_next=self.following >= 0,
            per_decile=self.config.n_per_decile,
            seed=self.config.seed,
        )

    def _effect(self, latent: int, change: NDArray[np.float64], decile: NDArray[np.int64], moved: torch.Tensor) -> dict[str, Any]:
        n = len(change)
        n_tokens = min(self.config.n_tokens, len(moved)) if n else 0
        risen, fallen = moved.topk(n_tokens), moved.topk(n_tokens, largest=False)
        by_decile = [float(change[decile == i].mean()) if (decile == i).any() else None for i in range(N_DECILES)]
        return {
            "latent": latent,
            "n": n,
            "loss_change": float(change.mean()) if n else None,
            "standard_error": float(change.std(ddof=1) / np.sqrt(n)) if n > 1 else None,
            "loss_change_by_decile": by_decile,
            "risen_tokens": risen.indices.tolist(),
            "risen": risen.values.tolist(),
            "fallen_tokens": fallen.indices.tolist(),
            "fallen": fallen.values.tolist(),
            "why_missing": None if n else "it fires on none of the kept tokens that another follows",
        }


def _write(path: Path, parts: Sequence[pa.Table], types: pa.Schema, latents: Sequence[int]) -> None:
    """Join slices into one file with a row group for each LATENTS_PER_GROUP measured latents."""
    table = pa.concat_tables(parts) if parts else types.empty_table()
    firsts = [*latents[::LATENTS_PER_GROUP], np.iinfo(np.int32).max]
    with pq.ParquetWriter(path, types, compression="zstd") as writer:
        for begin, end in itertools.pairwise(np.searchsorted(table["latent"].to_numpy(), firsts).tolist()):
            # an empty group is written too, so that groups of both files are of the same latents
            writer.write_table(table.slice(begin, end - begin), row_group_size=max(1, end - begin))
