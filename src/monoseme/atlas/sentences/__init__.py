"""Sentences that go with a latent: whole documents ranked by its mean, largest and last activation. Readers need no torch."""

from monoseme.atlas.sentences.gathering import rank_sentences
from monoseme.atlas.sentences.reader import RankedSentence, Sentences, open_sentences
from monoseme.atlas.sentences.values import AGGREGATIONS

__all__ = ["AGGREGATIONS", "RankedSentence", "Sentences", "open_sentences", "rank_sentences"]
