"""A model of another tool as our LanguageModel, against the same weights loaded by us: prints the largest differences as JSON."""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from monoseme.adapters import from_nnsight, from_transformer_lens, fwd_hooks
from monoseme.bundled.places import model_folder
from monoseme.core.errors import ModelError
from monoseme.models import FunctionEdit, LanguageModel, Site
from monoseme.saes import build
from monoseme.saes.topk import TopK
from monoseme.splice import splice, zero_ablation
from monoseme.testing.models import tiny_model

KIND, FAMILY, FOLDER = sys.argv[1:]
torch.manual_seed(0)


def off(ours, theirs):
    return float((ours - theirs).abs().max() / ours.abs().max())


def made(reference, folder):
    hf, tokenizer = reference._model, AutoTokenizer.from_pretrained(folder)
    if KIND == "classic":
        from hooked_model import hooked

        return hooked(hf, folder), from_transformer_lens
    if KIND == "bridge":
        from transformer_lens.model_bridge import TransformerBridge

        other = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        return TransformerBridge.boot_transformers(
            str(folder), hf_model=other, tokenizer=tokenizer, device="cpu"
        ), from_transformer_lens
    from nnsight import LanguageModel as Theirs

    return Theirs(hf, tokenizer=tokenizer), from_nnsight


if FAMILY == "bundled":
    reference, folder = LanguageModel.load("bundled"), model_folder()
else:
    reference, folder = tiny_model(FAMILY), FOLDER
    reference._model.save_pretrained(folder)
    reference.tokenizer.save_pretrained(folder)
theirs, take = made(reference, folder)
model = take(theirs)
tokens = torch.randint(5, 200, (2, 9))
real = torch.ones(2, 9, dtype=torch.bool)
real[0, :3] = False
site = Site("resid_post", 1)
found = {"kinds": list(model.spec.kinds), "captured": 0.0, "edited": 0.0, "generated": []}
for layer in range(model.spec.n_layers):
    for kind in model.spec.kinds:
        at = Site(kind, layer)
        for padding in (None, real):
            seen = real if padding is not None else torch.ones_like(real)
            x, y = (each.capture(tokens, [at], real=padding)[at][seen] for each in (reference, model))
            found["captured"] = max(found["captured"], off(x, y))
for kind in model.spec.kinds:
    edit = FunctionEdit(Site(kind, 1), lambda x, context: x * (1 - 0.5 * context.mask[..., None]))
    x, y = (each.run(tokens, edits=[edit], real=real).logits[real] for each in (reference, model))
    found["edited"] = max(found["edited"], off(x, y))
x = reference.capture(tokens, [site])[site]
found["run_from"] = off(reference.run_from(site, x, tokens=tokens), model.run_from(site, x, tokens=tokens))
found["unembed"] = off(reference.unembed(x), model.unembed(x))
runs = [each.run(tokens, capture=[site], grad=True) for each in (reference, model)]
found["gradient"] = off(*(torch.autograd.grad(run.logits[:, -1, 7].sum(), run.captured[site])[0] for run in runs))
beginning, rest, rows = tokens[:, :5], tokens[[0, 1, 1], 5:], torch.tensor([0, 1, 1])
seen = torch.tensor([2, 3, 5])
found["prefix"] = off(*(m.prefix(beginning).run(rest, rows=rows, n_seen=seen).logits for m in (reference, model)))
half = FunctionEdit(site, lambda x, context: x * (1 - 0.5 * context.mask[..., None]))
for edits in ([], [half], [zero_ablation(Site("mlp_out", 1))]):
    prompts = ["the cat sat", "a big red sun over two hills the"]
    x, y = (each.generate(prompts, max_new_tokens=12, edits=edits) for each in (reference, model))
    found["generated"].append([a.token_ids == b.token_ids for a, b in zip(x, y, strict=True)])
if KIND == "classic":
    from hooked_model import hooked

    sae = build(TopK.Config(d_in=model.spec.d_model, n_latents=40, k=4))
    sae.start(x := reference.capture(tokens, [site])[site].flatten(0, 1))
    everywhere = torch.ones_like(tokens, dtype=torch.bool)
    wanted = reference.run(tokens, edits=[splice(sae, site)], mask=everywhere).logits
    found["hook"] = off(wanted, theirs.run_with_hooks(tokens, fwd_hooks=fwd_hooks(sae, site=site)))
    plain = theirs(tokens)
    found["hook_error_term"] = off(plain, theirs.run_with_hooks(tokens, fwd_hooks=fwd_hooks(sae, site=site, error_term=True)))
    folded = hooked(reference._model, folder, fold_ln=True, center_writing_weights=FAMILY == "gpt2")
    try:
        from_transformer_lens(folded)
    except ModelError as error:
        found["refused"] = str(error)
    found["kinds_when_processed"] = list(from_transformer_lens(folded, processed=True).spec.kinds)
if KIND == "bridge":
    theirs.enable_compatibility_mode()
    try:
        from_transformer_lens(theirs)
    except ModelError as error:
        found["refused"] = str(error)
if KIND == "nnsight":
    with theirs.trace(tokens):
        logits = theirs.output.logits.save()
    found["still_traces"] = off(reference.run(tokens).logits, logits)
sys.stdout.write(json.dumps(found))
