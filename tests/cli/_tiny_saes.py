"""Small SAEs as files, for the verbs that take them over and give them away."""

from pathlib import Path

from monoseme.interchange import ExportSource, export_sae
from monoseme.models import Site
from monoseme.saes import build, save_sae
from monoseme.saes.topk import TopK

D, F, K = 7, 12, 3


def theirs(out: Path, *, format: str = "saelens", layer: int = 1) -> Path:
    """A TopK SAE of resid_post.LAYER of gpt2, as another tool keeps it."""
    sae = build(TopK.Config(d_in=D, n_latents=F, k=K, seed=layer))
    source = ExportSource(name="theirs", sites=(Site("resid_post", layer),), model="gpt2")
    export_sae(sae, out, format=format, source=source)
    return out


def ours(out: Path, *, groups: bool = False) -> Path:
    """An artifact of a TopK SAE (over groups, where that is set) of resid_post.1 of gpt2."""
    sae = build(TopK.Config(d_in=D, n_latents=F, k=K, groups=groups, sites=("resid_post.1",)))
    save_sae(sae.export(), out, inputs={}, extra_config={"site": "resid_post.1", "model": "gpt2"})
    return out
