"""Whether tokens of one class, document or part of speech lie together in the space of the codes, and what maps make of it.

t-SNE and UMAP of the codes of tokens and of the decoder's directions, with silhouette and purity of neighbours beside them: of
the codes themselves and of the maps, against shuffled labels. Source: T-SAE, arXiv:2511.05541, and its code (t-SNE of the codes
of the last 30 tokens of each document, random_state 42). Differs: cosine distance of the sparse codes instead of Euclidean
distance of dense ones; each class has as many documents; the numbers are ours, and leave out tokens of one source.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.evaluation import DocumentWeights, Metric
from monoseme.studies._base import Comparison, Finding, Row, Study, StudyResult
from monoseme.studies._explained import explanations_of
from monoseme.studies._intervals import Interval
from monoseme.studies._labels import asked, with_label
from monoseme.studies._maps.decoder import Directions, directions, mean_sites
from monoseme.studies._maps.layout import Method
from monoseme.studies._maps.mapped import CODES, TAGGED, Mapped, Mapping2D, map_codes, map_directions
from monoseme.studies._maps.measures import Measuring
from monoseme.studies._maps.pictures import code_figures, direction_figures, quality_figure
from monoseme.studies._maps.tokens import Choice, MapTokens, documents_of, tagged_documents, tokens_of, with_tagger
from monoseme.studies._pairs import difference_rows, is_high_less_low
from monoseme.studies._workbench import OF_RUN, SHORT_FLAGS, SaeStudyConfig, Subject, Workbench
from monoseme.text.tagged import TagColumn, read_tagged

_DOMAIN, _TAG, _DOCUMENT = "domain", "tag", "document"
_TEXT = """\
Codes of the last {last_tokens} tokens of {n_documents} documents, each read from its beginning or as far back as a context of
{context_len} tokens reaches; cosine distance. Tokens without any active latent have no direction and are left out (table
*tokens*).

- *purity*: mean share of a token's {k} nearest neighbours that have its label. *silhouette*: (b - a) / max(a, b), a and b being
  mean distances to the own and to the nearest other label: 1 apart, 0 mixed, below 0 nearer to others.
- Where whole documents have the label (classes), tokens of the same source are left out of both, since they resemble each other
  whatever the class; where single tokens have it, all others count.
- *shuffled*: the same with labels shuffled, over sources or over tokens; what chance gives.
"""


class Maps(Study):
    """Maps of codes and of decoder directions, and how well classes, documents and tags show in them."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeStudyConfig):
        """Which tokens, and how they are laid out."""

        label: str = _DOMAIN
        """Label of documents to colour by, such as class."""
        tags: str | None = None
        """CoNLL-U file whose words' parts of speech are mapped too. None: no tags, unless `tagger` is spacy."""
        tagger: Literal["conllu", "spacy"] = "conllu"
        """Where tags come from: the file of `tags`, or spaCy, which tags the text of the study."""
        tag_column: TagColumn = "upos"
        """Universal parts of speech, or those of the language (xpos)."""
        spacy_model: str = "en_core_web_sm"
        """Pipeline that spaCy tags with."""
        n_tokens: int = 1500
        """Tokens of a map (count); the paper has 940 (Wikipedia), 6,000 (MMLU) and 20,000 (FineFineWeb)."""
        last_tokens: int = 30
        """Of each document (count); as the paper has it."""
        n_classes: int = 10
        """The most frequent classes that take part (count)."""
        maps: tuple[Method, ...] = ("tsne", "umap")
        """Which maps to draw: tsne, umap."""
        site: str | None = None
        """For an SAE with codes at several sites: which one (None: its first)."""
        n_directions: int = 1500
        """Latents whose decoder directions are drawn, at most (count; 0: none)."""
        n_neighbours: int = 10
        """Nearest neighbours that purity is about (count)."""
        n_shuffles: int = 20
        """Shuffled labellings (count)."""
        n_replicates: int = 400
        """Of the bootstrap over sources (count)."""
        n_drawn: int = 1000
        """Points in a picture, at most (count); measures and maps are of all tokens."""
        seed: int = 42
        """Of the choice, the maps and the shuffles; the paper's random_state."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name, least in (("n_tokens", 20), ("last_tokens", 1), ("n_classes", 2), ("n_directions", 0), ("n_neighbours", 1)):
                if getattr(self, name) < least:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")
            for name in ("n_shuffles", "n_drawn", "n_replicates"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
            if self.tags is not None and self.tagger == "spacy":
                raise ConfigError("tags is given, but the tagger is spacy, which reads no such file.\n  Leave out one of them.")

    config: Config
    short_flags: ClassVar = SHORT_FLAGS

    def investigate(self, work: Path) -> StudyResult:
        """Codes, neighbours, measures and maps of each subject; maps are kept under `work`."""
        config = replace(self.config, corpus=with_label(self.config.corpus, asked(self.config.label)))
        bench = Workbench(config)
        samples = _samples(bench, config)
        decoders = _decoders(bench, samples[CODES], config)
        how = Mapping2D(config.maps, config.seed, work)
        measuring = Measuring(
            config.n_neighbours,
            config.n_shuffles,
            DocumentWeights(n_replicates=config.n_replicates, seed=config.seed),
            config.seed,
        )
        with get_display().progress("maps", total=len(samples) * len(bench.subjects) + len(decoders), unit="maps") as progress:
            mapped: list[Mapped] = []
            for name, tokens in samples.items():
                for subject in bench.subjects:
                    mapped.append(map_codes(name, subject.name, tokens, how, measuring))
                    progress.advance()
            drawn: list[Mapped] = []
            for name, found in decoders.items():
                drawn.append(map_directions(name, found, how, measuring))
                progress.advance()
        rows = [{"subject": m.subject} | measure.row() for m in [*mapped, *drawn] for measure in m.measures]
        differences = _differences(bench.subjects, mapped)
        said = explanations_of(config.sae, bench.found)
        return StudyResult(
            title="Maps of codes and of decoder directions",
            text=_TEXT.format(
                last_tokens=config.last_tokens,
                n_documents=len(np.unique(samples["codes"].document)),
                context_len=bench.materials.text.config.context_len,
                k=config.n_neighbours,
            ),
            tables={
                "quality": rows,
                "differences": differences,
                "tokens": [m.counted for m in mapped],
                "decoders": [m.counted for m in drawn],
                "points": [row for m in [*mapped, *drawn] for row in m.rows()],
            },
            shown={"points": ()},
            metrics=_metrics([*mapped, *drawn]),
            figures=[
                *quality_figure(rows),
                *code_figures(mapped, samples, n_drawn=config.n_drawn),
                *direction_figures(drawn, decoders, said, n_drawn=config.n_drawn),
            ],
            findings=_findings(differences),
            inputs=bench.inputs(),
            seeds={"maps": config.seed},
        )


def _samples(bench: Workbench, config: "Maps.Config") -> dict[str, MapTokens]:
    """The tokens of the text, and those of the tagged file where there is one."""
    store = bench.materials.text
    has_bos = store.config.bos != "never" and store.tokenizer.bos_id is not None
    choice = Choice(
        n_documents=-(-config.n_tokens // config.last_tokens),
        most_tokens=store.config.context_len - has_bos,
        least_tokens=config.last_tokens,
        label=config.label,
        most_classes=config.n_classes,
        heldout_only=config.corpus.source == OF_RUN and store.config.holdout_fraction > 0,
        seed=config.seed,
    )
    documents = {CODES: documents_of(store, choice)}
    if config.tagger == "spacy":
        documents[CODES] = with_tagger(documents[CODES], store, bench.model.token_text, pipeline=config.spacy_model)
    if config.tags is not None:
        tagged = read_tagged(Path(config.tags), column=config.tag_column)
        documents[TAGGED] = tagged_documents(tagged, store.tokenizer, choice)
    return {
        name: tokens_of(
            bench,
            held,
            last_tokens=config.last_tokens,
            most=config.n_tokens,
            site=config.site,
            seed=config.seed,
        )
        for name, held in documents.items()
    }


def _decoders(bench: Workbench, tokens: MapTokens, config: "Maps.Config") -> dict[str, Directions]:
    """The directions of each SAE."""
    if not config.n_directions:
        return {}
    sites = mean_sites(bench, tokens.read)
    names = dict.fromkeys(subject.sae_name for subject in bench.subjects)
    held = {name: [subject for subject in bench.subjects if subject.sae_name == name] for name in names}
    return {name: directions(of, tokens, sites, most=config.n_directions, seed=config.seed) for name, of in held.items()}


def _differences(subjects: Sequence[Subject], mapped: Sequence[Mapped]) -> list[Row]:
    """Of what the codes show; of maps they would say nothing about the SAEs."""
    replicates: dict[str, dict[str, NDArray[np.float64]]] = {}
    for each in mapped:
        found = {measure.name: measure.replicates for measure in each.measures if measure.space == CODES}
        replicates.setdefault(each.subject, {}).update(found)
    names = list(dict.fromkeys(name for held in replicates.values() for name in held))
    return list(difference_rows(subjects, replicates, names))


def _metrics(mapped: Sequence[Mapped]) -> dict[str, list[Metric]]:
    found: dict[str, list[Metric]] = {}
    for each in mapped:
        found.setdefault(each.subject, []).extend(measure.metric() for measure in each.measures)
    return found


_T_SAE = "(T-SAE, arXiv:2511.05541, maps of codes)"
_CLAIMS = {
    "class": f"Codes of the high group lie together by domain, more than those of the low group {_T_SAE}.",
    _DOCUMENT: f"Codes of the high group lie together by document, more than those of the low group {_T_SAE}.",
    _TAG: f"Codes of the low group lie together by part of speech, more than those of the high group {_T_SAE}.",
}


def _findings(differences: Sequence[Row]) -> list[Finding]:
    """Purity in the codes, high against low."""
    found: list[Finding] = []
    for label, claim in _CLAIMS.items():
        rows = [row for row in differences if is_high_less_low(row) and row["metric"] == f"purity_{CODES}_{label}"]
        comparisons = tuple(Comparison(_held(row, label), f"{row['a']} less {row['b']}: {_told(row)}") for row in rows)
        why = "" if comparisons else "No SAE was measured by high and low part (--part high,low), or the text has no such label."
        found.append(Finding(claim, comparisons, why))
    return found


def _held(row: Row, label: str) -> bool:
    end = row["high"] if label == _TAG else row["low"]
    return end is not None and (end < 0 if label == _TAG else end > 0)


def _told(row: Row) -> str:
    return str(Interval(row["a_minus_b"], row["low"], row["high"], "too few sources"))
