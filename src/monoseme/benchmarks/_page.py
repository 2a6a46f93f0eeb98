"""The page on benchmarks, from files that `monoseme bench ... --out FILE` wrote: no number on it is typed by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monoseme.benchmarks._figures import steps_figure
from monoseme.core.errors import ArtifactMissingError
from monoseme.core.files import read_json, write_atomic
from monoseme.reports.plain_tables import markdown_table

Found = Mapping[str, Any]

_HEAD = """# Benchmarks

Written by `python benchmarks/page.py` from the files beside the figures. On shared machines one hour differs from another by
half, so contestants take turns: a few steps each, round after round, the order reversed every time, in one process (other
libraries in one each, asleep until their turn). Ratios hold within one run. "Best" is the fastest step, the closest to a
quiet machine; "spread" is that of the middle half of the steps, over the median.
"""
_STEPS = """## Training steps

A step is the whole of what training does for a batch: forward, backward, the exact norm of the gradient, Adam, unit decoder
rows, counts of dead latents, logs. "dense" is plain PyTorch (dense products, `torch.topk`, autograd, `torch.optim.Adam`),
frozen in `monoseme/benchmarks/_dense.py`; a test compares its losses and gradients with ours. Neither clips its gradient. Data
are made up: 24 of 4 D directions of power-law rate, a decaying low-rank part, a mean, noise. MB is peak memory above imports
and data.
"""
_FLOOR = """## The floor

An SAE that looks at every latent needs one product of the batch with the encoder, and Adam needs every weight and both its
moments read and written once (24 bytes for each number). The floor is the first in bfloat16 at the best rate of several
shapes, and the second at the rate of torch's fused Adam, both timed in the same rounds as the steps.
"""
_OTHERS = """## Other architectures

The same against the dense twin of each. ReLU and JumpReLU are set to 50 latents per vector first, by biases or thresholds; L0
is that before and after the steps, and "in the window" counts the latents so near JumpReLU's threshold that they have a
gradient, on or not, after the steps.
T-SAE takes 1,024 pairs and MLSAE 512 tokens of four sites, so that each step has 2,048 vectors.
"""
_VARIANTS = """## Dead latents and clipping

Against our own step in the same rounds. Dead latents do not fire and are all asked by AuxK (k_aux = D / 2), on one token in
four as by default, or on every token. The steps above do not clip, as the dense one does not; "clipped at 1" is the default of
training runs, and "always clipped" a gradient that is scaled at every step.
"""
_CAPTURE = """## The model's side

A random Llama (4 blocks of width 256, contexts of 128) up to the output of block 2, against loops written by hand around the
model cut there, in batches of 8, 16 and 32 contexts, with either attention and either library for float32 products. The error
is against the plain float32 forward.
"""
_RUNS = """## Whole runs

Random tokens through that model into a TopK of 4,096 latents, k 32, batches of 2,048, shuffled; the time is from the loaded
model to the trained SAE. eai-sparsify does not shuffle and runs the whole model, as does sae-lens. dictionary-learning has no
row: its version on PyPI takes text alone, and its hooks took so long on the model that no run came to its end.
"""
_END = """## Not measured

Kernels for GPUs, processors and numbers of threads not named above, and models of a real size. The peers' auxiliary loss is
not at work in their steps: their thresholds for a dead latent are not reached so early. openai/sparse_autoencoder does not run
on a CPU. sae-lens's sparse activations fail on a CPU, so its decoder is dense here.

## Again

Commands for a quiet machine; the last one writes this page.

```sh
{commands}
python benchmarks/page.py
```
"""


def write_page(results: Path, page: Path) -> None:
    """Writes the page and its figures (in `results`) from all the JSON files in `results`.

    Raises ArtifactMissingError where there are none.
    """
    found = [read_json(file) for file in sorted(results.glob("*.json"))]
    if not found:
        raise ArtifactMissingError(
            f"no results in {results}.\n  Make some with:  monoseme bench train --out {results}/train.json"
        )
    entries = [entry for one in found if one["benchmark"] == "train" for entry in one["configs"]]
    steps = [entry for entry in _plain(entries) if entry["architecture"] == "topk"]
    parts = [_HEAD, _machines(found)]
    if steps:
        figure = steps_figure([{**entry, "contestants": _compared(entry)} for entry in steps])
        for kind in ("svg", "png"):
            figure.save(results / f"{figure.name}.{kind}")
        link = f"![{figure.title}]({results.relative_to(page.parent).as_posix()}/{figure.name}.svg)\n\n{figure.caption}\n"
        parts += [_STEPS, *(_steps(entry) for entry in steps), link, _FLOOR, _floors(steps)]
    parts += _section(_OTHERS, [_other(entry) for entry in _plain(entries) if entry["architecture"] != "topk"])
    parts += _section(_VARIANTS, [row for entry in entries for row in _variants(entry)])
    parts += _section(_CAPTURE, [_captured(entry) for one in found if one["benchmark"] == "capture" for entry in one["configs"]])
    runs = [entry for one in found if one["benchmark"] == "e2e" for entry in one["configs"]]
    parts += _section(_RUNS, [_run(row) for entry in runs for row in entry["contestants"]])
    parts += [_sweeps(found), _END.format(commands="\n".join(one["command"] for one in found))]
    write_atomic(page, "\n".join(part for part in parts if part))


def _plain(entries: Sequence[Found]) -> list[Found]:
    """Of several runs of one size and architecture, the one with the most contestants: the one with the peers."""
    best: dict[tuple[str, str], Found] = {}
    for entry in entries:
        key = (entry["config"], entry["architecture"])
        if key not in best or len(_compared(entry)) > len(_compared(best[key])):
            best[key] = entry
    return list(best.values())


def _section(head: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    return [head, markdown_table(rows)] if rows else []


def _machines(found: Sequence[Found]) -> str:
    lines: list[str] = []
    for one in found:
        facts = one["machine"]
        versions = ", ".join(f"{name} {facts[name]}" for name in ("python", "torch", "numba", "numpy") if facts[name])
        lines.append(f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} threads, {versions}.")
    return "".join(f"{line}\n" for line in dict.fromkeys(lines))


def _steps(entry: Found) -> str:
    title = (
        f"### {entry['config']}: {entry['d_model']} to {entry['n_latents']:,} latents, k {entry['k']}, "
        f"batches of {entry['batch']:,}\n"
    )
    own = next(row for row in entry["contestants"] if row["name"] == entry["kernel"])
    rows = [
        {
            "": row["name"],
            "best ms": round(row["best_ms"], 1),
            "median ms": round(row["median_ms"], 1),
            "spread": f"{row['spread']:.0%}",
            "activations/s": round(1e3 * entry["batch"] / row["best_ms"]),
            "times dense": row["ratio_to_dense"],
            "by medians": row["ratio_to_dense_median"],
            f"{entry['kernel']} is faster": round(row["best_ms"] / own["best_ms"], 1),
            "of the floor": f"{row['share_of_floor']:.0%}",
            "MB": "" if row["peak_rss_mb"] is None else round(row["peak_rss_mb"]),
        }
        for row in sorted(_compared(entry), key=lambda row: row["best_ms"])
    ]
    return f"{title}\n{markdown_table(rows)}"


def _floors(entries: Sequence[Found]) -> str:
    rows = [
        {
            "": entry["config"],
            "product, ms": floor["product_ms"],
            "GFLOP/s": floor["product_gflops"],
            "in pieces of": floor["product_shape"],
            "Adam, ms": floor["adam_ms"],
            "GB/s": floor["adam_gb_per_s"],
            "floor, ms": floor["ms"],
            "activations/s": round(1e3 * entry["batch"] / floor["ms"]),
        }
        for entry in entries
        for floor in (entry["floor"],)
    ]
    return markdown_table(rows)


def _other(entry: Found) -> dict[str, Any]:
    contestants = {row["name"]: row for row in entry["contestants"]}
    return {
        "architecture": entry["architecture"],
        "size": entry["config"],
        "kernel": entry["kernel"],
        "activations/s": entry["activations_per_s"],
        "times dense": entry["ratio_to_dense"],
        "by medians": entry["ratio_to_dense_median"],
        "L0": _l0(contestants[entry["kernel"]]),
        "L0 dense": _l0(contestants["dense"]),
        "in the window": contestants[entry["kernel"]].get("in_window_end") or "",
        "MB": entry["peak_rss_mb"],
        "MB dense": entry["peak_rss_mb_dense"],
    }


def _l0(row: Found) -> str:
    return f"{row['l0_start']:.0f} to {row['l0_end']:.0f}" if "l0_end" in row else ""


def _variants(entry: Found) -> list[dict[str, Any]]:
    """Each variant of our step over the step itself."""
    own = next(row for row in entry["contestants"] if row["name"] == entry["kernel"])
    return [
        {
            "architecture": entry["architecture"],
            "size": entry["config"],
            "step": row["name"],
            "best ms": round(row["best_ms"], 1),
            "over our own step": round(row["best_ms"] / own["best_ms"], 2),
            "by medians": round(row["median_ms"] / own["median_ms"], 2),
        }
        for row in entry["contestants"]
        if _is_variant(row["name"])
    ]


def _compared(entry: Found) -> list[Found]:
    """The contestants, without the variants of our step."""
    return [row for row in entry["contestants"] if not _is_variant(row["name"])]


def _is_variant(name: str) -> bool:
    return "," in name


def _captured(entry: Found) -> dict[str, Any]:
    return {
        "weights": entry["dtype"],
        "tokens/s": entry["tokens_per_s"],
        "best bare loop": entry["best_bare"].removeprefix("bare: "),
        "best bare / ours": entry["ratio_to_best_bare"],
        "by medians": entry["ratio_to_best_bare_median"],
        "error": f"{entry['relative_error']:.1e}",
    }


def _run(row: Found) -> dict[str, Any]:
    parts = row["parts"] or {}
    return {
        "": row["name"],
        "seconds": row["seconds"],
        "tokens/s": row["tokens_per_s"],
        "ours in float32 is faster": row["ours_is_faster"],
        "model, s": parts.get("model", ""),
        "SAE, s": parts.get("saes", ""),
        "error of activations": "" if row["relative_error"] is None else f"{row['relative_error']:.1e}",
    }


def _sweeps(found: Sequence[Found]) -> str:
    lines: list[str] = []
    for one in found:
        if "sweep" in one:
            s = one["sweep"]
            sizes = f"{s['n_saes']} SAEs ({s['d_model']} to {s['n_latents']:,})"
            share = f"{s['share_of_separate_steps']:.2f} of as many steps alone"
            lines.append(f"- A step of {sizes} on one batch: {s['best_ms_together']:.1f} ms, {share}.")
        for entry in one["configs"]:
            if "sweep" in entry:
                s = entry["sweep"]
                share = f"{s['share_of_separate_runs']:.2f} of as many runs of one"
                lines.append(f"- A run of {s['n_saes']} SAEs: {s['seconds_together']:.1f} s, {share}.")
    return "\n".join(["## Many SAEs at once\n", *lines, ""]) if lines else ""
