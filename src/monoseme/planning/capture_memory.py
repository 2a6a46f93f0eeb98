"""Peak memory of a capture from its sizes: a table of parts, worked out before a model is loaded."""

from monoseme.activations.store.config import BYTES
from monoseme.activations.store.statistics import n_sampled
from monoseme.planning.capture_sizes import CaptureOutline
from monoseme.planning.memory import TEXT_BYTES, room_of_forward
from monoseme.planning.outline import weight_bytes
from monoseme.planning.parts import Homes, MemoryParts, Part, by_device
from monoseme.planning.process_memory import imports, kernels_part, tokenising


def capture_memory(outline: CaptureOutline, *, imports_bytes: float, text_bytes: float) -> dict[str, MemoryParts]:
    """The parts on each device, the machine's own memory first. `text_bytes`: of the tokenised corpus."""
    config, context, width = outline.config, outline.config.corpus.context_len, sum(outline.widths.values())
    block = config.contexts_per_block * context * width
    standing = [
        imports(imports_bytes),
        kernels_part(),
        Part("model weights", weight_bytes(outline.model), "model", "parameters x bytes"),
        Part("model activations", room_of_forward(outline.model, config.contexts_per_block, context), "model", "of a forward"),
        Part("text", text_bytes, "host", "token ids, up to 2^26 of them, and sections"),
        tokenising(config.corpus, config.max_tokens),
        Part("text of two shards", 2 * _shard_tokens(outline) * TEXT_BYTES, "host", "one that is written, one that is made"),
        *_blocks(block * outline.model.dtype.itemsize),
        Part("encoding", block * (4 + BYTES[config.storage.dtype]), "host", "float32 and as stored"),
        Part("statistics", statistics_bytes(outline), "host", "of a shard, of the store, and the sample of its median"),
    ]
    return by_device(Homes.of(config.model.device), standing)


def _blocks(n_bytes: float) -> list[Part]:
    """Those that wait for the disk are on the machine."""
    waiting = Part("blocks", 2 * n_bytes, "host", "one waiting, one written; up to 256 MB wait for a slow disk")
    return [waiting, Part("block of the model", n_bytes, "model", "the one that is made")]


def _shard_tokens(outline: CaptureOutline) -> float:
    storage, width = outline.config.storage, sum(outline.widths.values())
    n_bytes = min(storage.shard_bytes, outline.estimated_bytes())
    return n_bytes / (BYTES[storage.dtype] or 1) / max(1, width)


def statistics_bytes(outline: CaptureOutline) -> float:
    """Of three sets of sums, and the sample of the median in float32 and three times in float64."""
    sums = sum(tensor.numel() * tensor.element_size() for tensor in outline.kind.statistics(0).tensors().values())
    return 3 * sums + n_sampled(outline.widths) * max(outline.widths.values()) * (4 + 3 * 8)
