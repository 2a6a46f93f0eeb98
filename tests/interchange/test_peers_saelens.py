"""SAELens' own classes: what they save is read with equal codes and reconstructions, and what is written loads in them.

Runs in an environment of its own: docs/sae-formats.md says how to make it.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from monoseme.core.errors import ForeignError
from monoseme.interchange import ExportSource, export_sae, read_saes
from monoseme.interchange.saelens import SAELens
from monoseme.models import Site
from monoseme.saes import SAE, NormaliseConfig, build
from monoseme.saes.batchtopk import BatchTopK
from monoseme.saes.gated import Gated
from monoseme.saes.jumprelu import JumpReLU
from monoseme.saes.matching_pursuit import MatchingPursuit
from monoseme.saes.matryoshka import Matryoshka
from monoseme.saes.mlsae import MLSAE
from monoseme.saes.normalized_topk import NormalizedTopK
from monoseme.saes.relu import ReLU
from monoseme.saes.tfa import TFA
from monoseme.saes.topk import TopK
from monoseme.saes.transcoder import Transcoder
from monoseme.saes.tsae import TSAE
from tests.interchange.rules import assert_same, check_recognised

pytestmark = pytest.mark.peers

D, F, K = 16, 48, 5

_SHARED = """
import json, warnings
warnings.filterwarnings("ignore")
import torch
from safetensors.torch import save_file
from sae_lens.registry import get_sae_class, get_sae_training_class
from sae_lens.saes.sae import SAE, SAEMetadata
D, F, K = 16, 48, 5
torch.manual_seed(0)
x = torch.randn(24, D) * 3 + 1
def told(sae, x, at, codes=None, x_hat=None):
    with torch.no_grad():
        codes = sae.encode(x) if codes is None else codes
        x_hat = sae(x) if x_hat is None else x_hat
    save_file({"x": x, "codes": codes.contiguous(), "x_hat": x_hat.contiguous()}, at / "given.safetensors")
"""

_RANDOM = """
CASES = {
    "standard": ("standard", {}),
    "standard_uncentred": ("standard", {"apply_b_dec_to_input": False}),
    "standard_one_norm": ("standard", {"normalize_activations": "constant_norm_rescale"}),
    "gated": ("gated", {}),
    "gated_uncentred": ("gated", {"apply_b_dec_to_input": False}),
    "topk": ("topk", {"k": K}),
    "topk_rescaled": ("topk", {"k": K, "rescale_acts_by_decoder_norm": True, "apply_b_dec_to_input": False}),
    "topk_layer_norm": ("topk", {"k": K, "normalize_activations": "layer_norm"}),
    "abstopk": ("abstopk", {"k": K}),
    "jumprelu": ("jumprelu", {}),
    "jumprelu_uncentred": ("jumprelu", {"apply_b_dec_to_input": False}),
    "jumprelu_layer_norm": ("jumprelu", {"normalize_activations": "layer_norm"}),
    "transcoder": ("transcoder", {"d_out": D, "apply_b_dec_to_input": False}),
    "skip_transcoder": ("skip_transcoder", {"d_out": D, "apply_b_dec_to_input": False}),
    "jumprelu_transcoder": ("jumprelu_transcoder", {"d_out": D, "apply_b_dec_to_input": False}),
    "jumprelu_skip_transcoder": ("jumprelu_skip_transcoder", {"d_out": D, "apply_b_dec_to_input": False}),
    "matching_pursuit": ("matching_pursuit", {}),
    "matching_pursuit_short": ("matching_pursuit", {"residual_threshold": 4.0, "max_iterations": 9}),
    "matching_pursuit_plain": (
        "matching_pursuit",
        {"residual_threshold": 0.0, "max_iterations": 7, "stop_on_duplicate_support": False, "apply_b_dec_to_input": False},
    ),
    "temporal": ("temporal", {"n_heads": 2, "bottleneck_factor": 4, "kval_topk": K}),
    "temporal_untied": ("temporal", {"n_heads": 2, "bottleneck_factor": 2, "kval_topk": K, "tied_weights": False}),
    "temporal_relu": (
        "temporal",
        {"n_heads": 4, "bottleneck_factor": 1, "n_attn_layers": 2, "sae_diff_type": "relu", "apply_b_dec_to_input": False},
    ),
    "temporal_scaled": (
        "temporal",
        {"n_heads": 2, "bottleneck_factor": 4, "kval_topk": K, "normalize_activations": "constant_scalar_rescale",
         "activation_normalization_factor": 0.37},
    ),
    "temporal_layer_norm": (
        "temporal", {"n_heads": 2, "bottleneck_factor": 4, "kval_topk": K, "normalize_activations": "layer_norm"}
    ),
}
for name, (architecture, settings) in CASES.items():
    kind, config = get_sae_class(architecture)
    names = {"hook_name": "blocks.3.hook_resid_post", "model_name": "gemma-2-2b"}
    if "transcoder" in architecture:
        names = {"hook_name": "blocks.3.hook_resid_pre", "hook_name_out": "blocks.3.hook_mlp_out", "model_name": "gpt2-small"}
    sae = kind(config(d_in=D, d_sae=F, metadata=SAEMetadata(**names), **settings))
    with torch.no_grad():
        for key, value in sae.named_parameters():
            if architecture == "matching_pursuit" and key == "W_dec":
                value.copy_(torch.nn.functional.normalize(torch.randn_like(value), dim=1))
            elif "attn_layers" not in key:
                size = 0.3 if value.ndim == 1 else 1.0 if architecture == "temporal" else D**-0.5
                value.copy_(torch.randn_like(value) * size)
    sae.save_model(folder / name)
    if architecture == "temporal":
        told(sae, x.reshape(2, 12, D), folder / name)
    else:
        told(sae, x, folder / name)
for architecture in ("batchtopk", "matryoshka_batchtopk"):
    for rescaled in (True, False):
        kind, config = get_sae_training_class(architecture)
        widths = {"matryoshka_widths": [8, 24, F]} if "matryoshka" in architecture else {}
        sae = kind(config(d_in=D, d_sae=F, k=K, rescale_acts_by_decoder_norm=rescaled, **widths))
        with torch.no_grad():
            for value in (sae.W_enc, sae.W_dec, sae.b_dec, sae.b_enc):
                value.copy_(torch.randn_like(value) * (0.3 if value.ndim == 1 else D**-0.5))
            sae.topk_threshold.fill_(1.3)
        at = folder / f"{architecture}_{'rescaled' if rescaled else 'plain'}_run"
        sae.save_model(at)
        done = folder / f"{architecture}_{'rescaled' if rescaled else 'plain'}"
        sae.save_inference_model(done)
        whole = SAE.load_from_disk(done)
        told(whole, x, done)
        told(whole, x, at)
print(json.dumps(sorted(path.name for path in folder.iterdir())))
"""

_TRAINED = """
from sae_lens.config import SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer
directions = torch.nn.functional.normalize(torch.randn(2 * D, D), dim=1)
def activations():
    make = torch.Generator().manual_seed(1)
    while True:
        on = (torch.rand(256, 2 * D, generator=make) < 0.1) * torch.rand(256, 2 * D, generator=make)
        yield 6 * on @ directions + 0.5
x = next(activations())[:64]
CASES = {
    "standard": {"l1_coefficient": 0.1, "normalize_activations": "expected_average_only_in"},
    "gated": {"l1_coefficient": 0.1},
    "topk": {"k": K, "normalize_activations": "covariance_whitening"},
    "abstopk": {"k": K},
    "batchtopk": {"k": K, "normalize_activations": "expected_average_only_in"},
    "matryoshka_batchtopk": {"k": K, "matryoshka_widths": [8, 24, F]},
    "jumprelu": {"l0_coefficient": 0.1, "normalize_activations": "expected_average_only_in"},
    "matching_pursuit": {"max_iterations": K, "normalize_activations": "expected_average_only_in"},
}
for architecture, settings in CASES.items():
    kind, config = get_sae_training_class(architecture)
    names = SAEMetadata(hook_name="blocks.1.hook_mlp_out", model_name="gpt2-small")
    sae = kind(config(d_in=D, d_sae=F, metadata=names, **settings))
    def middle(checkpoint_path):
        with torch.no_grad():
            codes = trainer.sae.encode(trainer.activation_scaler.scale(x))
            x_hat = trainer.activation_scaler.unscale(trainer.sae.decode(codes))
        at = folder / f"{architecture}_middle"
        checkpoint_path.rename(at)
        told(None, x, at, codes, x_hat)
    plan = SAETrainerConfig(
        total_training_samples=256 * 150, train_batch_size_samples=256, lr=3e-3, lr_end=3e-4, n_batches_for_norm_estimate=20,
        n_checkpoints=1, checkpoint_path=str(folder / "run"),
    )
    trainer = SAETrainer(plan, sae, activations(), save_checkpoint_fn=middle)
    done = trainer.fit()
    done.save_inference_model(folder / f"{architecture}_end")
    told(SAE.load_from_disk(folder / f"{architecture}_end"), x, folder / f"{architecture}_end")
print(json.dumps(sorted(path.name for path in folder.iterdir())))
"""

_LOADS = """
found = {}
for at in sorted(folder.iterdir()):
    from safetensors.torch import load_file
    given = load_file(at / "asked.safetensors")
    sae = SAE.load_from_disk(at)
    with torch.no_grad():
        codes, x_hat = sae.encode(given["x"]), sae(given["x"])
    save_file({"codes": codes.contiguous(), "x_hat": x_hat.contiguous()}, at / "answered.safetensors")
    found[at.name] = [type(sae).__name__, sae.cfg.metadata.hook_name, sae.cfg.metadata.model_name, sae.cfg.metadata.context_size]
print(json.dumps(found))
"""


def _run(code: str, folder: Path) -> Any:
    """What `code` prints, run by the Python of the environment `saelens` in the folder that MONOSEME_PEERS names."""
    place = os.environ.get("MONOSEME_PEERS")
    python = Path(place or ".") / "saelens" / "bin" / "python"
    if place is None or not python.is_file():
        pytest.skip("MONOSEME_PEERS names no folder with an environment saelens; docs/sae-formats.md says how to make it")
    words = [str(python), "-c", f"import pathlib\nfolder = pathlib.Path({str(folder)!r})\n{_SHARED}{code}"]
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONWARNINGS")}
    done = subprocess.run(words, capture_output=True, text=True, timeout=500, check=False, env=clean | {"HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def _compared(folder: Path, *, x_hat_off: float = 1e-5) -> SAE:
    """The SAE of a folder, after its codes and reconstructions were compared with those that SAELens gave."""
    check_recognised(folder, "saelens")
    (read,) = read_saes(folder)
    given, sae = load_file(folder / "given.safetensors"), read.found.sae
    with torch.no_grad():
        codes = sae.encode(given["x"])
        ours = codes.dense("novel") if isinstance(sae, TFA) else codes.dense()  # SAELens' encode gives the novel codes alone
        ours, x_hat = ours * read.found.code_factor, sae.decode(codes)
    assert float(given["codes"].abs().max()) > 0
    off = [float((a - b).abs().max() / b.abs().max()) for a, b in ((ours, given["codes"]), (x_hat, given["x_hat"]))]
    print(f"{folder.name}: codes {off[0]:.1e}, x_hat {off[1]:.1e}")  # noqa: T201 - the numbers of the table in the docs
    assert_same(ours, given["codes"])
    assert_same(x_hat, given["x_hat"], tolerance=x_hat_off)
    return sae


def test_random_saes_of_every_architecture_are_theirs(tmp_path: Path) -> None:
    names = _run(_RANDOM, tmp_path)
    assert len(names) == 24 + 8
    for name in names:
        sae = _compared(tmp_path / name)
        if name.startswith("matryoshka"):
            assert sae.parts == ("all", "group_0", "group_1", "group_2")
    (read,) = read_saes(tmp_path / "topk")
    assert (read.found.model, read.found.sae.config.sites) == ("google/gemma-2-2b", ("resid_post.3",))
    (read,) = read_saes(tmp_path / "skip_transcoder")
    assert (read.found.model, read.found.sae.config.sites) == ("gpt2", ("resid_pre.3", "mlp_out.3"))
    together = read_saes(tmp_path)
    assert [one.found.name for one in together] == names


def test_saes_that_their_trainer_trained_are_theirs(tmp_path: Path) -> None:
    names = _run(_TRAINED, tmp_path)
    for name in [name for name in names if name.endswith("_end")]:
        _compared(tmp_path / name)
    for name in ("standard", "gated", "topk", "abstopk", "jumprelu", "matching_pursuit"):  # in training, batchtopk needs a batch
        _compared(tmp_path / f"{name}_middle")
    (tmp_path / "topk_middle" / "activation_whitening.safetensors").unlink()
    with pytest.raises(ForeignError, match="activation_whitening"):
        read_saes(tmp_path / "topk_middle")


_SCALED = {"normalise": NormaliseConfig(kind="unit_mean_square")}
_SIZES: dict[str, Any] = {"d_in": D, "n_latents": F}


def _ours() -> dict[str, tuple[SAE.Config, str]]:
    two: dict[str, Any] = {**_SIZES, "n_sites": 2}
    plain = {"normalise": NormaliseConfig(kind="none")}
    return {
        "relu": (ReLU.Config(**_SIZES), "StandardSAE"),
        "gated": (Gated.Config(**_SIZES), "JumpReLUSAE"),
        "topk": (TopK.Config(**_SIZES, k=K), "TopKSAE"),
        "signed": (TopK.Config(**_SIZES, k=K, signed=True), "AbsTopKSAE"),
        "one_norm": (TopK.Config(**_SIZES, k=K, normalise=NormaliseConfig(kind="vector_norm")), "TopKSAE"),
        "standardised": (
            NormalizedTopK.Config(**_SIZES, k=K, normalise=NormaliseConfig(kind="standardise", eps=1e-5)),
            "TopKSAE",
        ),
        "jumprelu": (JumpReLU.Config(**_SIZES), "JumpReLUSAE"),
        "batchtopk": (BatchTopK.Config(**_SIZES, k=K), "JumpReLUSAE"),
        "matryoshka": (Matryoshka.Config(**_SIZES, k=K), "JumpReLUSAE"),
        "tsae": (TSAE.Config(**_SIZES, k=K), "JumpReLUSAE"),
        "transcoder": (Transcoder.Config(**two, codes="relu"), "Transcoder"),
        "skip": (Transcoder.Config(**two, codes="relu", skip=True), "SkipTranscoder"),
        "batchtopk_transcoder": (Transcoder.Config(**two, codes="batchtopk", k=K), "JumpReLUTranscoder"),
        "threshold_transcoder": (Transcoder.Config(**two, codes="threshold", skip=True), "JumpReLUSkipTranscoder"),
        "pursuit": (
            MatchingPursuit.Config(**_SIZES, k=K, positive=True, stop_at_repeat=True, stop_norm=0.3),
            "MatchingPursuitSAE",
        ),
        "pursuit_signed": (MatchingPursuit.Config(**_SIZES, k=K), "MatchingPursuitSAE"),
        "tfa": (TFA.Config(**_SIZES, k=K, n_heads=2, bottleneck=4, encoder_scale=1 / (4 * D), **plain), "TemporalSAE"),
        "tfa_quarter": (TFA.Config(**_SIZES, k=K, n_heads=2, bottleneck=4, **plain), "TemporalSAE"),
        "mlsae": (MLSAE.Config(**_SIZES, k=K, n_sites=3), "TopKSAE"),
    }


def _n_sites(config: SAE.Config) -> int:
    return config.n_sites or 1 if isinstance(config, Transcoder.Config | MLSAE.Config) else 1


def _started(config: SAE.Config) -> SAE:
    """With biases, thresholds and a centre that are not zero, trained on nothing."""
    sae, make = build(config), torch.Generator().manual_seed(5)
    lead = (300, _n_sites(config)) if sae.learns_from == "layers" else (300,)
    sae.start(torch.randn(*lead, D, generator=make) * 3 + 1)
    with torch.no_grad():
        for name, value in [*sae.named_parameters(), *sae.named_buffers()]:
            if name in ("b_enc", "r_mag", "b_gate", "b_mag"):
                value.copy_(torch.randn(value.shape, generator=make) * 0.1)
            elif name == "threshold" and getattr(config, "codes", "") != "relu":
                value.copy_(torch.rand(value.shape, generator=make) * 0.3 + 0.1)
            elif name == "W_skip":
                value.copy_(torch.randn(value.shape, generator=make) * 0.1)
    return sae


def test_their_loader_takes_what_is_written(tmp_path: Path) -> None:
    made = _ours()
    for name, (config, _) in made.items():
        sae, out = _started(config), tmp_path / name
        sites = tuple(Site("resid_post", layer) for layer in range(1, _n_sites(config) + 1))
        source = ExportSource(name=name, sites=sites, model="google/gemma-2-2b", facts={"context_len": 128})
        settings = SAELens.WriteConfig(site="resid_post.2" if name == "mlsae" else None)
        told = export_sae(sae, out, format="saelens", source=source, config=settings)
        assert told.codes_off is not None
        assert told.x_hat_off is not None
        assert max(told.codes_off, told.x_hat_off) < 1e-6, (name, told)
        x = torch.randn(2, 12, D, generator=torch.Generator().manual_seed(6)) * 3 + 1
        used = sae.at(1) if isinstance(sae, MLSAE) else sae
        with torch.no_grad():
            codes = used.encode(x)
            dense, x_hat = codes.dense("novel") if isinstance(used, TFA) else codes.dense(), used.decode(codes)
            dense = dense / D**0.5 if name == "tfa_quarter" else dense  # c = sqrt(4 D / 4)
        save_file({"x": x}, out / "asked.safetensors")
        save_file({"codes": dense.contiguous(), "x_hat": x_hat.contiguous()}, out / "ours.safetensors")
    found = _run(_LOADS, tmp_path)
    for name, (_, kind) in made.items():
        ours, theirs = (load_file(tmp_path / name / f"{who}.safetensors") for who in ("ours", "answered"))
        off = [float((ours[key] - theirs[key]).abs().max() / theirs[key].abs().max()) for key in ("codes", "x_hat")]
        print(f"{name}: codes {off[0]:.1e}, x_hat {off[1]:.1e}")  # noqa: T201 - the numbers of the table in the docs
        assert float(theirs["codes"].abs().max()) > 0
        assert_same(ours["codes"], theirs["codes"])
        assert_same(ours["x_hat"], theirs["x_hat"])
        hook = "blocks.2.hook_resid_post" if name == "mlsae" else "blocks.1.hook_resid_post"
        assert found[name] == [kind, hook, "gemma-2-2b", 128]
