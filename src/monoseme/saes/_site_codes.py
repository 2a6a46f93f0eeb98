"""Codes over several sites: how dictionaries that share a budget choose their latents, decode together, and revive their dead.

A *dictionary* reads some of the input columns and writes some of the output columns. A transcoder and a crosscoder have one, a
cross-layer transcoder one for each layer. What is compared, between the latents of a dictionary and between dictionaries, is
a latent's activation times the norm of what it writes, f_i n_i: only that is determined, as a decoder row made twice as long and
an encoder half as strong are the same SAE.

Source: Minder et al. 2025, arXiv:2504.02922, BatchTopK crosscoder (selection by f_i times the summed norms of its decoder rows).
Letters: B rows, C columns of all inputs, M columns of all outputs, F latents of a dictionary.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch

from monoseme.kernels import Encoder, Kernels
from monoseme.saes._dead import EVERY_ROW, Chosen, revived
from monoseme.tensors.joint import mean_over
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

CodesKind = Literal["topk", "batchtopk", "relu", "threshold"]


class Dictionary(NamedTuple):
    """Latents, what they read and what they write; sites lie side by side in the columns."""

    encoder: Encoder
    W_dec: Tensor
    """[F, columns written]."""
    norms: Float[Tensor, " F"]
    """n_i: what activations are multiplied by before they are compared or penalised."""
    reads: slice
    """Columns of the inputs."""
    writes: slice
    """Columns of the outputs."""
    norms_alike: bool = False
    """Whether n_i is one number, which decides nothing between these latents: no scaled copy of the encoder is needed."""


def choose(
    kind: Literal["topk", "batchtopk", "relu"],
    rows: Float[Tensor, "B C"],
    dictionaries: Sequence[Dictionary],
    *,
    k: int,
    kernels: Kernels,
) -> list[SparseCodes]:
    """Codes of a training step, one for each dictionary, none negative.

    topk: the k largest f_i n_i of each row in each dictionary. batchtopk: the k B largest, times the number of dictionaries,
    over all of them. relu: all that are positive.
    """
    if kind == "relu":
        return [kernels.encode_threshold(rows[:, d.reads], d.encoder, rows.new_zeros(())) for d in dictionaries]
    unscaled = len(dictionaries) == 1 and dictionaries[0].norms_alike
    scaled = [d if unscaled else _scaled(d) for d in dictionaries]
    if kind == "topk":
        chosen = [kernels.encode_topk(rows[:, d.reads], d.encoder, k) for d in scaled]
    else:
        budgets = _budgets(rows, scaled, k=k, kernels=kernels)
        pairs = zip(scaled, budgets, strict=True)
        chosen = [kernels.encode_batch_topk(rows[:, d.reads], d.encoder, n) for d, n in pairs]
    if unscaled:
        return [c.with_values(c.values.relu()) for c in chosen]
    return [c.with_values(c.values.relu() / d.norms[c.indices]) for d, c in zip(scaled, chosen, strict=True)]


def choose_over(
    rows: Float[Tensor, "B C"], dictionaries: Sequence[Dictionary], thresholds: Sequence[Float[Tensor, " F"]], *, kernels: Kernels
) -> list[SparseCodes]:
    """Every latent whose own activation f_i is above its own threshold (not negative), whatever it writes."""
    pairs = zip(dictionaries, thresholds, strict=True)
    return [kernels.encode_threshold(rows[:, d.reads], d.encoder, limits) for d, limits in pairs]


def choose_above(
    rows: Float[Tensor, "B C"], dictionaries: Sequence[Dictionary], threshold: Float[Tensor, ""], *, kernels: Kernels
) -> list[SparseCodes]:
    """Every latent with f_i n_i above the threshold (not negative): rows do not depend on each other."""
    found = [(d, threshold / _positive(d.norms)) for d in dictionaries]
    return [kernels.encode_threshold(rows[:, d.reads], d.encoder, limit) for d, limit in found]


def decode_all(
    codes: Sequence[SparseCodes], dictionaries: Sequence[Dictionary], *, n_columns: int, kernels: Kernels
) -> Float[Tensor, "B M"]:
    """What all dictionaries write, summed: [B, n_columns]."""
    parts = [kernels.decode(c, d.W_dec) for c, d in zip(codes, dictionaries, strict=True)]
    return _summed(parts, dictionaries, n_columns)


def decode_dense(codes: Float[Tensor, "B L F"], dictionaries: Sequence[Dictionary], *, n_columns: int) -> Float[Tensor, "B M"]:
    """The same from dense codes, [B, dictionaries, F]."""
    return _summed([codes[:, i] @ d.W_dec for i, d in enumerate(dictionaries)], dictionaries, n_columns)


def auxk_all(
    rows: Float[Tensor, "B C"],
    error: Float[Tensor, "B M"],
    dictionaries: Sequence[Dictionary],
    *,
    dead: Sequence[Int[Tensor, " _"]],
    k_aux: int,
    kernels: Kernels,
    chosen: Chosen = EVERY_ROW,
) -> Float[Tensor, ""]:
    """AuxK (see `_dead.auxk`) of all dictionaries together: each names its k_aux strongest dead latents, and their sum explains.

    Zero when nothing is dead, or the error has no variance. Moves encoders, their biases and decoders of dead latents.
    """
    error = error.detach()
    ranks, n_rows = kernels.mesh.rows, len(error)
    centre = mean_over(ranks, error.mean(0), n_rows=n_rows)
    variance = mean_over(ranks, (error - centre).square().sum(1).mean(), n_rows=n_rows)
    alive = [i for i, latents in enumerate(dead) if latents.numel()]
    missing = error[chosen.rows]
    if not alive or len(missing) == 0 or not bool(variance > 0):
        return error.new_zeros(())
    asked = [dictionaries[i] for i in alive]
    added = [
        revived(rows[chosen.rows, d.reads], d.encoder, d.W_dec, dead=dead[i], k_aux=k_aux, kernels=kernels)
        for i, d in zip(alive, asked, strict=True)
    ]
    error_hat = _summed(added, asked, error.shape[1])
    return chosen.share * (missing - error_hat).square().sum(1).mean() / variance


def joined(codes: Sequence[SparseCodes]) -> SparseCodes:
    """[B, L, F] from the codes [B, F] of L dictionaries."""
    n_rows, n_sites = codes[0].n_rows, len(codes)
    order = torch.arange(n_sites * n_rows, device=codes[0].device).reshape(n_sites, n_rows).t().reshape(-1)
    return SparseCodes.cat(codes).select_rows(order).reshape_leading(n_rows, n_sites)


def parted(codes: SparseCodes, n_sites: int) -> list[SparseCodes]:
    """The inverse of `joined`, from any leading shape that ends in the sites."""
    places = torch.arange(codes.n_rows, device=codes.device)
    return [codes.select_rows(places[i::n_sites]) for i in range(n_sites)]


@torch.no_grad()
def smallest_kept(codes: Sequence[SparseCodes], dictionaries: Sequence[Dictionary]) -> Float[Tensor, ""]:
    """The smallest positive f_i n_i among the codes; 0 where none is positive."""
    sizes = torch.cat([c.values * d.norms[c.indices] for c, d in zip(codes, dictionaries, strict=True)])
    sizes = sizes[sizes > 0]
    return sizes.min() if sizes.numel() else sizes.new_zeros(())


def _budgets(rows: Tensor, scaled: Sequence[Dictionary], *, k: int, kernels: Kernels) -> list[int]:
    """How many of the largest entries over all dictionaries fall to each; what they are, each then finds by itself.

    Several dictionaries cost a second product, which carries no graph; the first needs [B, F] numbers for each of them.
    """
    n = k * rows.shape[0]
    if len(scaled) == 1:
        return [n]
    with torch.no_grad():
        pre = torch.cat([_pre_activations(rows, d) for d in scaled])
        kept = kernels.batch_topk(pre, n * len(scaled)).rows() // rows.shape[0]
    return torch.bincount(kept, minlength=len(scaled)).tolist()


def _pre_activations(rows: Tensor, dictionary: Dictionary) -> Tensor:
    weight, bias, centre = dictionary.encoder
    read = rows[:, dictionary.reads]
    return torch.addmm(bias, read if centre is None else read - centre, weight)


def _scaled(dictionary: Dictionary) -> Dictionary:
    """The same with an encoder whose pre-activations are f_i n_i; norms are constants from here on."""
    weight, bias, centre = dictionary.encoder
    norms = _positive(dictionary.norms)
    return dictionary._replace(encoder=Encoder(weight * norms, bias * norms, centre), norms=norms)


def _positive(norms: Float[Tensor, " F"]) -> Float[Tensor, " F"]:
    return norms.detach().clamp_min(torch.finfo(norms.dtype).tiny)


def _summed(parts: Sequence[Tensor], dictionaries: Sequence[Dictionary], n_columns: int) -> Tensor:
    if len(parts) == 1 and parts[0].shape[1] == n_columns:
        return parts[0]
    total = parts[0].new_zeros(parts[0].shape[0], n_columns)
    for part, dictionary in zip(parts, dictionaries, strict=True):
        total[:, dictionary.writes] += part
    return total
