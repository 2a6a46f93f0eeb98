"""What each latent at a word does for the model's answer, estimated by integrated gradients, as the original has it.

Letters: n words of one letter, F latents.
"""

import functools

import torch

from monoseme.attribution._scores import at_positions
from monoseme.attribution.integrated import Patch, Path, integrated_gradients
from monoseme.attribution.metrics import Readout, letter_metric
from monoseme.spelling import lay_out
from monoseme.studies._absorption.dictionaries import Entry
from monoseme.studies._absorption.judged import Ablate
from monoseme.studies._absorption.letters import Dictionary, Ints
from monoseme.studies._first_letter.bench import FirstLetterBench
from monoseme.tensors.shapes import Float, Tensor


class Ablations:
    """Integrated gradients of the letter metric at words."""

    def __init__(self, bench: FirstLetterBench, path: Path) -> None:
        self._bench = bench
        self._path = path

    def of(self, entry: Entry, dictionary: Dictionary) -> Ablate:
        """(letter, words) -> scores [n, F] of one dictionary; of a part of an SAE, 0 for the latents of other parts."""

        def scores(letter: str, rows: Ints) -> Float[Tensor, "n F"]:
            found = self._scores(entry, letter, torch.from_numpy(rows))
            in_part = torch.from_numpy(dictionary.codes[rows].toarray() != 0)
            return found * in_part

        return scores

    @functools.cached_property
    def _answers(self) -> dict[str, int]:
        """Each answer that the model has one token for -> this token; letters that no word begins with are among them."""
        prompt = self._bench.prompts[0]
        answers = list(self._bench.task.classes or self._bench.classes)
        laid = lay_out(self._bench.model, [prompt._replace(answer=f" {each}") for each in answers], with_answers=True)
        tokens = laid.tokens[torch.arange(len(answers)), laid.answer_from + 1].tolist()
        return {each: t for each, t, n in zip(answers, tokens, laid.answer_len.tolist(), strict=True) if n == 1}

    def _scores(self, entry: Entry, letter: str, rows: Tensor) -> Float[Tensor, "n F"]:
        bench, batch = self._bench, self._bench.batch
        correct = torch.full((len(rows),), list(self._answers).index(letter))
        metric = letter_metric(torch.tensor(list(self._answers.values())), correct)
        readout = Readout(batch.tokens[rows], batch.answer_from[rows], metric, batch.real[rows])
        patch = Patch(at=at_positions(readout, batch.word_last[rows]))
        found = integrated_gradients(bench.model, readout, {entry.site: entry.sae}, patch=patch, path=self._path)[entry.site]
        return found.scores.to_dense().double().cpu()
