"""Speed and memory of the layer statistics: `layer_spread` on an MLSAE of 16,384 latents at all layers of the bundled model.

    python benchmarks/layer_statistics.py                              # a million tokens, about half an hour on two cores
    python benchmarks/layer_statistics.py --tokens 40000               # for a look

In one process, chunk by chunk: the model, the encoder alone, and the statistics of the same chunk, so that what else the machine
does falls on all of them alike. Writes the ratio of (model + encoder) to (model + encoder + statistics), and the largest RssAnon
(`/proc/self/status`: memory that is not a mapped file). The SAE is untrained: it fires as often as a trained one, and on more
different latents. The metrics and their replicates are worked out once, at the end (`result`): seconds that weigh on a short run
only. Exits with 1 below 0.8 or above 2 GB. Linux only.
"""

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

LEAST_RATIO, MOST_GB = 0.8, 2.0
N_LATENTS, K, N_REPLICATES, CONTEXTS = 16_384, 32, 200, 16
WARM_UP = 2
"""Chunks that are not timed: loops are loaded, memory is taken."""
OUT = Path("docs/results/studies/layer_statistics.json")


def main() -> None:
    """Measures, prints, judges."""
    parser = argparse.ArgumentParser(description="Speed and memory of the layer statistics.")
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=OUT, help="file for the results (JSON)")
    args = parser.parse_args()
    found = measured(args.tokens)
    print(json.dumps(found, indent=1))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(0 if found["ratio"] >= LEAST_RATIO and found["rss_anon_gb"] < MOST_GB else 1)


def measured(n_tokens: int) -> dict[str, Any]:
    """Seconds of each part per million tokens, their ratio, and memory."""
    import torch

    from monoseme.evaluation import DocumentWeights, EvalSubject
    from monoseme.evaluation.layer_spread import LayerSpread
    from monoseme.models import Site
    from monoseme.pipeline import Materials, RunConfig, StreamConfig
    from monoseme.saes.mlsae import MLSAE

    materials = Materials(RunConfig(stream=StreamConfig()), sites=[Site("resid_post", layer) for layer in range(6)])
    sites = materials.sites
    source = materials.as_in_training(materials.text.contexts("all"))
    sae = MLSAE(MLSAE.Config(d_in=materials.model.spec.d_model, n_latents=N_LATENTS, k=K, n_sites=len(sites)))
    sae.start(torch.stack([source.block(0).activations[site].flatten(0, 1) for site in sites], dim=1))
    subject = EvalSubject(name="mlsae", sae=sae.export(), sites=sites, source=source)
    weights = DocumentWeights(n_replicates=N_REPLICATES, seed=0)
    stream: Any = LayerSpread(LayerSpread.Config(n_replicates=N_REPLICATES)).start(subject, weights)
    seconds, n_timed, n_seen, most = {"model": 0.0, "encoder": 0.0, "statistics": 0.0}, 0, 0, rss_anon()
    began = time.perf_counter()
    for i, chunk in enumerate(repeated(source, sites, n_tokens)):
        captured = time.perf_counter()
        with torch.no_grad():
            codes = subject.placed.encode(chunk.activations, chunk.text.mask)
        encoded = time.perf_counter()
        stream.add(codes, chunk.text)
        added = time.perf_counter()
        n = int(chunk.text.mask.sum())
        n_seen += n
        if i >= WARM_UP:
            n_timed += n
            for name, value in zip(seconds, (captured - began, encoded - captured, added - encoded), strict=True):
                seconds[name] += value
        most = max(most, rss_anon())
        began = time.perf_counter()
    result = stream.result()
    ended = time.perf_counter()
    seconds = {name: value * 1e6 / n_timed for name, value in seconds.items()}
    seconds["result"] = (ended - began) * 1e6 / n_seen
    alone = seconds["model"] + seconds["encoder"]
    return {
        "n_tokens": n_seen,
        "n_documents": result.facts["n_documents"],
        "n_latents": N_LATENTS,
        "k": K,
        "n_layers": len(sites),
        "n_replicates": N_REPLICATES,
        "seconds_per_million_tokens": seconds,
        "ratio_without_result": alone / (alone + seconds["statistics"]),
        "ratio": alone / (alone + seconds["statistics"] + seconds["result"]),
        "rss_anon_gb": max(most, rss_anon()),
        "threads": torch.get_num_threads(),
    }


def repeated(source: Any, sites: Any, n_tokens: int) -> Any:
    """Chunks of the text, from its beginning again where it ends, until there are so many tokens."""
    from monoseme.evaluation import chunks

    seen = 0
    while True:
        for chunk in chunks(source, sites, n_contexts=CONTEXTS, max_tokens=None):
            yield chunk
            seen += int(chunk.text.mask.sum())
            if seen >= n_tokens:
                return


def rss_anon() -> float:
    """Of this process, in GB."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found.group(1)) / 1e6 if found else float("nan")


if __name__ == "__main__":
    main()
