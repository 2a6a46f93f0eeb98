"""The slow, obvious kernels: dense products, full stable sorts, plain autograd. The twin every fast path is compared with."""

from typing import ClassVar

from monoseme.kernels._contract import Encoder, Kernels
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes


class ReferenceKernels(Kernels):
    """Dense and obvious: materialises [B, F] values and gradients."""

    name: ClassVar[str] = "reference"

    def encode_topk(
        self, x: Float[Tensor, "B D"], encoder: Encoder, k: int, *, among: Int[Tensor, " m"] | None = None
    ) -> SparseCodes:
        """A dense product, then `topk`; latents outside `among` count as minus infinity."""
        pre = _pre_activations(x, encoder)
        if among is None:
            return self.topk(pre, k)
        chosen = self.topk(pre[:, among], min(k, among.shape[0]))
        latents = among[chosen.indices.long()].reshape(x.shape[0], -1)
        return SparseCodes.from_topk(latents, chosen.values.reshape(latents.shape), pre.shape[1])

    def encode_batch_topk(self, x: Float[Tensor, "B D"], encoder: Encoder, n: int) -> SparseCodes:
        """A dense product, then `batch_topk`."""
        return self.batch_topk(_pre_activations(x, encoder), n)

    def encode_threshold(
        self, x: Float[Tensor, "B D"], encoder: Encoder, threshold: Float[Tensor, ""] | Float[Tensor, " F"]
    ) -> SparseCodes:
        """A dense product, then `threshold`."""
        return self.threshold(_pre_activations(x, encoder), threshold)

    def attach(self, x: Float[Tensor, "B D"], encoder: Encoder, codes: SparseCodes) -> SparseCodes:
        """A dense product, read at the entries."""
        return codes.with_values(_pre_activations(x, encoder)[codes.rows(), codes.indices.long()])

    def decode(
        self, codes: SparseCodes, weight: Float[Tensor, "F D"], bias: Float[Tensor, " D"] | None = None
    ) -> Float[Tensor, "B D"]:
        """A dense product."""
        x_hat = codes.to_dense().reshape(-1, codes.n_latents) @ weight
        return x_hat if bias is None else x_hat + bias

    def topk(self, pre: Float[Tensor, "B F"], k: int) -> SparseCodes:
        """Stable descending sort of each row, first k."""
        latents = topk_by_sort(pre.detach(), k)
        return SparseCodes.from_topk(latents, pre.gather(1, latents), pre.shape[1])

    def batch_topk(self, pre: Float[Tensor, "B F"], n: int) -> SparseCodes:
        """Stable descending sort of the flattened matrix, first n."""
        return at_flat(pre, batch_topk_by_sort(pre.detach(), n))

    def threshold(self, pre: Float[Tensor, "B F"], threshold: Float[Tensor, ""] | Float[Tensor, " F"]) -> SparseCodes:
        """A mask."""
        return at_flat(pre, (pre.detach() > threshold).flatten().nonzero().squeeze(1))


def _pre_activations(x: Float[Tensor, "B D"], encoder: Encoder) -> Float[Tensor, "B F"]:
    centred = x if encoder.centre is None else x - encoder.centre
    return centred @ encoder.weight + encoder.bias


def topk_by_sort(pre: Float[Tensor, "B F"], k: int) -> Int[Tensor, "B K"]:
    """Latents of the k largest entries of each row, ascending; ties go to the lowest latent, NaN counts as largest."""
    return pre.sort(dim=1, descending=True, stable=True).indices[:, :k].sort(dim=1).values


def batch_topk_by_sort(pre: Float[Tensor, "B F"], n: int) -> Int[Tensor, " n"]:
    """Flat indices of the n largest entries, ascending; ties go to the lowest flat index, NaN counts as largest."""
    return pre.flatten().sort(descending=True, stable=True).indices[:n].sort().values


def at_flat(pre: Float[Tensor, "B F"], flat: Int[Tensor, " n"]) -> SparseCodes:
    """The entries of `pre` at ascending flat indices."""
    n_rows, n_latents = pre.shape
    rows, latents = flat // n_latents, flat % n_latents
    values = pre.flatten()[flat] if pre.is_contiguous() else pre[rows, latents]
    return SparseCodes.from_rows(rows, latents, values, n_rows=n_rows, n_latents=n_latents)
