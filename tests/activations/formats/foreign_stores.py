"""Tiny stores of other tools, written in exactly their way, and what a store of ours holds, for comparison."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from monoseme.activations.formats import ACTIVATION_FORMATS
from monoseme.activations.formats._importing import Imported, import_activations
from monoseme.activations.store.reader import StoredActivations

D = 7


def vectors(*shape: int, seed: int = 0, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def write_sentences(folder: Path, lengths: Mapping[int, int], *, layer: int = 22, width: int = D) -> dict[int, torch.Tensor]:
    """As `save_activations_process` of llama3-sae: one file per sentence, under the number it has in the dataset."""
    place = folder / f"layer_{layer}"
    place.mkdir(parents=True, exist_ok=True)
    found = {number: vectors(length, width, seed=number + 1000 * layer) for number, length in lengths.items()}
    for number, activations in found.items():
        torch.save(activations, place / f"activations_l{layer}_idx{number}.pt")
    return found


def write_batches(folder: Path, counts: Mapping[int, int], *, rows: int = 11) -> dict[tuple[int, int], torch.Tensor]:
    """As `process_tensors` of llama3-sae: each process numbers its batches from 0."""
    folder.mkdir(parents=True)
    found = {(pid, n): vectors(rows, D, seed=pid * 100 + n) for pid, count in counts.items() for n in range(count)}
    for (pid, n), batch in found.items():
        torch.save(batch.clone(), folder / f"batch_{pid}_{n}.pt")
    return found


def write_tfa(
    folder: Path,
    *,
    n_files: int = 3,
    contexts: int = 4,
    positions: int = 5,
    ids_dtype: torch.dtype = torch.bfloat16,
    top: int = 90000,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `precompute_activations` of TFA: states and ids in files of their own, opened by hand, then metadata.json."""
    folder.mkdir(parents=True)
    states = vectors(n_files, contexts, positions, D)
    ids = torch.randint(0, top, (n_files, contexts, positions), generator=torch.Generator().manual_seed(1))
    for i in range(n_files):
        for name, values in (("states", states[i]), ("input_ids", ids[i].to(ids_dtype))):
            with (folder / f"{name}_{i:05d}_of_{n_files:05d}.pkl").open("wb") as file:
                torch.save(values.clone(), file)
    said = {"shape": list(states.shape[1:]), "input_ids_shape": list(ids.shape[1:]), "dtype": str(states.dtype)}
    (folder / "metadata.json").write_text(json.dumps(said, indent=2))
    return states.flatten(0, 1), ids.flatten(0, 1)


class Cache(NamedTuple):
    """What a memory-mapped cache holds."""

    rows: dict[str, torch.Tensor]
    tokens: torch.Tensor
    borders: list[int]


def write_cache(
    folder: Path,
    names: Sequence[str] = ("layer_3_out",),
    *,
    lengths: Sequence[int] = (5, 2, 13, 1, 8),
    per_shard: int = 10,
    dtype: torch.dtype = torch.bfloat16,
    borders: bool = True,
    **config: Any,
) -> Cache:
    """As `ActivationCache.collect` of the crosscoder fork: raw shards with `.meta`, config.json, ids and borders one up."""
    total = sum(lengths)
    found = {name: vectors(total, D, seed=i, dtype=dtype) for i, name in enumerate(names)}
    for name, rows in found.items():
        place = folder / name
        place.mkdir(parents=True)
        shards = rows.split(per_shard)
        for number, shard in enumerate(shards):
            raw = (shard.view(torch.int16) if dtype is torch.bfloat16 else shard).numpy()
            raw.tofile(place / f"shard_{number}.memmap")
            meta = {"shape": list(shard.shape), "dtype": str(dtype).removeprefix("torch.")}
            (place / f"shard_{number}.meta").write_text(json.dumps(meta))
        torch.save(rows.double().mean(dim=0), place / "mean.pt")
        said = {"shard_count": len(shards), "total_size": total, "d_model": D, "shuffle_shards": False, "store_tokens": True}
        (place / "config.json").write_text(json.dumps(said | config))
    tokens = torch.arange(100, 100 + total)
    starts = np.cumsum([0, *lengths]).tolist()
    tokens[torch.tensor(starts[:-1])] = 2  # every sequence begins with a BOS
    torch.save(tokens, folder / "tokens.pt")
    if borders:
        torch.save(torch.tensor(starts, dtype=torch.long), folder / "sequence_ranges.pt")
    return Cache(found, tokens, starts)


def write_saelens(
    folder: Path, hooks: Sequence[str] = ("blocks.2.hook_resid_post",), *, n: int = 70, positions: int = 5, ids: bool = True
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """As `CacheActivationsRunner`: a dataset on disk, a column of matrices for each hook."""
    from datasets import Array2D, Dataset, Features, Sequence, Value

    found = {hook: vectors(n, positions, D, seed=i, dtype=torch.float32) for i, hook in enumerate(hooks)}
    tokens = torch.randint(0, 90000, (n, positions), generator=torch.Generator().manual_seed(1))
    features: dict[str, Any] = {hook: Array2D(shape=(positions, D), dtype="float32") for hook in hooks}
    columns: dict[str, Any] = dict(found)
    if ids:
        features["token_ids"] = Sequence(Value(dtype="int32"), length=positions)
        columns["token_ids"] = tokens.to(torch.int32)
    Dataset.from_dict(columns, features=Features(features)).save_to_disk(str(folder), num_shards=2)
    return found, tokens


def imported(path: Path, out: Path, format: str, *, storage: Mapping[str, Any] | None = None, **options: Any) -> Imported:
    config = ACTIVATION_FORMATS.get(format).Config(**options)
    return import_activations(path, out, format=format, options=config, storage=storage)


class Held(NamedTuple):
    """One context of a store of ours, without padding."""

    rows: torch.Tensor
    tokens: list[int]
    documents: list[int]
    positions: list[int]


def contexts_of(out: Path, site: str, split: Any = "all") -> list[Held]:
    """All contexts of a split that have a row, in the order of the store."""
    from monoseme.models.site import Site

    source = StoredActivations.open(out).source(split, [site])
    held: list[Held] = []
    for block in source.blocks():
        for c in range(block.n_contexts):
            real = block.real[c]
            facts = (block.tokens[c][real], block.documents[c][real], block.positions[c][real])
            held.append(Held(block.activations[Site.parse(site)][c][real], *(values.tolist() for values in facts)))
    return held


def tokens_of(contexts: Sequence[Held]) -> list[int]:
    return [token for context in contexts for token in context.tokens]


def heldout_documents(out: Path, site: str) -> set[int]:
    return {document for context in contexts_of(out, site, "heldout") for document in context.documents}


def write_llamascopium(
    folder: Path,
    hooks: Sequence[str] = ("blocks.2.hook_resid_post",),
    *,
    sizes: Sequence[int] = (4, 4, 3),
    ending: str = "safetensors",
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """As `ActivationWriter`: chunks of every hook, each with the tokens; texts are padded with 0 behind."""
    from safetensors.torch import save_file

    n = sum(sizes)
    tokens = torch.randint(5, 90000, (n, 5), generator=torch.Generator().manual_seed(1))
    for context in range(n):
        tokens[context, 2 + context % 4 :] = 0
    tokens[1, 0] = 0  # a 0 within a text is no padding
    found = {hook: vectors(n, 5, D, seed=i) for i, hook in enumerate(hooks)}
    for hook, rows in found.items():
        (folder / hook).mkdir(parents=True)
        for number, (chunk, ids) in enumerate(zip(rows.split(list(sizes)), tokens.split(list(sizes)), strict=True)):
            path = folder / hook / f"chunk-{number:08d}.{ending}"
            table = {"activation": chunk.clone(), "tokens": ids.clone()}
            if ending == "pt":
                torch.save(table | {"meta": [{"dataset_name": "x"}] * len(ids)}, path)
            else:
                save_file(table, path)
                path.with_suffix(".meta.json").write_text("[]")
    return found, tokens
