"""What two or more groups of texts differ in, told by the latents that fire in them: preferred answers and others, two domains.

Each text gives one number for each latent, from the tokens that count: for pairs those after what both texts begin with. A rank
test compares the numbers with length and position held fixed, and the false discovery rate is controlled over all latents.

Source: the alignment study that T-SAE's README names and its repository lacks (arXiv:2511.05541; Bhalla et al. 2025), on HH-RLHF
(Bai et al. 2022); Benjamini and Hochberg 1995. Tests: `evaluation/_group_tests.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from monoseme.core.errors import ConfigError
from monoseme.studies._alignment.compare import Compared, Usable, compare, design_of, metrics_of, strongest
from monoseme.studies._alignment.examples import Examples, examples, wanted
from monoseme.studies._alignment.figures import strongest_dots, subjects_compared, volcano
from monoseme.studies._alignment.groups import GroupsConfig
from monoseme.studies._alignment.sums import Sums, sums_of
from monoseme.studies._alignment.texts import Collected, collect
from monoseme.studies._alignment.words import confound_names, explanations_in, how, summary
from monoseme.studies._base import Row, Study, StudyResult
from monoseme.studies._explained import Explained, explanations_of
from monoseme.studies._workbench import SHORT_FLAGS, Workbench

_SHOWN = (
    "subject",
    "latent",
    "more_in",
    "effect",
    "effect_before",
    "q",
    "mean",
    "mean_other",
    "n_active",
    "explanation",
    "fires_on",
)
_SHOWN_EXAMPLES = ("subject", "latent", "example", "group", "value", "text")
_MOST_FIGURES = 6
"""Subjects with a figure of their strongest latents."""


class Alignment(Study):
    """Which latents differ between groups of texts."""

    @dataclass(frozen=True, kw_only=True)
    class Config(GroupsConfig):
        """The SAEs, the groups, and what is compared."""

        value: Literal["mean", "share", "max"] = "mean"
        """What a text has of a latent, over the tokens that count: its mean activation, the share of tokens on which it fires
        (fraction), or its largest activation."""
        level: float = 0.05
        """False discovery rate (fraction)."""
        min_units: int = 20
        """Pairs, or sources of text, in which a latent must fire to be tested, in whichever group (count)."""
        n_strongest: int = 8
        """Latents shown of each direction (count)."""
        n_examples: int = 2
        """Texts or pairs shown of each of these (count)."""
        explanations: str | None = None
        """File with {latent: text}, or {sae: {latent: text}} (None: the atlas of the SAE's run, where there is one)."""

        def __post_init__(self) -> None:
            """Raises ConfigError for a value out of range."""
            super().__post_init__()
            if not 0 < self.level < 1:
                raise ConfigError(f"level is {self.level}; it must be above 0 and below 1")
            for name, least in (("min_units", 2), ("n_strongest", 1), ("n_examples", 0)):
                if getattr(self, name) < least:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")

    config: Config
    short_flags: ClassVar[Mapping[str, str]] = SHORT_FLAGS

    def investigate(self, work: Path) -> StudyResult:
        """Reads the groups, sums what each latent does in each text, compares, and shows the strongest."""
        config = self.config
        bench = Workbench(config.of_bench())
        explained = self._explained(bench)
        collected = collect(config, bench)
        sums = sums_of(bench, collected, config.value, work)
        usable = design_of(config, collected, sums, config.value)
        found = [
            compare(
                subject.name,
                usable.design,
                sums.codes[subject.name][usable.kept],
                min_units=config.min_units,
                n_tokens=int(sums.length.sum()),
            )
            for subject in bench.subjects
        ]
        sae_of = {subject.name: subject.sae_name for subject in bench.subjects}
        for row in (row for each in found for row in each.rows):
            row["explanation"] = explained.of(sae_of[row["subject"]], row["latent"])
        strong = {each.subject: strongest(each, level=config.level, n=config.n_strongest) for each in found}
        wants = wanted([row for rows in strong.values() for row in rows], collected, sums, n_examples=config.n_examples)
        shown = examples(bench, collected, wants, sums)
        for row in (row for rows in strong.values() for row in rows):
            row["fires_on"] = shown.fires_on.get((row["subject"], row["latent"]))
        return self._result(bench, collected, sums, usable, found, strong, shown)

    def _explained(self, bench: Workbench) -> Explained:
        if self.config.explanations is not None:
            return explanations_in(Path(self.config.explanations), [sae.named.name for sae in bench.found])
        return explanations_of(self.config.sae, bench.found)

    def _result(
        self,
        bench: Workbench,
        collected: Collected,
        sums: Sums,
        usable: Usable,
        found: Sequence[Compared],
        strong: Mapping[str, Sequence[Row]],
        shown: Examples,
    ) -> StudyResult:
        config = self.config
        told = [summary(each, strong[each.subject], usable.design.contrasts, level=config.level) for each in found]
        text = how(
            collected, found, value=config.value, held_fixed=config.held_fixed, level=config.level, min_units=config.min_units
        )
        metrics = {each.subject: metrics_of(each, level=config.level) for each in found}
        figures = [volcano(found, strong, collected.names, level=config.level)] if any(each.n_tested for each in found) else []
        figures += [
            strongest_dots(each, strong[each.subject], i) for i, each in enumerate(found[:_MOST_FIGURES]) if strong[each.subject]
        ]
        figures += [subjects_compared(found, level=config.level)] if len(found) > 1 and figures else []
        return StudyResult(
            title=f"What tells {' from '.join(collected.names)}" if len(collected.names) == 2 else "What tells the groups apart",
            text="\n\n".join([text, *told]),
            tables={
                "strongest": [row for rows in strong.values() for row in rows],
                "examples": shown.rows,
                "confounds": self._confounds(collected, sums, usable),
                "latents": [row for each in found for row in each.rows],
            },
            shown={"strongest": _SHOWN, "examples": _SHOWN_EXAMPLES, "latents": ()},
            metrics=metrics,
            figures=figures,
            inputs=bench.inputs(),
            seeds={"texts": config.seed},
        )

    def _confounds(self, collected: Collected, sums: Sums, usable: Usable) -> list[Row]:
        """How much the groups differ in what is held fixed: its mean in each group."""
        texts = [collected.texts[i] for i in usable.kept]
        columns = {"length": np.log(sums.length[usable.kept]), "position": sums.position[usable.kept]}
        columns |= {name: np.array([t.numbers[c] for t in texts]) for c, name in enumerate(self.config.own_confounds)}
        group = np.array([text.group for text in texts])
        return [
            {"confound": shown, "group": name, "n_texts": int((group == g).sum()), "mean": float(columns[key][group == g].mean()),
             "sd": float(columns[key][group == g].std(ddof=1))}
            for key, shown in zip(self.config.held_fixed, confound_names(self.config.held_fixed), strict=True)
            for g, name in enumerate(collected.names)
        ]  # fmt: skip
