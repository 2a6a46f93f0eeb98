"""From a crosscoder of ours to `config.json` and `model.safetensors` of crosscoder_learning."""

from pathlib import Path

import torch

from monoseme.core.files import write_json
from monoseme.interchange._crosscoder_algebra import parts_of
from monoseme.interchange._crosscoder_layouts import LEARNING_CONFIG, LEARNING_WEIGHTS, NORMALIZATIONS
from monoseme.saes.crosscoder import Crosscoder
from monoseme.tensors.saving import save_tensors
from monoseme.tensors.shapes import Tensor


def write_learning(sae: Crosscoder, folder: Path, *, dtype: str) -> tuple[str, ...]:
    """Writes one with codes relu or batchtopk; says what is lost."""
    parts, factor = parts_of(sae)
    kind = getattr(torch, dtype)
    table: dict[str, Tensor] = {
        name: value.to(kind)
        for name, value in {
            "encoder.weight": parts.E,
            "encoder.bias": parts.b,
            "decoder.weight": parts.W,
            "decoder.bias": parts.d,
        }.items()
    }
    table["code_normalization_id"] = torch.tensor(1)
    settings = {"activation_dim": sae.d_in, "dict_size": sae.n_latents, "num_layers": len(parts.g)}
    settings |= {"code_normalization": NORMALIZATIONS[0]}
    if sae.config.codes == "batchtopk":
        table |= {"k": torch.tensor(sae.config.k, dtype=torch.int32), "threshold": sae.threshold.detach() * factor}
        settings["k"] = sae.config.k
    if not bool((parts.g == 1).all()):
        # what the tool makes g of: 1 / sqrt(summed variances + 1e-8)
        std = ((parts.g.double() ** -2 - 1e-8).clamp_min(0) / sae.d_in).sqrt().float().unsqueeze(1).expand_as(parts.m)
        scales = {"activation_global_scale": parts.g, "target_rms": torch.tensor(1.0)}
        table |= {"activation_mean": parts.m, "activation_std": std, **scales}
    save_tensors(table, folder / LEARNING_WEIGHTS)
    write_json(folder / LEARNING_CONFIG, settings)
    lost = "the format does not hold the sites: give them to whoever reads it"
    return (lost, *([f"numbers are rounded to {dtype}"] if dtype != "float32" else []))
