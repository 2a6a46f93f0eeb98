"""What a scan leaves in the atlas: for each (SAE, part) at each site, one artifact for each place its gatherers write to."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from monoseme.atlas.scanning.feed import Feed, Gathered, Target
from monoseme.atlas.scanning.gatherer import GathererSpec
from monoseme.atlas.scanning.needs import ScannedModel
from monoseme.atlas.text_store import TextStore
from monoseme.core.artifact import new_artifact, open_artifact

LATENTS = "latents"
"""Name and place of the first gatherer of every scan."""


def gathered_folder(atlas: Path, place: str, key: str) -> Path:
    """Where what was gathered of one (SAE, part) lies in an atlas."""
    return atlas / place / key


def write_gathered(
    folder: Path,
    feed: Feed,
    specs: Sequence[GathererSpec],
    text: TextStore,
    *,
    about: Mapping[str, Any],
    model: ScannedModel | None,
) -> None:
    """Write the artifacts of one target that are not there yet. `about` is what their manifests say of the whole scan."""
    inputs = _inputs(feed.target, text, model)
    for number, gathered in enumerate(feed.gathered):
        described = {**_described(feed, number), **about}
        for place in dict.fromkeys([LATENTS, *(spec.place for spec in specs)]):
            names = [spec.name for spec in specs if spec.place == place]
            path = gathered_folder(folder, place, gathered.key)
            if not path.exists():  # what a scan that was killed here has written stays
                _write(path, gathered, names, text, config={"holds": place, **described}, inputs=inputs)
            if place == LATENTS:
                inputs = inputs | {"latents": open_artifact(path, kind="atlas").content_hash}
        inputs.pop("latents")


def _write(
    path: Path, gathered: Gathered, names: Sequence[str], text: TextStore, *, config: dict[str, Any], inputs: Mapping[str, str]
) -> None:
    seeds = {"sample": config["scan"]["keep"]["seed"]}
    with new_artifact(path, kind="atlas", config=config, inputs=inputs, seeds=seeds) as draft:
        for name in names:
            gathered.gatherers[name].write(draft.folder, text)


def _described(feed: Feed, number: int) -> dict[str, Any]:
    """What the manifest says of one (SAE, part) at one code site."""
    return {
        "name": feed.target.name,
        "part": feed.target.part,
        "site": str(feed.placed.code_sites[number]),
        "inputs": [str(site) for site in feed.placed.inputs],
        "outputs": [str(site) for site in feed.placed.outputs],
        "n_latents": feed.target.sae.n_latents,
        "n_tokens": feed.gathered[number].n_rows,
    }


def _inputs(target: Target, text: TextStore, model: ScannedModel | None) -> dict[str, str]:
    """Content hashes of what an atlas was made from."""
    inputs = {"text": text.content_hash, "sae": sae_hash(target)}
    return inputs if model is None else {**inputs, "model": model.content_hash()}


def sae_hash(target: Target) -> str:
    """Content hash of the artifact an SAE came from, or of its weights."""
    return target.sae_hash or _hash_weights(target.sae.state_dict())


def _hash_weights(weights: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"
