"""Rows that come back from a store: GB/s of shuffled float32, and tokens per second beside the model itself.

A visit takes batches of tokens until as many bytes have come as the store holds in float32, at most; the files lie in the page
cache, since every store is read once before. Batches are made and thrown away: what is timed is what a trainer would wait for.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monoseme.activations import ActivationSource, LiveSource, MultiStream, StreamRequest
from monoseme.activations.store.config import StorageConfig, StoredDtype
from monoseme.activations.store.reader import StoredActivations
from monoseme.activations.store.writer import write_store
from monoseme.benchmarks._rounds import Contestant, interleave
from monoseme.benchmarks._store_capture import CONTEXTS_PER_BLOCK, captured, open_model, tokenised
from monoseme.core.display import SilentDisplay, use_display
from monoseme.core.errors import CorpusError
from monoseme.core.folder import LocalFolder
from monoseme.models import Site
from monoseme.testing.store_input import RandomInput

_SITE = Site("resid_post", 0)
_CONTEXTS_PER_BLOCK, _CONTEXT_LEN, _BATCH = 64, 128, 4096


def time_reader(place: Path, *, dtypes: Sequence[StoredDtype], width: int, n_rows: int, rounds: int) -> dict[str, Any]:
    """GB/s of float32 rows from a store of each type; JSON-able."""
    n_blocks = max(2, n_rows // (_CONTEXTS_PER_BLOCK * _CONTEXT_LEN))
    n_delivered = n_blocks * _CONTEXTS_PER_BLOCK * _CONTEXT_LEN // 2
    supply = RandomInput({_SITE: width}, n_blocks=n_blocks, contexts_per_block=_CONTEXTS_PER_BLOCK, context_len=_CONTEXT_LEN)
    contestants: dict[str, Contestant] = {}
    for dtype in dtypes:
        with use_display(SilentDisplay()):
            write_store(LocalFolder(place / dtype), supply, StorageConfig(dtype=dtype), config={}, inputs={})
        contestants[dtype] = batches_of(StoredActivations.open(place / dtype).source(), _SITE, n_items=n_delivered)
    timings = interleave(contestants, rounds=rounds, steps=1, warm_up=3, description="read")
    for dtype in dtypes:
        shutil.rmtree(place / dtype)
    n_bytes = n_delivered * width * 4
    return {
        "width": width,
        "rows": n_blocks * _CONTEXTS_PER_BLOCK * _CONTEXT_LEN,
        "batch": _BATCH,
        "contestants": [
            {
                "name": dtype,
                **timing.facts(),
                "gb_per_s": round(n_bytes / timing.best / 1e9, 3),
                "gb_per_s_median": round(n_bytes / timing.median / 1e9, 3),
            }
            for dtype, timing in timings.items()
        ],
    }


def time_live(name: str, corpus: str, place: Path, *, n_tokens: int, rounds: int) -> dict[str, Any]:
    """Tokens per second of one site's shuffled stream: from a bfloat16 store, and from the model; JSON-able."""
    model, _ = open_model(name)
    site = Site("resid_post", model.spec.n_layers // 2)
    text = tokenised(model, corpus, n_tokens=n_tokens)
    with use_display(SilentDisplay()):
        write_store(LocalFolder(place / "live"), captured(model, text, [site]), StorageConfig(), config={}, inputs={})
    live = LiveSource(model, text.contexts("train"), [site], contexts_per_block=CONTEXTS_PER_BLOCK)
    stored = StoredActivations.open(place / "live").source()
    n_items = n_tokens // 2
    contestants = {part: batches_of(source, site, n_items=n_items) for part, source in (("store", stored), ("live", live))}
    timings = interleave(contestants, rounds=rounds, steps=1, warm_up=1, description=f"stream {Path(name).name}")
    shutil.rmtree(place / "live")
    return {
        "model": Path(name).name,
        "site": str(site),
        "width": model.spec.d_model,
        "tokens": n_items,
        "store_is_faster": round(timings["live"].best / timings["store"].best, 2),
        "store_is_faster_median": round(timings["live"].median / timings["store"].median, 2),
        "contestants": [
            {"name": part, **timing.facts(), "tokens_per_s": round(n_items / timing.best)} for part, timing in timings.items()
        ],
    }


def batches_of(source: ActivationSource, site: Site, *, n_items: int) -> Callable[[], float]:
    """Takes batches of one endless stream of shuffled tokens until there were `n_items`; seconds for so many."""
    request = StreamRequest(sites=(site,), batch_size=min(_BATCH, n_items))
    stream = MultiStream(source, [request])

    def contestant() -> float:
        began, done = time.perf_counter(), 0
        while done < n_items:
            batches = stream.next_step()
            if batches is None:
                raise CorpusError("the source holds nothing to give out")
            done += batches[0].n_items
        return (time.perf_counter() - began) * n_items / done

    return contestant
