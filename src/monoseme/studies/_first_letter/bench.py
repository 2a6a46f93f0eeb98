"""The workbench of studies of letters: what they all need of words, model and SAEs, made once and kept.

    bench = FirstLetterBench(config, work)
    bench.words, bench.labels, bench.is_test      the words, the right answers, the split
    bench.answers                                 what the model says
    bench.activations(site), bench.probe(site)    at the last token of each word, and the probe of all letters on it
    bench.codes(subject)                          the same of an SAE
    bench.latent_probes(subject)                  its sparse probes, and the latents that each letter is split into

Letters: N words, C classes, D width, F latents.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from monoseme.core.errors import ConfigError, ModelError
from monoseme.evaluation import directions_of
from monoseme.models import LanguageModel, Site
from monoseme.probes import (
    LinearProbe,
    ProbeScores,
    SavedProbe,
    Split,
    held_out,
    load_probe,
    one_hot,
    save_probe,
    train_multi_probe,
)
from monoseme.spelling import LetterTask, Prompt, PromptBatch, Prompter, lay_out, task_named
from monoseme.studies._first_letter.config import FirstLetterConfig
from monoseme.studies._first_letter.gathering import Answers, Asked, Gathered, gather
from monoseme.studies._first_letter.latent_probes import Labelled, LatentProbes, probe_latents, read_probes, write_probes
from monoseme.studies._first_letter.words import Words, choose_words
from monoseme.studies._workbench import OF_RUN, SaeStudyConfig, Subject, Workbench
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.text import CorpusConfig


class FirstLetterBench:
    """Words, answers, activations, codes and probes; each is made when first asked for, and kept under `work`."""

    def __init__(self, config: FirstLetterConfig, work: Path, *, model: LanguageModel | None = None) -> None:
        """Opens the SAEs. Raises what `Workbench` raises, and ConfigError where none reads one site."""
        self.config = config
        self.work = work
        # With a model that the user names, SAEs need no run: no text is read here, so any will do.
        corpus = config.corpus if config.model.model == OF_RUN else CorpusConfig()
        asked = SaeStudyConfig(sae=config.sae, part=config.part, model=config.model, corpus=corpus)
        self.bench = Workbench(asked, model=model, reads_text=False)
        self.subjects = [s for s in self.bench.subjects if _why_not(s) is None]
        self.left_out: Mapping[str, str] = {s.name: why for s in self.bench.subjects if (why := _why_not(s)) is not None}
        """Subject that is not of one site -> why."""
        if not self.subjects:
            told = "\n".join(f"  {name}: {why}" for name, why in self.left_out.items())
            raise ConfigError(f"no SAE is left:\n{told}")
        self._codes: dict[str, sp.csr_array] = {}
        self._scores: dict[Site, list[ProbeScores]] = {}

    @property
    def model(self) -> LanguageModel:
        """The language model."""
        return self.bench.model

    @functools.cached_property
    def task(self) -> LetterTask:
        """What is asked."""
        return task_named(self.config.task)

    @functools.cached_property
    def sites(self) -> tuple[Site, ...]:
        """Of all subjects, each once."""
        return tuple(dict.fromkeys(site for subject in self.subjects for site in subject.sites))

    # -- words -----------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def chosen(self) -> Words:
        """The words with their answers, the classes, the split, and what is left out."""
        return choose_words(self.config, self.task, self.model)

    @property
    def words(self) -> Sequence[str]:
        """N words, with the space before them."""
        return self.chosen.words

    @property
    def labels(self) -> Sequence[str]:
        """The right answer of each word."""
        return self.chosen.labels

    @property
    def classes(self) -> tuple[str, ...]:
        """The C answers that are probed."""
        return self.chosen.classes

    @property
    def split(self) -> Split:
        """Which words train and which test."""
        return self.chosen.split

    @property
    def is_test(self) -> NDArray[np.bool_]:
        """[N]"""
        return self.chosen.split.is_test

    @functools.cached_property
    def truth(self) -> NDArray[np.bool_]:
        """[N, C]"""
        return one_hot(self.labels, self.classes)

    @functools.cached_property
    def prompter(self) -> Prompter:
        """Makes the prompts; examples are words of the training side."""
        train: list[int] = self.split.train.tolist()
        examples = tuple(self.words[i] for i in train)
        return Prompter(task=self.task, examples=examples, n_examples=self.config.n_examples, seed=self.config.seed)

    @functools.cached_property
    def prompts(self) -> list[Prompt]:
        """A prompt for each word."""
        return [self.prompter(word) for word in self.words]

    @functools.cached_property
    def batch(self) -> PromptBatch:
        """The prompts as tokens, up to the question's colon."""
        return lay_out(self.model, self.prompts)

    @functools.cached_property
    def answer_tokens(self) -> Int[Tensor, " C"]:
        """The token of each answer. Raises ModelError where an answer is not one token, or two are the same."""
        one_of = dict(zip(self.labels, self.prompts, strict=True))
        laid = lay_out(self.model, [one_of[name] for name in self.classes], with_answers=True)
        rows = range(len(self.classes))
        made = laid.tokens[list(rows), laid.answer_from + 1]
        longer = [name for name, n in zip(self.classes, laid.answer_len.tolist(), strict=True) if n != 1]
        if longer or len(made.unique()) < len(made):
            raise ModelError(
                f"{self.model.config.model} has no token of its own for each answer ({', '.join(longer) or 'two are the same'}): "
                "its answers cannot be told by one token.\n  Take a model whose vocabulary holds the letters after a space."
            )
        return made

    # -- what the model and the SAEs make of them ------------------------------------------------------------------------

    @functools.cached_property
    def gathered(self) -> Gathered:
        """From one pass of the model over all prompts, or from an earlier one."""
        by_class = dict(zip(self.classes, self.answer_tokens.tolist(), strict=True))
        right = self.answer_tokens.new_tensor([by_class[label] for label in self.labels])
        asked = Asked(self.batch, self.answer_tokens, right, [prompt.text for prompt in self.prompts])
        _ = self.bench.materials  # moves the SAEs to where they are used
        return gather(self.model, asked, self.subjects, self.work / "asked", batch_prompts=self.config.batch_prompts)

    @functools.cached_property
    def answers(self) -> Answers:
        """What the model says, [N]."""
        return self.gathered.answers()

    @property
    def accuracy(self) -> float:
        """Share of the words for which the model's most likely token is the right answer (fraction)."""
        return float(self.answers.is_correct.double().mean())

    def activations(self, site: Site) -> Float[Tensor, "N D"]:
        """At the last token of each word, float32."""
        return self.gathered.activations(site)

    def codes(self, subject: Subject) -> sp.csr_array:
        """[N, F] float32, at the same tokens."""
        if subject.name not in self._codes:
            self._codes[subject.name] = self.gathered.codes(subject)
        return self._codes[subject.name]

    # -- probes ----------------------------------------------------------------------------------------------------------

    def saved_probe(self, site: Site) -> SavedProbe:
        """The probe of all classes on a site's activations, with its split and training."""
        path = self.work / "probes" / f"{site}.safetensors"
        if not path.is_file():
            training = self.config.probe
            x = self.activations(site)
            probe = train_multi_probe(x, self.truth, self.classes, rows=self.split.train, settings=training)
            save_probe(path, SavedProbe(probe, self.split, training))
        return load_probe(path)

    def probe(self, site: Site) -> LinearProbe:
        """The probe of all classes on a site's activations."""
        return self.saved_probe(site).probe

    def probe_scores(self, site: Site) -> list[ProbeScores]:
        """Of each class, on the test side."""
        if site not in self._scores:
            x, rows = self.activations(site), self.split.test
            self._scores[site] = held_out(self.probe(site), x, self.truth, self.classes, rows=rows)
        return self._scores[site]

    def latent_probes(self, subject: Subject) -> LatentProbes:
        """The sparse probes of an SAE, their scores, and how each letter is split."""
        path = self.work / "latent_probes" / f"{self.subjects.index(subject)}.json"
        if not path.is_file():
            data = Labelled(self.codes(subject), self.truth, self.classes, self.split)
            probe = self.probe(subject.sites[0])
            directions = self.directions(subject) if self.config.selection == "probe_weight" else None
            write_probes(path, probe_latents(data, self.config, probe=probe, directions=directions))
        return read_probes(path)

    def directions(self, subject: Subject) -> NDArray[np.float64]:
        """[F, D], what each latent writes, of length 1."""
        return directions_of(subject.sae, n_sites=1).numpy()


def _why_not(subject: Subject) -> str | None:
    if len(subject.sites) != 1:
        return f"it is of {len(subject.sites)} sites; letters are probed at one"
    return None
