"""Contexts whose tokens are in memory already: no corpus, no tokenizer. Letters: n contexts, S positions."""

from collections.abc import Collection
from typing import Any

import torch

from monoseme.core.errors import ConfigError
from monoseme.core.files import hash_bytes
from monoseme.tensors.shapes import Int, Tensor
from monoseme.text.block import TokenBlock


class GivenContexts:
    """Contexts in the order given. Each is a document and a source of its own; nothing is padding."""

    split = "all"

    def __init__(self, tokens: Int[Tensor, "n S"], *, special_ids: Collection[int] = ()) -> None:
        """`special_ids`: tokens that SAEs do not see, such as BOS. Raises ConfigError for tokens that are not integers [n, S]."""
        if tokens.ndim != 2 or tokens.is_floating_point():
            raise ConfigError(f"tokens must be integers [contexts, positions], not {tokens.dtype} {tuple(tokens.shape)}")
        self._tokens = tokens.long().cpu()
        self._special_ids = torch.tensor(sorted(special_ids), dtype=torch.long)

    def __len__(self) -> int:
        """Contexts."""
        return int(self._tokens.shape[0])

    def __repr__(self) -> str:
        """How many there are."""
        return f"GivenContexts({len(self):,} contexts of {self.context_len})"

    @property
    def context_len(self) -> int:
        """Positions of a context (S)."""
        return int(self._tokens.shape[1])

    @property
    def spec(self) -> dict[str, Any]:
        """What a manifest says of them."""
        return {"kind": "given", "shape": list(self._tokens.shape), "content": hash_bytes(self._tokens.numpy().tobytes())}

    def has(self, i: int) -> bool:
        """Whether there is a context i."""
        return 0 <= i < len(self)

    def n_blocks(self, n_contexts: int) -> int:
        """Blocks of `n_contexts` each; the last may have fewer."""
        return -(-len(self) // n_contexts)

    def block(self, i: int, n_contexts: int) -> TokenBlock:
        """Contexts [i * n_contexts, (i + 1) * n_contexts), or as many as there are. Raises IndexError if there is none."""
        if not self.has(i * n_contexts):
            raise IndexError(f"no block {i} of {n_contexts} contexts in {len(self)}")
        tokens = self._tokens[i * n_contexts : (i + 1) * n_contexts]
        documents = torch.arange(i * n_contexts, i * n_contexts + len(tokens)).unsqueeze(1).expand(tokens.shape)
        return TokenBlock(
            tokens=tokens,
            mask=torch.isin(tokens, self._special_ids, invert=True),
            real=torch.ones_like(tokens, dtype=torch.bool),
            documents=documents,
            sources=documents,
            positions=torch.arange(self.context_len).expand(tokens.shape),
            roles=torch.zeros_like(tokens, dtype=torch.int8),
            turns=torch.zeros_like(tokens, dtype=torch.int16),
        )
