"""What dictionaries share: with themselves, with other seeds, with wider ones; and one SAE against another.

Directions are compared by cosine (MMCS, nearest, one-to-one assignment) and codes by their correlation over the tokens of one
text. Two SAEs of any kind give the page of one against the other; SAEs of several seeds give their universality, of several
widths their parents and children.

Sources: MMCS, Lawson et al. 2024, arXiv:2409.04185, and Sharkey et al. 2022; seeds, Paulo and Belrose 2025, arXiv:2501.16615;
splitting, Bricken et al. 2023, "Towards monosemanticity"; new latents, Leask et al. 2025, arXiv:2502.04878.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.evaluation import EvalResult
from monoseme.evaluation.fidelity import Fidelity
from monoseme.studies._base import Row, Study, StudyResult
from monoseme.studies._dictionaries.codes import gather
from monoseme.studies._dictionaries.families import kind_of
from monoseme.studies._dictionaries.findings import findings
from monoseme.studies._dictionaries.intervals import Resampling
from monoseme.studies._dictionaries.members import Dictionary, as_compared, dictionary_of, why_refused
from monoseme.studies._dictionaries.pairs import CORRELATION, COSINE, Pair, compare
from monoseme.studies._dictionaries.result import Compared, figures_of, metrics_of, tables_of, text_of, title_of
from monoseme.studies._dictionaries.universality import Pairs
from monoseme.studies._dictionaries.words import Words
from monoseme.studies._explained import explanations_of
from monoseme.studies._workbench import SHORT_FLAGS, SaeStudyConfig, Workbench


class Dictionaries(Study):
    """What dictionaries have in common, by direction and by what fires."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeStudyConfig):
        """The SAEs, the text, and what counts as a match."""

        pairs: Literal["all", "related"] = "all"
        """Which SAEs to compare: all with all, or those of one architecture, place and part only (seeds, widths)."""
        cosines: tuple[float, ...] = (0.7, 0.9)
        """Cosines from which a latent counts as matched; the first one also says which latents match nothing."""
        correlations: tuple[float, ...] = (0.5, 0.7)
        """Correlations from which a latent counts as matched."""
        parent_cosine: float = 0.7
        """Cosine from which a latent of a wider SAE is the child of one of a narrower; below, it is new."""
        most_assigned: int = 4096
        """Latents up to which they are also matched one to one, which takes time that grows like their cube (count)."""
        max_tokens: int = 40_000
        """Tokens over which codes are correlated (count)."""
        n_replicates: int = 500
        """Of the bootstrap over latents (count)."""
        n_shown: int = 8
        """Latents in each table of examples (count)."""
        seed: int = 0
        """Of random directions and resampled latents."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in ("cosines", "correlations"):
                limits = getattr(self, name)
                if not limits or not all(-1 <= limit <= 1 for limit in limits):
                    raise ConfigError(f"{name} is {limits}; it must be one or more numbers between -1 and 1")
            if not -1 <= self.parent_cosine <= 1:
                raise ConfigError(f"parent_cosine is {self.parent_cosine}; it must lie between -1 and 1")
            for name in ("max_tokens", "n_replicates", "n_shown"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")

    config: Config
    short_flags: ClassVar = SHORT_FLAGS

    def investigate(self, work: Path) -> StudyResult:
        """Gathers the codes in one pass, compares every pair of dictionaries that share a space, and reports."""
        config, bench = self.config, Workbench(self.config)
        fidelity = _fidelity(bench, config.max_tokens)
        left_out = [{"a": s.name, "b": None, "why": why} for s in bench.subjects if (why := why_refused(s)) is not None]
        bench.subjects = [as_compared(s) for s in bench.subjects if why_refused(s) is None]
        found = gather(bench, work, max_tokens=config.max_tokens)
        kinds = {sae.named.name: kind_of(sae) for sae in bench.found}
        every = [dictionary_of(s, found.codes[s.name], kind=kinds[s.sae_name]) for s in bench.subjects]
        members = [d for d in every if len(d.firing().numbers)]
        left_out += [{"a": d.name, "b": None, "why": "none of its latents fires on the text"} for d in every if d not in members]
        if not members:
            raise ConfigError(
                "no dictionary is left to compare:\n" + "\n".join(f"  {row['a']}: {row['why']}" for row in left_out)
            )
        pairs, apart = self._compare(members)
        compared = Compared(
            members=members,
            pairs=pairs,
            fidelity={name: result for name, result in fidelity.items() if name in {d.name for d in members}},
            left_out=[*left_out, *apart],
            words=Words(explanations_of(config.sae, bench.found), found.tokens, bench.model.decode_tokens),
            resampling=Resampling(config.n_replicates, config.seed),
            thresholds={COSINE: config.cosines, CORRELATION: config.correlations},
            parent_cosine=config.parent_cosine,
            n_shown=config.n_shown,
        )
        tables = tables_of(compared)
        return StudyResult(
            title=title_of(compared),
            text=text_of(compared),
            tables=tables,
            metrics=metrics_of(compared),
            figures=figures_of(compared, tables),
            findings=findings(tables, thresholds=compared.thresholds),
            inputs=bench.inputs(),
            seeds={"dictionaries": config.seed},
        )

    def _compare(self, members: Sequence[Dictionary]) -> tuple[Pairs, list[Row]]:
        """Every pair in both directions, and those that cannot be compared, with the reason."""
        found: dict[tuple[str, str], Pair] = {}
        apart: list[Row] = []
        wanted = [two for two in itertools.combinations(members, 2) if self.config.pairs == "all" or _are_related(*two)]
        with get_display().progress("pairs", total=len(wanted), unit="pairs") as progress:
            for a, b in wanted:
                why = a.space.why_apart(b.space)
                if why is not None:
                    apart.append({"a": a.name, "b": b.name, "why": why})
                else:
                    _warn_of_places(a, b)
                    there, back = compare(a, b, most_assigned=self.config.most_assigned, seed=self.config.seed)
                    found |= {(a.name, b.name): there, (b.name, a.name): back}
                progress.advance()
        return found, apart


def _are_related(a: Dictionary, b: Dictionary) -> bool:
    return (a.kind, a.space) == (b.kind, b.space)


def _warn_of_places(a: Dictionary, b: Dictionary) -> None:
    if not set(a.space.sites) & set(b.space.sites):
        get_display().warn(
            f"{a.name} and {b.name} are of different places: their directions share a basis, not a meaning by right"
        )


def _fidelity(bench: Workbench, max_tokens: int) -> dict[str, EvalResult]:
    """How faithful and sparse each subject is, without the model's losses."""
    subjects = [replace(subject, model=None) for subject in bench.eval_subjects()]
    results = Fidelity(Fidelity.Config(max_tokens=max_tokens)).run_many(subjects)
    return {result.subject: result for result in results}
