"""SAEBench's core evaluation on an SAE of ours, by function call, in SAEBench's environment: prints its numbers as JSON."""

import json
import sys
import time
from pathlib import Path

import torch
from hooked_model import hooked
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.core.main import calculate_misc_metrics, run_evals, save_single_eval_result
from sae_bench.sae_bench_utils.general_utils import _standardize_sae_cfg
from sae_lens import SAE
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from monoseme.adapters import as_saebench, as_saelens
from monoseme.bundled.places import model_folder
from monoseme.saes import load_sae

BATCH = 16
FOLDER = Path(sys.argv[1])
SITE = sys.argv[2]
torch.manual_seed(0)


class Tokens:
    """As much of SAELens' ActivationsStore as the evaluation uses."""

    store_batch_size_prompts = BATCH

    def __init__(self, tokens):
        self.tokens, self.context_size, self.next = tokens, tokens.shape[1], 0

    def get_batch_tokens(self, n):
        self.next += n
        return self.tokens[self.next - n : self.next]

    def reset_input_dataset(self):
        self.next = 0


model = hooked(AutoModelForCausalLM.from_pretrained(model_folder(), dtype=torch.float32), model_folder())
ours = load_sae(FOLDER / "sae")
place = {"site": SITE, "model_name": "bundled", "context_size": 64}
saes = {
    "adapter": as_saebench(ours, **place),
    "adapter, unit rows": as_saebench(ours, **place, unit_rows=True),
    "SAELens' class": as_saelens(ours, **place),
    "subclass of SAELens' class": as_saelens(ours, **place, own_class=False),
}
if (FOLDER / "saelens").is_dir():
    saes["exported folder"] = SAE.load_from_disk(str(next((FOLDER / "saelens").rglob("cfg.json")).parent))
found = {"classes": {name: f"{type(sae).__module__}.{type(sae).__name__}" for name, sae in saes.items()}}
for name, sae in saes.items():
    _standardize_sae_cfg(sae.cfg)
    for text, tokens in load_file(FOLDER / "tokens.safetensors").items():
        n = len(tokens) // BATCH
        config = CoreEvalConfig(
            model_name="bundled",
            batch_size_prompts=BATCH,
            n_eval_reconstruction_batches=n,
            n_eval_sparsity_variance_batches=n,
            exclude_special_tokens_from_reconstruction=True,
            compute_kl=True,
            compute_ce_loss=True,
            compute_l2_norms=True,
            compute_sparsity_metrics=True,
            compute_variance_metrics=True,
            compute_featurewise_density_statistics=True,
            compute_featurewise_weight_based_metrics=True,
            context_size=tokens.shape[1],
        )
        special = {model.tokenizer.bos_token_id, model.tokenizer.eos_token_id}
        began = time.time()
        metrics, features = run_evals(sae, Tokens(tokens), model, config, ignore_tokens=special if "special" in text else set())
        metrics["misc_metrics"] = calculate_misc_metrics(features)
        result = {"eval_cfg": config, "metrics": metrics, "feature_metrics": features, "sae_id": name, "sae_set": "monoseme"}
        # Its pydantic classes check what it writes: also the settings of ours that go into the file.
        save_single_eval_result(result, "0", "6", "0", str(FOLDER / f"{name}-{text}.json".replace(" ", "_")), sae)
        found[f"{name} | {text}"] = metrics | {"features": features, "seconds": time.time() - began}
sys.stdout.write(json.dumps(found))
