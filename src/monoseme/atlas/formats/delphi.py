"""delphi's run folder: latent cache, explanations and scores.

    latents/HOOKPOINT/START_END.safetensors, config.json     see `_delphi_cache.py`
    explanations/HOOKPOINT_latentN.txt                       the explanation, as a JSON string
    scores/SCORER/HOOKPOINT_latentN.txt                      a JSON list of {str_tokens, activations, distance, activating,
                                                             prediction, probability, correct}, one for each window judged

Who writes and reads it: delphi 0.1.3 (`latents/cache.py`, `latents/loader.py`, `__main__.py`, `log/result_analysis.py`). Its
"accuracy" is balanced accuracy; so is the score that is read here, over windows with an answer. Windows without one are counted,
where delphi counts them after it has dropped them.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from monoseme.atlas.formats._base import AtlasFormat
from monoseme.atlas.formats._delphi_cache import cache_grid, write_cache, write_config
from monoseme.atlas.formats._delphi_scores import read_note, read_score, write_scores
from monoseme.atlas.formats._notes import Notes
from monoseme.atlas.formats._part import ExportPart
from monoseme.atlas.said import Explanation, Score
from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.foreign import as_latent, as_text
from monoseme.models.site import Site

_NOTE = re.compile(r"(?P<hookpoint>.+)_latent(?P<latent>\d{1,10})\.txt")
_MODULES = {"resid_post": "", "mlp_out": ".mlp", "attn_out": ".self_attn"}


class Delphi(AtlasFormat):
    """Codes of whole contexts, and what is said of the latents."""

    looks_for: ClassVar[str] = "explanations/HOOKPOINT_latentN.txt"
    several_sites: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config(AtlasFormat.Config):
        """Names, and how the cache is cut."""

        hookpoint: str | None = None
        """Module that the SAE reads, as delphi calls it. None: layers.N of the site; reading, the only one there is."""
        model_name: str = ""
        """Language model (path or hub id) whose tokenizer delphi loads."""
        n_splits: int = 5
        """Files of the cache (count)."""
        pad: int = 0
        """Token id at the end of contexts that are shorter than the longest."""

        def __post_init__(self) -> None:
            if self.n_splits < 1 or self.pad < 0:
                raise ConfigError(f"n_splits is {self.n_splits} and pad is {self.pad}; they must be at least 1 and 0.")
            if self.hookpoint is not None and (not re.fullmatch(r"[\w.-]+", self.hookpoint) or self.hookpoint.startswith(".")):
                raise ConfigError(f'"{self.hookpoint}" cannot name a hookpoint: it names a folder there.')

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self.config = config or self.Config()

    def recognises(self, path: Path) -> bool:
        """By the explanations, whose names hold the latent."""
        return path.is_dir() and any(True for _ in _notes(path / "explanations"))

    def write(self, parts: Sequence[ExportPart], folder: Path) -> tuple[str, ...]:
        """One file of the cache is in memory at a time. Raises ConfigError where no codes were kept."""
        names = [self.config.hookpoint or hookpoint(part.site) for part in parts]
        if len(set(names)) < len(names):
            raise ConfigError("delphi names a latent by its hookpoint, and two of these SAEs would have the same.")
        lost = ["log/hookpoint_firing_counts.pt: a file of torch.save"]
        for name, part in zip(names, parts, strict=True):
            n_padded = self._write_cache(part, folder / "latents" / name)
            if n_padded:
                lost.append(f"{name}: {n_padded:,} tokens at the end of contexts are padding (id {self.config.pad})")
            (folder / "explanations").mkdir(exist_ok=True)
            for said in part.explained.values():
                if said.text is not None:
                    note = folder / "explanations" / f"{name}_latent{said.latent}.txt"
                    note.write_text(json.dumps(said.text, ensure_ascii=False), encoding="utf-8")
            lost += write_scores(folder / "scores", name, part)
        return tuple(lost)

    def read(self, path: Path) -> Notes:
        """Explanations, and the balanced accuracy of each scorer; `_delphi_cache.read_cache` reads a cache."""
        chosen = self._hookpoint(path)
        said = tuple(
            Explanation(latent=latent, text=as_text(read_note(file), where=str(file)))
            for file, latent in _notes(path / "explanations", chosen)
        )
        explained = {one.latent for one in said}
        scores: list[Score] = []
        definitions: dict[str, str] = {}
        lost: list[str] = []
        for folder in _scorers(path):
            name = f"{folder.name}_balanced_accuracy"
            found = [read_score(file, latent, name) for file, latent in _notes(folder, chosen)]
            known = [score for score in found if score is not None and score.latent in explained]
            if len(known) < len(found):
                lost.append(f"{folder.name}: scores of {len(found) - len(known):,} latents that are no judgements of windows")
            if known:
                scores += known
                definitions[name] = f"balanced accuracy of delphi's {folder.name} over windows with an answer; in [0, 1]"
        if (path / "latents").is_dir():
            lost.append("the latent cache: codes without the SAE's own scan of the text")
        return Notes(explanations=said, scores=tuple(scores), definitions=definitions, lost=tuple(lost))

    def _write_cache(self, part: ExportPart, folder: Path) -> int:
        kept = part.latents.kept_codes()
        if kept is None:
            raise ConfigError(
                f"{part.key} was scanned without keeping codes, which delphi's cache is made of.\n"
                "  Scan again with n_kept_tokens above 0; see:  monoseme scan --help"
            )
        if self.config.n_splits > kept.n_latents:
            raise ConfigError(f"n_splits is {self.config.n_splits}, but {part.key} has {kept.n_latents} latents.")
        folder.mkdir(parents=True)
        grid = cache_grid(kept, part.text, pad=self.config.pad)
        write_cache(folder, part, kept, grid, n_splits=self.config.n_splits)
        write_config(folder, part, grid, model_name=self.config.model_name, n_splits=self.config.n_splits)
        return grid.n_padded

    def _hookpoint(self, path: Path) -> str:
        names = sorted({file.name.rpartition("_latent")[0] for file, _ in _notes(path / "explanations")})
        if self.config.hookpoint is not None and self.config.hookpoint in names:
            return self.config.hookpoint
        if self.config.hookpoint is None and len(names) == 1:
            return names[0]
        told = ", ".join(names[:9]) or "nothing"
        raise ForeignError(f"{path}/explanations is about {told}.\n  Say which with --hookpoint NAME")


def hookpoint(site: Site) -> str:
    """What delphi calls a site of a model of the Llama kind; the site itself for places that are no module."""
    module = _MODULES.get(site.kind)
    return f"{site.kind}.{site.layer}" if module is None else f"layers.{site.layer}{module}"


def _notes(folder: Path, hookpoint: str | None = None) -> Iterator[tuple[Path, int]]:
    """The files of a folder that are about a latent (of a hookpoint), with its number, by name."""
    if not folder.is_dir():
        return
    for file in sorted(folder.iterdir()):
        match = _NOTE.fullmatch(file.name)
        if match is not None and hookpoint in (None, match["hookpoint"]) and file.is_file():
            yield file, as_latent(match["latent"], where=str(file))


def _scorers(path: Path) -> list[Path]:
    folder = path / "scores"
    return [found for found in sorted(folder.iterdir()) if re.fullmatch(r"\w[\w.-]*", found.name)] if folder.is_dir() else []
