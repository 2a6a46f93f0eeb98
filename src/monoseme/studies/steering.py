"""Whether latents steer: does what a latent stands for appear in what the model writes, and is it still text that it would write?

Each latent is pushed at several strengths, by several methods, beside random directions, differences of means and a prompt. What
is counted are tokens of the text on which the latent fires, in documents that made nothing of it; never what its decoder
promotes.

Source: AxBench, Wu et al. 2025, arXiv:2501.17148 (baselines, the factor chosen on one half of the prompts, the judge's harmonic
mean); Templeton et al. 2024 (strength in units of the largest activation). Differs: without a judge the concept is counted, and
what it costs is perplexity under the unsteered model; random directions of the same length say what any push does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from monoseme.atlas import Atlas, open_atlas
from monoseme.core.artifact import open_artifact
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.files import read_json, write_json
from monoseme.judges import DeskSettings, JudgeSettings, desk_of
from monoseme.pipeline import find_saes
from monoseme.steering import Unit
from monoseme.studies._base import Row, Study, StudyResult
from monoseme.studies._explained import atlases_of
from monoseme.studies._kept_files import reading, require_same_saes
from monoseme.studies._steering.arms import BASELINES, Sweep
from monoseme.studies._steering.concepts import ConceptRule
from monoseme.studies._steering.figures import strength_curves, where_latents_end
from monoseme.studies._steering.judging import judged_rows
from monoseme.studies._steering.kept import read_latents, write_latents
from monoseme.studies._steering.outcome import SuccessRule
from monoseme.studies._steering.samples import samples_page
from monoseme.studies._steering.subjects import LatentsOfAtlas, SteeredLatent, Wanted, starts_of
from monoseme.studies._steering.tables import Found, curve_rows, findings_of, latent_rows, metrics_of, summary_rows
from monoseme.studies._steering.trial import Trial, TrialSettings, file_name_of
from monoseme.studies._workbench import SHORT_FLAGS, SaeStudyConfig, Subject, Workbench

_NO_ATLAS = "its run has no atlas of it"
_SHOWN = (
    "subject",
    "way",
    "n_latents",
    "strength_exists",
    "holds",
    "median_strength",
    "times",
    "perplexity_times",
    "divergence",
    "independent_times",
    "distinct_2",
)
_TEXT = """\
{n} latents{chosen}. Each is pushed at {n_strengths} strengths ({unit}) at every token, while {model} goes on with {n_prompts}
beginnings of texts for {n_tokens} tokens at temperature {temperature:g}. Unsteered texts have the same beginnings and seed.

- *concept*: at most {n_concept} tokens that are at least {least_times:g} times more frequent around the latent's firings (tokens
  {first} to {last} counted from the firing) than elsewhere, by the log-likelihood ratio, found in documents that nothing else was
  made from. Neither the decoder nor logits are looked at.
- *times*: how many times likelier these tokens are in steered texts. *perplexity_times*: perplexity under the unsteered model, as
  a multiple of that of unsteered texts. *divergence*: KL of the steered from the unsteered model, nats for a token. *distinct_n*:
  distinct n-grams of a text as a share of all. *independent_times*: as *times*, for tokens on which latents of another SAE fire
  whose codes are most correlated with the latent's.
- *strength_exists*: share of latents with a strength at which the concept is {success:g} times likelier while perplexity is below
  {bound:g} times. The best of many strengths is partly luck; *holds*: the strength is chosen on the even prompts, and the odd
  ones decide; the medians are of these. Latents without a concept count as failures. Intervals are of 95 %, over latents.
- *random* and *difference_in_means* add a vector as long as what the latent writes. *prompt*: texts on which it fires stand
  before the prompt; it has one setting.{left_out}
"""


class Steering(Study):
    """Whether pushing latents brings their concept into what a model writes, at which strength, and at what cost."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeStudyConfig):
        """Which latents, how they are pushed, and when that counts as a success."""

        independent: tuple[str, ...] = ()
        """SAEs whose latents listen for the concept, such as one of another seed or architecture, named as --sae. None: the other
        SAEs given, where they read the same site."""
        method: tuple[str, ...] = ("additive", "clamp")
        """Steering methods that are tried: monoseme ls steering."""
        baseline: tuple[str, ...] = BASELINES
        """What stands beside them: random (a direction), difference_in_means, prompt."""
        strength: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
        """Strengths that are tried, in `unit`."""
        unit: Unit = "max"
        """Of the strengths: max (multiples of the latent's largest activation), norm (of the mean length of activations), raw."""
        n_latents: int = 50
        """Latents that are drawn of those that fit (count)."""
        latents: tuple[int, ...] = ()
        """Latents by number, whatever their scores. None: they are drawn."""
        least_auroc: float = 0.8
        """AUROC that the explanation of a drawn latent has at least in the atlas's newest scores, in [0, 1]."""
        density: tuple[float, float] = (1e-4, 1e-2)
        """Share of tokens on which a drawn latent fires, from and to."""
        concept: ConceptRule = field(default_factory=ConceptRule)
        """Which tokens stand for a latent's concept."""
        success: SuccessRule = field(default_factory=SuccessRule)
        """When steering works."""
        prompts: tuple[str, ...] = ()
        """Texts that the model goes on with. None: the first words of texts of the atlas."""
        n_prompts: int = 32
        """How many of these (count)."""
        prompt_tokens: int = 8
        """Tokens of each (count)."""
        n_tokens: int = 32
        """Tokens that are written for each prompt, at most (count)."""
        temperature: float = 1.0
        """Logits are divided by it; 1 is the model's own distribution, so that perplexities mean something."""
        top_p: float = 1.0
        """Only the likeliest tokens up to this probability are drawn from, in (0, 1]."""
        n_excerpts: int = 2
        """Excerpts that the baseline `prompt` puts before a prompt (count)."""
        n_partners: int = 3
        """Latents of another SAE that listen for one latent, at most (count)."""
        least_correlation: float = 0.3
        """Correlation of codes that they have with it at least."""
        facts_tokens: int = 100_000
        """Tokens that norms, differences of means and correlations come from, at most (count)."""
        batch_size: int = 32
        """Texts measured at once (count)."""
        judge: str | None = None
        """A language model that grades texts, for AxBench's score: monoseme ls judges. None: none."""
        judge_model: str = ""
        """The provider's name of that model, or a folder."""
        judge_prompts: int = 10
        """Prompts whose texts are graded, at most (count)."""
        desk: DeskSettings = field(default_factory=DeskSettings)
        """How the judge is asked, and for how much at most."""
        n_samples: int = 3
        """Prompts of each latent on the page of samples (count)."""
        seed: int = 0
        """Of the draws of latents, prompts, random directions and tokens."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.part != ("all",):
                raise ConfigError("latents are steered in the whole code.\n  Leave --part out; number latents in the whole code.")
            counts = (
                "n_latents",
                "n_prompts",
                "prompt_tokens",
                "n_tokens",
                "n_excerpts",
                "n_partners",
                "facts_tokens",
                "batch_size",
            )
            for name in counts:
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
            if self.n_prompts < 2 or len(self.prompts) == 1:
                raise ConfigError("there is one prompt; two are needed, one to choose the strength on and one to report it on")
            if not self.strength or min(self.strength) <= 0 or len(set(self.strength)) < len(self.strength):
                raise ConfigError("strength needs at least one value; all must be above 0 and different")
            if not 0 <= self.density[0] <= self.density[1] <= 1:
                raise ConfigError(
                    f"density goes from {self.density[0]} to {self.density[1]}; both are shares, the lower one first"
                )
            if self.judge is None and (self.judge_model or self.desk != DeskSettings()):
                raise ConfigError(
                    "settings of a judge are given, but no judge.\n  Name one with --judge; see:  monoseme ls judges"
                )

    config: Config
    short_flags = SHORT_FLAGS

    def investigate(self, work: Path) -> StudyResult:
        """Draws latents, writes the texts that `work` does not have yet, and compares them.

        Raises ConfigError where no SAE has an atlas with scores, and what the judge's desk raises.
        """
        config = self.config
        self._trial_settings().sweep.check()
        bench = Workbench(replace(config, sae=tuple(dict.fromkeys((*config.sae, *config.independent)))))
        require_same_saes(work, {sae.named.name: sae.named.content_hash for sae in bench.found})
        steerable, left_out = self._steerable(bench)
        first_atlas = next(iter(steerable.values()))[0].atlas
        prompts = self._prompts(work, first_atlas, bench)
        trial = Trial(bench, self._trial_settings(), prompts)
        found = [
            each
            for held, subject in steerable.values()
            for each in trial.found(subject, self._chosen(work, subject, held), held, work / "texts")
        ]
        return self._result(bench, found, prompts, left_out, work)

    def _steerable(self, bench: Workbench) -> tuple[dict[str, tuple[LatentsOfAtlas, Subject]], dict[str, str]]:
        """The SAEs that are steered, with their atlases; those left out with the reason."""
        n_own = len(find_saes(self.config.sae))
        paths = [sae.path for sae in bench.found]
        atlases, of_parts = _atlases(paths), _atlases(paths, parts=True)
        steerable: dict[str, tuple[LatentsOfAtlas, Subject]] = {}
        left_out: dict[str, str] = {}
        for sae, subject in zip(bench.found[:n_own], bench.subjects[:n_own], strict=True):
            if len(subject.sites) > 1:
                left_out[subject.name] = "it has several sites"
            elif (held := atlases.get(sae.named.content_hash or "")) is None:
                of_part = of_parts.get(sae.named.content_hash or "")
                left_out[subject.name] = _NO_ATLAS if of_part is None else f"its atlas is of a part of its codes, {of_part[1]}"
            else:
                steerable[subject.name] = (LatentsOfAtlas(*held, self.config.concept), subject)
        if not steerable:
            told = "; ".join(f"{name}: {why}" for name, why in left_out.items())
            ways = "\n  Make an atlas with:  monoseme scan RUN   and  monoseme explain RUN"
            raise ConfigError(f"no SAE is left ({told}).{ways if _NO_ATLAS in left_out.values() else ''}")
        return steerable, left_out

    def _trial_settings(self) -> TrialSettings:
        config = self.config
        return TrialSettings(
            sweep=Sweep(config.method, config.baseline, config.strength, config.unit, config.seed),
            n_tokens=config.n_tokens,
            temperature=config.temperature,
            top_p=config.top_p,
            batch_size=config.batch_size,
            n_excerpts=config.n_excerpts,
            n_partners=config.n_partners,
            least_correlation=config.least_correlation,
            facts_tokens=config.facts_tokens,
        )

    def _chosen(self, work: Path, subject: Subject, held: LatentsOfAtlas) -> list[SteeredLatent]:
        config = self.config
        file = work / "latents" / f"{file_name_of(subject)}.json"
        if not file.is_file():
            wanted = Wanted(config.n_latents, config.latents, config.least_auroc, config.density, config.seed)
            write_latents(file, held.chosen(wanted))
        return read_latents(file)

    def _prompts(self, work: Path, atlas: Atlas, bench: Workbench) -> list[list[int]]:
        config = self.config
        file = work / "prompts.json"
        if not file.is_file():
            texts: Sequence[str] = config.prompts
            if not texts:
                starts = starts_of(atlas.text, n=config.n_prompts, n_tokens=config.prompt_tokens, seed=config.seed)
                texts = [bench.model.token_text(start) for start in starts]
                self._tell_missing(len(texts))
            if len(texts) < 2:
                raise ConfigError("the atlas has no two texts that begin differently.\n  Give prompts with  --prompts")
            write_json(file, [bench.model.encode(text) for text in texts])
        with reading(file):
            return [[int(token) for token in ids] for ids in read_json(file)]

    def _tell_missing(self, n_prompts: int) -> None:
        if n_prompts < self.config.n_prompts:
            get_display().warn(
                f"only {n_prompts} of {self.config.n_prompts} prompts: no more texts of the atlas begin differently in half of "
                f"their first {self.config.prompt_tokens} tokens; longer beginnings differ more (--prompt_tokens), or give "
                "texts (--prompts)"
            )

    def _result(
        self, bench: Workbench, found: Sequence[Found], prompts: Sequence[Sequence[int]], left_out: Mapping[str, str], work: Path
    ) -> StudyResult:
        config, rule = self.config, self.config.success
        words = _words(bench, found)
        summary, latents, curves = summary_rows(found, rule), latent_rows(found, words, rule), curve_rows(found, rule)
        texts = [bench.model.token_text([i for i in ids if i not in bench.model.special_ids]) for ids in prompts]
        page = samples_page(found, texts, words, n=config.n_samples, unit=config.unit, rule=rule)
        figures = [strength_curves(curves, unit=config.unit, rule=rule), where_latents_end(latents, rule=rule)]
        tables: dict[str, Sequence[Row]] = {"steering": summary, "latents": latents, "curves": curves}
        tables |= {"prompts": [{"prompt": text} for text in texts]}
        if config.judge is not None:
            settings = JudgeSettings(judge=config.judge, config={"model": config.judge_model}, desk=config.desk)
            tables["judged"] = judged_rows(desk_of(settings, work / "asked"), found, texts, n_prompts=config.judge_prompts)
        return StudyResult(
            title="Whether latents steer",
            text=self._text(bench, found, len(prompts), left_out),
            tables=tables,
            shown={"steering": _SHOWN, "latents": (), "curves": (), "prompts": (), "judged": ()},
            metrics=metrics_of(summary, n_prompts=len(prompts), rule=rule),
            figures=[figure for figure in figures if figure is not None],
            findings=findings_of(summary, rule),
            files={"samples.html": page},
            inputs=bench.inputs(),
            seeds={"seed": config.seed},
        )

    def _text(self, bench: Workbench, found: Sequence[Found], n_prompts: int, left_out: Mapping[str, str]) -> str:
        config = self.config
        density = f"{config.density[0]:g} to {config.density[1]:g}"
        drawn = f", drawn by seed of those with an AUROC of at least {config.least_auroc:g} and a density of {density}"
        return _TEXT.format(
            n=len(found),
            chosen="" if config.latents else drawn,
            n_strengths=len(config.strength),
            unit=f"in units of {config.unit}",
            model=bench.model.config.model,
            n_prompts=n_prompts,
            n_tokens=config.n_tokens,
            temperature=config.temperature,
            n_concept=config.concept.n_tokens,
            least_times=config.concept.least_times,
            first=config.concept.first,
            last=config.concept.last,
            success=config.success.least_times,
            bound=config.success.most_perplexity,
            left_out="".join(f"\n- Left out: {name}, for {why}." for name, why in left_out.items()),
        )


def _atlases(paths: Sequence[str], *, parts: bool = False) -> dict[str, tuple[Atlas, str]]:
    """Content hash of an SAE -> the atlas of its whole code, or with `parts` of a part of it alone, and its key there."""
    made: dict[str, tuple[Atlas, str]] = {}
    for folder in atlases_of(paths):
        atlas = open_atlas(folder)
        for key in atlas.saes():
            artifact = open_artifact(folder / "latents" / key, kind="atlas")
            scanned = artifact.inputs.get("sae")
            if scanned and (artifact.config.get("part") is not None) == parts:
                made.setdefault(scanned, (atlas, key))
    return made


def _words(bench: Workbench, found: Sequence[Found]) -> dict[int, str]:
    """What the tokens of concepts are shown as."""
    tokens = sorted({token for each in found for token in each.latent.concept.tokens})
    return dict(zip(tokens, bench.model.decode_tokens(tokens), strict=True))
