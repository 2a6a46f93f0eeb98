"""An attribution graph: nodes, and the matrix of what each adds to each."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch

from monoseme.tensors.shapes import Bool, Float, Int, Tensor

Kind = Literal["latent", "error", "token", "logit"]


@dataclass(frozen=True)
class Node:
    """One node; which of the fields mean something hangs on its kind."""

    kind: Kind
    sae: str | None
    """Of latents and errors."""
    site: str
    """Where it writes; "logits" for a logit."""
    layer: int
    """Block of the site; -1 for tokens, the number of blocks for logits."""
    position: int
    index: int
    """Latent, or token id of tokens and logits; -1 for errors."""
    value: float
    """Code of a latent, length of an error, or a logit less the mean of all logits; 1 for tokens."""
    probability: float | None = None
    """Of logits."""


@dataclass(frozen=True, eq=False)
class AttributionGraph:
    """What each node of a prompt adds to each later one. Letters: N nodes, S positions."""

    nodes: tuple[Node, ...]
    """Latents, errors, tokens, logits, in that order."""
    edges: Float[Tensor, "N N"]
    """Row: target, column: source; float64 on the CPU. Errors and tokens have no incoming edges."""
    tokens: Int[Tensor, " S"]
    token_texts: tuple[str, ...]
    """Of `tokens`."""
    logit_texts: Mapping[int, str]
    """Token id of each logit node -> its text."""
    n_layers: int
    """Blocks of the model."""

    def of_kind(self, *kinds: Kind) -> Bool[Tensor, " N"]:
        """Where the nodes are of these kinds."""
        return torch.tensor([node.kind in kinds for node in self.nodes], dtype=torch.bool)

    @property
    def values(self) -> Float[Tensor, " N"]:
        """Of the nodes, float64."""
        return torch.tensor([node.value for node in self.nodes], dtype=torch.float64)

    @property
    def logit_weights(self) -> Float[Tensor, " N"]:
        """Probability of each logit node, 0 for others: what influence starts from."""
        return torch.tensor([node.probability or 0.0 for node in self.nodes], dtype=torch.float64)

    @property
    def constants(self) -> Float[Tensor, " N"]:
        """Of latents and logits: the value less all incoming edges, which is what biases (and the first position, where it has
        no node) add; NaN for other kinds.
        """
        is_target = self.of_kind("latent", "logit")
        return torch.where(is_target, self.values - self.edges.sum(1), torch.nan)

    def kept(self, keep: Bool[Tensor, " N"], edges: Bool[Tensor, "N N"] | None = None) -> "AttributionGraph":
        """The graph of some nodes, with all or some of the edges among them."""
        weights = self.edges if edges is None else self.edges.where(edges, 0.0)
        nodes = tuple(node for node, kept in zip(self.nodes, keep.tolist(), strict=True) if kept)
        return replace(self, nodes=nodes, edges=weights[keep][:, keep])

    def total_effects(self) -> Float[Tensor, "N N"]:
        """What each node (column) adds to each target (row) over all paths, by latents that go on to fire as much as they are
        moved: E = A + A diag(1 / value) E for the edges A. Float64.

        Nothing passes through errors and tokens, nor a latent whose code is 0.
        """
        through = torch.where(self.of_kind("latent") & (self.values != 0), 1 / self.values, 0.0)
        step = self.edges * through
        effects = added = self.edges
        # Edges only lead forward: after as many rounds as there are cuts, nothing is left to add.
        while bool(added.any()):
            added = step @ added
            effects = effects + added
        return effects
