"""What a family of language models must tell: where its blocks are, and where each site lies in a block."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple

from torch import nn

from monoseme.models._registry import FAMILIES
from monoseme.models._taps import Tap


class Anatomy(NamedTuple):
    """The parts of one loaded model that the rest of the package works with."""

    blocks: nn.ModuleList
    final_norm: nn.Module | None
    """None where none was found (generic models only)."""
    taps: tuple[dict[str, Tap], ...]
    """For each block, the sites in it by kind, `resid_pre` and `resid_post` included."""
    missing: dict[str, str]
    """Kinds that cannot be placed, each with the reason."""
    norm_kind: Literal["rms", "layer"]
    norm_offset: float
    """Added to the final norm's weight: 1.0 for Gemma, whose norm multiplies by 1 + w, else 0.0."""
    logit_softcap: float | None
    """c of c * tanh(logits / c); None for no capping."""
    parallel: bool | None
    """Whether attention and MLP read the same residual stream; None where that is not known."""
    clone: bool
    """Whether captured tensors must be copied because the model may write into them afterwards."""
    found: str
    """In words: what was found where."""
    why_no_unembed: str | None = None
    """Why logits are not unembedding(final norm(residual)); None where they are."""


class Family(ABC):
    """One family. The file's name is the `model_type` of transformers' configuration, without a trailing `_text`."""

    plugin_name: ClassVar[str]

    @abstractmethod
    def anatomy(self, model: nn.Module, config: Any) -> Anatomy:
        """The parts of `model`; `config` is the text part of its transformers configuration.

        Raises SiteError when the model is not built as this family is.
        """


def family_of(model_type: str) -> Family:
    """The family for a `model_type` of transformers; the generic one for a type that has no file."""
    name = model_type.removesuffix("_text")
    if name in FAMILIES.names():
        return FAMILIES.get(name)()
    if name == "transformer_lens":  # no model_type of transformers: made by `_hooked`, so nothing to choose
        from monoseme.models.families._transformer_lens import TransformerLens

        return TransformerLens()
    from monoseme.models.families._generic import Generic

    return Generic()
