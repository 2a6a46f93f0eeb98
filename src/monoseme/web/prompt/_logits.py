"""What a model expects next at one position of a text: as it is, with an SAE's reconstruction at a site, and steered there.

Letters: S tokens, D width, V vocabulary.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from monoseme.models import Edit, LanguageModel, Site, replacement
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.web.forward import Forward
from monoseme.web.prompt._query import LookedAt
from monoseme.web.prompt.answers import NextTokens, TokenLogit
from monoseme.web.run_files import NotFoundError
from monoseme.web.token_text import TokenText


class Place(NamedTuple):
    """Where it is looked."""

    text: TokenText
    sites: list[str]
    site: Site
    code_site: str | None
    """The site of the code that steers there; None where one code serves all."""
    position: int


class Unchanged(NamedTuple):
    """The model as it is, and with the reconstruction in place; what is steered is set beside it."""

    place: Place
    logits: Float[Tensor, " V"]
    """Float64 on the CPU."""
    shown: NextTokens
    reconstruction: NextTokens


def place_of(forward: Forward, asked: LookedAt) -> Place:
    """Raises NotFoundError for a site or a position that there is not."""
    outputs = {str(site): site for site in forward.placed.outputs}
    own = str(forward.site)
    name = asked.site or (own if own in outputs else next(iter(outputs)))
    if name not in outputs:
        raise NotFoundError(f"{forward.asked.name} gives nothing back at {name}\n  Allowed: {', '.join(outputs)}")
    n_tokens = len(forward.text.ids)
    position = n_tokens - 1 if asked.position is None else asked.position
    if position >= n_tokens:
        raise NotFoundError(f"there is no token {position:,}: this text has {n_tokens:,}, counted from 0")
    return Place(forward.text, list(outputs), outputs[name], name if forward.sae.codes_per_site else None, position)


def unchanged_logits(model: LanguageModel, forward: Forward, asked: LookedAt) -> Unchanged:
    """Two forwards, of the model as it is and with the reconstruction at the site; the whole code, whatever part is shown."""
    place = place_of(forward, asked)
    logits = logits_at(model, place)
    x = forward.activations[place.site].clone()
    found = next(read for read in forward.read() if read.site == place.site)
    x[forward.mask.to(x.device)] = found.x_hat.to(x)
    rebuilt = logits_at(model, place, edits=[replacement(place.site, x[:, : place.position + 1])])
    texts = Texts(model, place)
    return Unchanged(place, logits, texts.unchanged(logits, asked.top), texts.changed(rebuilt, logits, asked.top))


@torch.no_grad()
def logits_at(model: LanguageModel, place: Place, *, edits: Sequence[Edit] = ()) -> Float[Tensor, " V"]:
    """Of the token after the position; later tokens are not read, for a causal model does not see them. Float64 on the CPU."""
    tokens = place.text.tokens(model)[:, : place.position + 1]
    if not model.can_unembed:
        return model.run(tokens, edits=edits).logits[0, -1].cpu().double()
    # One row is unembedded: all of a long text times a large vocabulary would be gigabytes.
    last = Site("resid_post", model.spec.n_layers - 1)
    return model.unembed(model.capture(tokens, [last], edits=edits)[last][0, -1]).cpu().double()


class Texts:
    """Makes lists of tokens out of logits."""

    def __init__(self, model: LanguageModel, place: Place) -> None:
        ids = place.text.ids
        self._model, self._next = model, ids[place.position + 1] if place.position + 1 < len(ids) else None

    def unchanged(self, logits: Float[Tensor, " V"], top: int) -> NextTokens:
        """Of the model as it is."""
        largest = logits.topk(min(top, len(logits))).indices
        [after] = self._list(logits, None, self._after()) or [None]
        return NextTokens(top=self._list(logits, None, largest), gain=[], loss=[], next=after, kl=None)

    def changed(self, logits: Float[Tensor, " V"], before: Float[Tensor, " V"], top: int) -> NextTokens:
        """Of a changed model; only true gains and losses are listed."""
        change = logits - before
        n = min(top, len(logits))
        gain, loss = change.topk(n).indices, (-change).topk(n).indices
        [after] = self._list(logits, change, self._after()) or [None]
        log_p, log_q = before.log_softmax(0), logits.log_softmax(0)
        return NextTokens(
            top=self._list(logits, change, logits.topk(n).indices),
            gain=self._list(logits, change, gain[change[gain] > 0]),
            loss=self._list(logits, change, loss[change[loss] < 0]),
            next=after,
            kl=max(float((log_p.exp() * (log_p - log_q)).nan_to_num(nan=0.0).sum()), 0.0),
        )

    def _after(self) -> Int[Tensor, " n"]:
        return torch.tensor([] if self._next is None else [self._next], dtype=torch.int64)

    def _list(self, logits: Tensor, change: Tensor | None, ids: Int[Tensor, " n"]) -> list[TokenLogit]:
        probabilities = logits.softmax(0)[ids].tolist()
        changes = [None] * len(ids) if change is None else change[ids].tolist()
        columns = zip(ids.tolist(), self._model.decode_tokens(ids), logits[ids].tolist(), probabilities, changes, strict=True)
        return [TokenLogit(id=i, token=text, logit=logit, probability=p, change=by) for i, text, logit, p, by in columns]
