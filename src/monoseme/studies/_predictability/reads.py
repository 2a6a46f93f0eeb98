"""What a model and SAEs make of one text: tokens, activations, codes and parts, each text alone in its context.

Letters: T tokens of the text that SAEs see, D width, F latents, H heads.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.evaluation import Chunk, chunks
from monoseme.models import Site
from monoseme.saes import Codes
from monoseme.splice import Placed, without_code
from monoseme.splice.next_token import losses
from monoseme.studies._predictability.texts import Span
from monoseme.studies._workbench import Workbench
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.text import GivenContexts

Rows = NDArray[np.float64]
PARTS = ("predicted", "novel")


@runtime_checkable
class Attentive(Protocol):
    """An SAE that says where its attention goes, as TFA does."""

    def attention_maps(self, x: Float[Tensor, "n S D"], mask: Bool[Tensor, "n S"] | None = None) -> Tensor:
        """[n, layers, H, S, slots]; slot s holds the position before s."""
        ...


class TwoParts(NamedTuple):
    """What an SAE with predicted and novel codes gives back of T tokens, float64."""

    centred: Rows
    """x without the bias, [T, D]."""
    predicted: Rows
    novel: Rows


class Reading(NamedTuple):
    """One text read."""

    text: str
    spans: tuple[Span, ...]
    """Characters of each of the T tokens; [start, stop) of the text."""
    codes: Mapping[str, Rows]
    """Subject -> [T, F], or [T, L F] where each site has its own code; and each site -> activations [T, D]."""
    parts: Mapping[str, TwoParts]
    """SAEs that have both parts."""
    maps: Mapping[str, Rows]
    """Attentive SAEs -> [layers, H, T, T]: how much t takes from slot s, which holds the token before s."""
    surprisal: Rows
    """Nats of each token given those before it, [T]; NaN for a first token that has none."""

    @property
    def tokens(self) -> list[str]:
        """The text of each token."""
        return [self.text[slice(*span)] for span in self.spans]

    def rows_of(self, span: Span) -> list[int]:
        """The tokens that share a character with a span."""
        return [i for i, (start, stop) in enumerate(self.spans) if start < span.stop and stop > span.start]


class Reader:
    """Reads texts with the SAEs of a study."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        store = bench.materials.text
        self._tokenizer = store.tokenizer
        self._bos = [] if store.config.bos == "never" or self._tokenizer.bos_id is None else [self._tokenizer.bos_id]

    def read(self, text: str) -> Reading:
        """Tokens that the attention-sink filter leaves out are not there. Raises ConfigError for a text longer than the model."""
        encoded = self._tokenizer.encode_with_offsets([text])[0]
        ids = [*self._bos, *encoded.ids]
        if (most := self._bench.model.spec.n_positions) is not None and len(ids) > most:
            raise ConfigError(f"a text has {len(ids)} tokens, and the model takes {most}: {text[:60]}...\n  Cut it in two.")
        tokens = torch.tensor([ids])
        chunk = self._chunk(tokens)
        seen = chunk.text.mask[0].cpu()
        places = [Span(0, 0)] * len(self._bos) + [Span(*offset) for offset in encoded.offsets]
        spans = tuple(_without_space(text, span) for span, kept in zip(places, seen.tolist(), strict=True) if kept)
        codes, parts, maps = self._encoded(chunk)
        return Reading(text, spans, codes, parts, maps, self._surprisal(tokens)[seen].numpy())

    def read_all(self, texts: Sequence[str], task: str) -> list[Reading]:
        """Each text, while the display shows the task."""
        with get_display().progress(task, total=len(texts), unit="texts") as progress:
            made: list[Reading] = []
            for text in texts:
                made.append(self.read(text))
                progress.advance(1)
        return made

    def _chunk(self, tokens: Tensor) -> Chunk:
        source = self._bench.of_contexts(GivenContexts(tokens, special_ids=self._tokenizer.special_ids))
        return next(chunks(source, self._bench.sites, n_contexts=1, max_tokens=None))

    @torch.no_grad()
    def _encoded(self, chunk: Chunk) -> tuple[dict[str, Rows], dict[str, TwoParts], dict[str, Rows]]:
        mask = chunk.text.mask
        codes = {
            str(site): _double(chunk.activations[site][mask.to(chunk.activations[site].device)]) for site in self._read_sites
        }
        parts: dict[str, TwoParts] = {}
        maps: dict[str, Rows] = {}
        made: dict[str, Codes] = {}
        for subject in self._bench.subjects:
            name, placed = subject.sae_name, subject.placed
            if name not in made:
                made[name] = placed.encode(chunk.activations, mask)
                if set(PARTS) <= set(made[name].parts):
                    parts[name] = _two_parts(placed, made[name], chunk)
                if isinstance(subject.sae, Attentive):
                    maps[name] = _maps(subject.sae, placed, chunk)
            codes[subject.name] = _double(made[name].dense(subject.part).flatten(1))
        return codes, parts, maps

    @property
    def _read_sites(self) -> list[Site]:
        """The places of SAEs that read one, or else the first place of all."""
        inputs = [subject.placed.inputs for subject in self._bench.subjects]
        return list(dict.fromkeys(sites[0] for sites in inputs if len(sites) == 1)) or [inputs[0][0]]

    def _surprisal(self, tokens: Tensor) -> Tensor:
        model = self._bench.model
        made = torch.full((tokens.shape[1],), torch.nan, dtype=torch.float64)
        if tokens.shape[1] > 1:
            logits = model.run(tokens.to(model.device)).logits[0, :-1]
            made[1:] = losses(logits, tokens[0, 1:]).double().cpu()
        return made


def _two_parts(placed: Placed, codes: Codes, chunk: Chunk) -> TwoParts:
    decode = placed.sae.decode
    x = chunk.activations[placed.outputs[0]]
    bias = _double(decode(without_code(codes)))
    predicted, novel = (_double(decode(codes.with_all(codes.part(part)))) - bias for part in PARTS)
    return TwoParts(_double(x[chunk.text.mask.to(x.device)]) - bias, predicted, novel)


def _maps(sae: Attentive, placed: Placed, chunk: Chunk) -> Rows:
    """The maps between the tokens that are there."""
    x, seen = chunk.activations[placed.inputs[0]], chunk.text.mask[0].cpu()
    found = sae.attention_maps(x.float(), chunk.text.mask.to(x.device))[0].cpu()
    return _double(found[:, :, seen][..., seen])


def _without_space(text: str, span: Span) -> Span:
    """A token's characters without the space before and behind it; one that is all space keeps it."""
    piece = text[slice(*span)]
    if not piece.strip():
        return span
    start = span.start + len(piece) - len(piece.lstrip())
    return Span(start, start + len(piece.strip()))


def _double(x: Tensor) -> Rows:
    return x.detach().cpu().double().numpy()
