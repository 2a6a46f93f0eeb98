"""A loss through the model for SAEs in training: what its predictions lose when reconstructions stand in for the activations.

    ce   mean over predictions of -log q(next token)
    kl   mean over predictions of KL(p || q)

p are the model's own predictions from the activations that the SAE was given, q those with its reconstructions in place of them.
Predictions that count are those of unmasked tokens whose successor is a real token of the same document.

Source: Braun et al. 2024, arXiv:2405.12241 (KL); cross-entropy as in Gao et al. 2024, arXiv:2406.04093, section 4.1.
Letters: n contexts, S positions, T positions where the mask is True (row by row), P predictions, V vocabulary, D width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch

from monoseme.core.errors import ConfigError
from monoseme.models.language_model import LanguageModel
from monoseme.models.site import Site
from monoseme.saes import Losses
from monoseme.splice.next_token import divergence, log_probabilities, predictions, targets
from monoseme.splice.next_token import losses as next_token_losses
from monoseme.tensors.shapes import Bool, Float, Int, Tensor


@runtime_checkable
class Contexts(Protocol):
    """Whole contexts as an SAE learns from them."""

    @property
    def x(self) -> Tensor:
        """Raw activations at one site, [n, S, D]."""
        ...

    @property
    def mask(self) -> Tensor | None:
        """Where the SAE's reconstructions go, bool [n, S]; None for everywhere."""
        ...

    @property
    def tokens(self) -> Tensor | None:
        """Token ids, [n, S]."""
        ...

    @property
    def documents(self) -> Tensor | None:
        """Document of each token, below 0 on padding, [n, S]."""
        ...


@dataclass(frozen=True, eq=False)
class ModelObjective:
    """The loss of each SAE of a run, by name. Called as `Callbacks.objective` of `monoseme.training`."""

    model: LanguageModel
    sites: Mapping[str, Site]
    """Where each SAE reads and reconstructs."""
    kind: Literal["ce", "kl"] = "kl"

    def __post_init__(self) -> None:
        """Raises ConfigError for a kind that there is not."""
        if self.kind not in ("ce", "kl"):
            raise ConfigError(f'no loss through the model is called "{self.kind}".\n  Allowed: ce, kl')

    def __call__(self, name: str, losses: Losses, batch: Contexts) -> Float[Tensor, ""]:
        """The loss of one batch in nats, with its graph back to `losses.x_hat`; 0 where no prediction counts.

        Raises ConfigError for a batch that is no contexts of text, or reconstructions of something else.
        """
        mask, tokens, documents = _text(batch)
        if losses.x_hat.shape != (int(mask.sum()), batch.x.shape[-1]):
            raise ConfigError(
                f"{name} gives back {tuple(losses.x_hat.shape)} where its contexts have {int(mask.sum())} positions of "
                f"D={batch.x.shape[-1]}: a loss through the model takes an SAE of one site"
            )
        counts = predictions(mask, real=documents >= 0, documents=documents)
        if not bool(counts.any()):
            return losses.x_hat.sum() * 0.0
        x = batch.x.index_put((mask.to(batch.x.device),), losses.x_hat.to(batch.x.dtype))
        changed = self._logits(name, x, tokens, documents, counts)
        if self.kind == "ce":
            return next_token_losses(changed, targets(tokens, counts)).mean()
        with torch.no_grad():
            log_p = log_probabilities(self._logits(name, batch.x, tokens, documents, counts))
        return divergence(log_p, changed).mean()

    def _logits(
        self,
        name: str,
        x: Float[Tensor, "n S D"],
        tokens: Int[Tensor, "n S"],
        documents: Int[Tensor, "n S"],
        counts: Bool[Tensor, "n S"],
    ) -> Float[Tensor, "P V"]:
        """Of the predictions that count, when the tensor at the SAE's site is x."""
        device = self.model.device
        logits = self.model.run_from(self.sites[name], x, tokens=tokens.to(device), real=(documents >= 0).to(device))
        return logits[counts.to(logits.device)]


def _text(batch: Contexts) -> tuple[Bool[Tensor, "n S"], Int[Tensor, "n S"], Int[Tensor, "n S"]]:
    """Mask, token ids and documents of a batch, on the CPU."""
    if batch.x.ndim != 3 or batch.tokens is None or batch.documents is None:
        raise ConfigError(
            "a loss through the model needs whole contexts with their tokens: train from a source of activations, in the view "
            '"contexts"'
        )
    mask = torch.ones(batch.x.shape[:2], dtype=torch.bool) if batch.mask is None else batch.mask.cpu()
    return mask, batch.tokens.cpu(), batch.documents.cpu()
