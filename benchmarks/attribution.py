"""How long integrated gradients of all latents take, by our way and by the original's, in one run.

    python benchmarks/attribution.py --sae runs/demo/saes/topk --site resid_post.2

First-letter prompts of the bundled model (whose answers do not matter here), six left steps from each word's last token to zero,
the letter metric at the last position: the setting of sae-spelling's absorption experiment. Three ways, interleaved in rounds:

    one by one   the original's loop: one prompt and one step at a time, whole prompts through the whole model with the SAE
                 spliced in, every latent and the error a leaf of the graph
    by prompts   the same, the steps of a prompt as the rows of one batch
    batched      `monoseme.attribution.integrated_gradients`

Prints seconds per prompt (medians of rounds), ratios, what all prompts take and the largest difference of scores. Without `--sae`
the SAE is a TopK as it starts, of `--n-latents`. All three run on as many threads as torch is given.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from torch import Tensor

from monoseme.attribution import Patch, Path, Readout, at_positions, integrated_gradients, letter_metric
from monoseme.bundled import model_folder
from monoseme.models import EditContext, FunctionEdit, LanguageModel, ModelConfig, Site
from monoseme.saes import SAE, SAES, load_sae
from monoseme.spelling.prompts import Prompter, lay_out
from monoseme.spelling.tasks import task_named
from monoseme.spelling.vocabulary import alphabetic_tokens, letters_of

PATH = Path(n_steps=6, rule="left")


class Case(NamedTuple):
    """What is attributed."""

    model: LanguageModel
    sae: SAE
    site: Site
    readout: Readout
    position: Tensor
    """int64 [n]: the last token of each word."""


class Times(NamedTuple):
    """Seconds per prompt of one way, a number for each round."""

    one_by_one: list[float]
    by_prompts: list[float]
    batched: list[float]


def main() -> None:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description="Integrated gradients of all latents: seconds per prompt, three ways.")
    for name, default in (("prompts", 1000), ("rounds", 5), ("looped", 8), ("n-latents", 4096), ("threads", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--sae", type=FilePath, default=None)
    parser.add_argument("--site", type=Site.parse, default=Site("resid_post", 2))
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    case = make_case(args.prompts, args.site, args.sae, n_latents=args.n_latents)
    difference = largest_difference(case, n=args.looped)
    times = measure(case, n_rounds=args.rounds, n_looped=args.looped)
    print(f"{len(case.readout)} prompts of {case.readout.tokens.shape[1]} tokens at most, F = {case.sae.n_latents}, {case.site}")
    print("| way | seconds per prompt | times the batched way |\n|---|---|---|")
    batched = statistics.median(times.batched)
    for name, each in times._asdict().items():
        ratios = [a / b for a, b in zip(each, times.batched, strict=True)]
        print(f"| {name.replace('_', ' ')} | {statistics.median(each):.4f} | {statistics.median(ratios):.1f} |")
    print(f"all prompts, batched: {batched * len(case.readout):.1f} s; largest difference of a score: {difference:.1e}")


def make_case(n: int, site: Site, sae: FilePath | None, *, n_latents: int) -> Case:
    """First-letter prompts with ten examples about n words of the model's vocabulary (from the start again if it has fewer)."""
    model = LanguageModel.load(ModelConfig(model=str(model_folder()), dtype="float32"))
    words = alphabetic_tokens(model, leading_space=True, min_letters=3)
    prompter = Prompter(task=task_named("first_letter"), examples=tuple(words))
    asked = (words * (n // len(words) + 1))[:n]
    batch = lay_out(model, [prompter(word) for word in asked])
    letters = torch.tensor([model.encode(f" {letter}")[-1] for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"])
    correct = torch.tensor([ord(letters_of(word)[0].lower()) - ord("a") for word in asked])
    readout = Readout(batch.tokens, batch.answer_from, letter_metric(letters, correct), batch.real)
    return Case(model, _sae(model, sae, site, batch.tokens[:32], n_latents), site, readout, batch.word_last)


def _sae(model: LanguageModel, folder: FilePath | None, site: Site, tokens: Tensor, n_latents: int) -> SAE:
    if folder is not None:
        return load_sae(folder).eval()
    topk = SAES.get("topk")
    sae = topk(topk.Config(d_in=model.spec.site_width(site), n_latents=n_latents))
    sae.start(model.capture(tokens, [site])[site].flatten(0, 1))
    return sae


def looped(case: Case, row: int, *, steps_at_once: int) -> Tensor:
    """Scores [S, F] of one prompt as the original computes them: `calculate_integrated_gradient_attribution_patching`.

    A clean run with the SAE in place gives codes and error; each step runs the whole prompt through the whole model with both
    moved at the word, and goes back to every latent and the error at every position.
    """
    one = case.readout.rows(torch.tensor([row]))
    tokens, position = one.tokens[:, : int(one.answer_from) + 1], int(case.position[row])
    x = case.model.run(tokens, capture=[case.site]).captured[case.site]
    with torch.no_grad():
        code = case.sae.encode(x)
        error, clean = x - case.sae.decode(code), code.dense()
    total = torch.zeros_like(clean)
    for shares in torch.tensor(PATH.steps).split(steps_at_once):
        kept = torch.ones(len(shares), tokens.shape[1], 1)
        kept[:, position, 0] = 1 - shares
        f, e = (clean * kept).requires_grad_(), (error * kept).requires_grad_()

        def put(there: Tensor, _context: EditContext, f: Tensor = f, e: Tensor = e) -> Tensor:
            return (f @ case.sae.W_dec + case.sae.b_dec / case.sae.input_factor + e).to(there)

        logits = case.model.run(tokens.expand(len(shares), -1), edits=[FunctionEdit(case.site, put)], grad=True).logits
        metric = one.metric.rows(torch.zeros(len(shares), dtype=torch.int64))
        gradient, _ = torch.autograd.grad(metric(logits[:, -1]).sum(), [f, e])
        total += gradient.sum(0, keepdim=True)
    return (-clean * total / PATH.n_steps)[0].detach()


def batched(case: Case, rows: Tensor) -> Tensor:
    """Scores [n, F] at the words of these prompts."""
    readout = case.readout.rows(rows)
    patch = Patch(at=at_positions(readout, case.position[rows]))
    found = integrated_gradients(case.model, readout, {case.site: case.sae}, patch=patch, path=PATH)[case.site]
    return found.scores.to_dense() if len(rows) < 100 else found.error


def largest_difference(case: Case, *, n: int) -> float:
    """Between the first prompts' scores by all three ways; it also warms them up."""
    ours = batched(case, torch.arange(n))
    theirs = [torch.stack([looped(case, i, steps_at_once=k)[case.position[i]] for i in range(n)]) for k in (1, PATH.n_steps)]
    return max(float((ours - each).abs().max()) for each in theirs)


def measure(case: Case, *, n_rounds: int, n_looped: int) -> Times:
    """Each round runs the loops on some prompts and the batched way on its share of all."""
    times = Times([], [], [])
    for round_, rows in enumerate(torch.arange(len(case.readout)).chunk(n_rounds)):
        some = rows[:n_looped].tolist()
        times.one_by_one.append(_seconds(lambda some=some: [looped(case, i, steps_at_once=1) for i in some]) / len(some))
        times.by_prompts.append(
            _seconds(lambda some=some: [looped(case, i, steps_at_once=PATH.n_steps) for i in some]) / len(some)
        )
        times.batched.append(_seconds(lambda rows=rows: batched(case, rows)) / len(rows))
        print(f"round {round_ + 1}: " + ", ".join(f"{each[-1]:.4f} s" for each in times), flush=True)
    return times


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
