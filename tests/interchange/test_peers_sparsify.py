"""sparsify's own class: what it saves, untrained and trained, computes the same here, and it loads what is written for it.

docs/sae-formats.md says how its environment is made.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from monoseme.interchange import ExportSource, export_sae, read_saes
from monoseme.models import Site
from monoseme.saes import build
from monoseme.saes.topk import TopK
from monoseme.saes.transcoder import Transcoder
from tests.interchange.rules import assert_same

pytestmark = pytest.mark.peers

D, F, K = 16, 64, 4
_START = """
import sys
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
torch.cuda.is_bf16_supported = lambda *a, **k: False  # its forward asks while the class is made, with or without a GPU
from sparsify import SparseCoder, SparseCoderConfig
folder = Path(sys.argv[1])

def dense(sae, x):
    found = sae.encode(x)
    return torch.zeros(len(x), sae.num_latents).scatter(-1, found.top_indices, found.top_acts)

def told(sae, x):
    y = sae(x)
    return {"x": x, "codes": dense(sae, x).detach(), "y": y.sae_out.detach(), "fvu": y.fvu.detach()}
"""
_MAKE = (
    _START
    + """
make = torch.Generator().manual_seed(0)
directions = torch.randn(24, 16, generator=make)
data = ((torch.rand(4096, 24, generator=make) < 0.1) * torch.rand(4096, 24, generator=make)) @ directions + 0.5
target = torch.tanh(data @ torch.randn(16, 16, generator=make))
kinds = {
    "topk": {}, "groupmax": {"activation": "groupmax"}, "transcoder": {"transcode": True},
    "skip": {"transcode": True, "skip_connection": True}, "both": {"skip_connection": True},
}
for name, settings in kinds.items():
    for trained in (False, True):
        torch.manual_seed(1)
        sae = SparseCoder(16, SparseCoderConfig(num_latents=64, k=4, **settings))
        goal = target if sae.cfg.transcode else data
        if trained:
            sae.b_dec.data = goal.mean(0).clone()
            optimiser = torch.optim.Adam(sae.parameters(), lr=5e-3)
            for step in range(300):
                rows = torch.randint(0, len(data), (256,), generator=make)
                found = sae(data[rows], goal[rows])
                optimiser.zero_grad()
                found.fvu.backward()
                optimiser.step()
                if sae.cfg.normalize_decoder and not sae.cfg.transcode:
                    sae.set_decoder_norm_to_unit_norm()
            sae.b_dec.data = sae.b_dec.data.contiguous()
        else:
            for parameter in sae.parameters():
                parameter.data = torch.randn(parameter.shape, generator=make)
        out = folder / f"{name}-{trained}" / "layers.1.mlp"
        sae.save_to_disk(out)
        x = data[:64]
        found = told(sae, x)
        found["fvu"] = sae(x, goal[:64]).fvu.detach()
        save_file({k: v.contiguous() for k, v in found.items()}, folder / f"{name}-{trained}.safetensors")
"""
)
_LOAD = (
    _START
    + """
for given in sorted(folder.glob("*.x.safetensors")):
    name = given.name.split(".")[0]
    sae = SparseCoder.load_from_disk(folder / name / "layers.1.mlp")
    found = told(sae, load_file(given)["x"])
    save_file({k: v.contiguous() for k, v in found.items()}, folder / f"{name}.theirs.safetensors")
"""
)


def _run(script: str, *arguments: Path) -> None:
    python = Path(os.environ.get("MONOSEME_PEERS", "peers")) / "sparsify" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{python} is not there: see docs/sae-formats.md")
    on_cpu = {**os.environ, "SPARSIFY_DISABLE_TRITON": "1"}
    done = subprocess.run([python, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False, env=on_cpu)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sparsify")
    _run(_MAKE, folder)
    return folder


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("name", ["topk", "groupmax", "transcoder", "skip", "both"])
def test_what_it_saves_computes_the_same_here(made: Path, name: str, trained: bool) -> None:
    theirs = load_file(made / f"{name}-{trained}.safetensors")
    (read,) = read_saes(made / f"{name}-{trained}")
    assert read.format == "sparsify"
    sae: Any = read.found.sae
    assert_same(sae.encode(theirs["x"]).dense(), theirs["codes"])
    assert_same(sae(theirs["x"]), theirs["y"])
    assert (float(theirs["fvu"]) < 0.7) == trained  # it learned something


def _ours(name: str) -> tuple[Any, tuple[Site, ...]]:
    sizes: dict[str, Any] = {"d_in": D, "n_latents": F, "k": K}
    configs: dict[str, Any] = {
        "topk": TopK.Config(**sizes),
        "groups": TopK.Config(**sizes, groups=True),
        "transcoder": Transcoder.Config(**sizes, n_sites=2),
        "skip": Transcoder.Config(**sizes, n_sites=2, skip=True),
    }
    sae: Any = build(configs[name])
    random = torch.Generator().manual_seed(5)
    sample = 3 * torch.randn(200, D, generator=random) + 0.5
    sites = (Site("mlp_out", 1),)
    if isinstance(sae, Transcoder):
        sample, sites = torch.stack([sample, 0.1 * sample.flip(1)], dim=1), (Site("mlp_in", 1), Site("mlp_out", 1))
    sae.start(sample)
    for parameter in sae.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=random)
    return sae, sites


def test_it_loads_what_is_written_for_it(tmp_path: Path) -> None:
    names = ("topk", "groups", "transcoder", "skip")
    x = 3 * torch.randn(32, D, generator=torch.Generator().manual_seed(6))
    for name in names:
        sae, sites = _ours(name)
        export_sae(sae, tmp_path / name, format="sparsify", source=ExportSource(name="one", sites=sites))
        save_file({"x": x}, tmp_path / f"{name}.x.safetensors")
    _run(_LOAD, tmp_path)
    for name in names:
        sae, _ = _ours(name)
        theirs = load_file(tmp_path / f"{name}.theirs.safetensors")
        assert_same(sae.encode(x).dense(), theirs["codes"])
        assert_same(sae(x), theirs["y"])
