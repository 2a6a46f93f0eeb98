"""What a scan asks of sources, SAEs and models: the narrow seams that live ones and fakes both fit.

Letters: n contexts of a block, S positions, D model width, F latents, V vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from monoseme.models.site import Site
from monoseme.splice import SAELike


class ScannedBlock(Protocol):
    """A block of whole contexts with the activations at each site."""

    @property
    def tokens(self) -> Tensor:
        """[n, S]"""
        ...

    @property
    def mask(self) -> Tensor:
        """[n, S] bool: may the token reach an SAE."""
        ...

    @property
    def documents(self) -> Tensor:
        """[n, S]; -1 on padding."""
        ...

    @property
    def positions(self) -> Tensor:
        """[n, S] position in the document."""
        ...

    @property
    def sources(self) -> Tensor:
        """[n, S] source the document was cut from."""
        ...

    @property
    def roles(self) -> Tensor:
        """[n, S] who speaks, a code in `monoseme.text.ROLES`; 0 in plain text."""
        ...

    @property
    def turns(self) -> Tensor:
        """[n, S] turn of a conversation, from 0; 0 in plain text."""
        ...

    @property
    def activations(self) -> Mapping[Site, Tensor]:
        """[n, S, D] at each site."""
        ...


class ScannedSource(Protocol):
    """Blocks in order; a context is in exactly one of them."""

    @property
    def sites(self) -> Sequence[Site]:
        """Where activations are captured."""
        ...

    @property
    def n_blocks(self) -> int:
        """Blocks in one pass (count)."""
        ...

    @property
    def spec(self) -> dict[str, Any]:
        """What a manifest says of the source."""
        ...

    def blocks(self, start: int = 0) -> Iterator[ScannedBlock]:
        """The blocks from `start` on."""
        ...


class ScannedSAE(SAELike, Protocol):
    """An SAE, and its weights to know it by."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """All parameters and buffers by name; `W_dec` [F, D] is what direct logit attribution takes."""
        ...


class ScannedSpec(Protocol):
    """Sizes of a model."""

    @property
    def vocab_size(self) -> int:
        """V."""
        ...

    @property
    def norm(self) -> str:
        """Kind of the final norm: `rms` or `layer`."""
        ...


class ScannedModel(Protocol):
    """What direct logit attribution and the display of tokens ask of a language model."""

    @property
    def spec(self) -> ScannedSpec:
        """Its sizes."""
        ...

    def unembedding(self) -> Tensor:
        """W_U [D, V]."""
        ...

    def final_norm_scale(self) -> Tensor:
        """gamma [D]."""
        ...

    def decode_tokens(self, ids: Sequence[int]) -> Sequence[str]:
        """The text of each token id."""
        ...

    def content_hash(self) -> str:
        """Hash of weights and tokenizer."""
        ...
