"""Peak memory of a training run from its sizes: a table of parts, worked out before anything large exists.

What stands from the start (imports, model, text, blocks, SAEs) is joined by what learning needs (moments, gradients, buffers),
and by what passes: the sample an SAE starts from, a step, a validation, a checkpoint, the copy that is saved at the end. Only
the largest of those that pass counts, and the sample before the first step has no moments beside it.

Letters: B rows of a batch, D width, F latents, S positions, V vocabulary.
"""

import math
from collections.abc import Sequence

from monoseme.models import LanguageModel
from monoseme.planning.outline import PlannedJob, RunOutline, weight_bytes
from monoseme.planning.parts import HOST, Home, MemoryParts, Part, by_device
from monoseme.planning.process_memory import imports, kernels_part, tokenising
from monoseme.planning.tensor_files import Sized, n_bytes

TEXT_BYTES = 37
"""Of a token in a block besides its activations: five int64, int16, int8, two bool... see `TokenBlock`."""
_SCREEN_ROWS = 512
"""Rows that the compiled kernels score at once."""
_PIECE_ELEMENTS = 2**22
"""Float32 scores that the torch kernels make at once."""
_FORWARD_TOKENS = {"cpu": 2048}
_FORWARD_TOKENS_ELSEWHERE = 16_384


def training_memory(
    outline: RunOutline, *, imports_bytes: float, text_bytes: float, shards: int = 1
) -> dict[str, MemoryParts]:  # fmt: skip
    """The parts on each device, the machine's own memory first, for one of `shards` processes that share the latents.

    `imports_bytes`: what this process holds after the same imports. `text_bytes`: of the tokenised corpus.
    """
    standing = [
        imports(imports_bytes),
        kernels_part(),
        _model_weights(outline),
        _forward_room(outline),
        Part("text", text_bytes, "host", "token ids, up to 2^26 of them, and sections"),
        tokenising(None if outline.from_stores else outline.config.corpus, outline.config.stream.max_tokens),
        _blocks(outline),
        *_in_hand(outline),
        _held_out(outline),
        _saes(outline, shards),
    ]
    learning = [_moments(outline, shards), _gradients(outline, shards), _copies(outline, shards), _scores(outline, shards)]
    passing = [_step(outline), *_validation(outline), *_written(outline, shards)]
    return by_device(outline.homes, standing, learning=learning, passing=passing, early=[_sample(outline)])


def _model_weights(outline: RunOutline) -> Part:
    return Part("model weights", sum(weight_bytes(model) for model in outline.models.values()), "model", "parameters x bytes")


def room_of_forward(model: LanguageModel, contexts_per_block: int, context_len: int) -> float:
    """Bytes inside a block: the stream, its norm, queries, keys, values, and the widest of the MLP three times."""
    device = model.config.device.partition(":")[0]
    fitting = max(1, _FORWARD_TOKENS.get(device, _FORWARD_TOKENS_ELSEWHERE) // context_len)
    prefix = model.block_names[0]
    wide = max((max(s) for name, (_, s) in model.parameter_shapes.items() if name.startswith(prefix)), default=0)
    n_tokens = min(contexts_per_block, fitting) * context_len
    return n_tokens * (6 * model.spec.d_model + 3 * wide) * model.dtype.itemsize


def _forward_room(outline: RunOutline) -> Part:
    per_block, context = outline.config.stream.contexts_per_block, outline.config.corpus.context_len
    most = max((room_of_forward(model, per_block, context) for model in outline.models.values()), default=0)
    return Part("model activations", most, "model", "of a forward")


def _source(outline: RunOutline) -> Home:
    """Where activations come from: files, or the model's device."""
    return "host" if outline.from_stores else "model"


def _blocks(outline: RunOutline) -> Part:
    window, stream = outline.config.train.window(any_order=bool(outline.config.stream.activations)), outline.config.stream
    held = window + 1 + (stream.prefetch_blocks if stream.prefetch else 0)
    value = held * outline.block_tokens * (outline.row_bytes + TEXT_BYTES)
    note = f"{held} of {outline.block_tokens:,} tokens: the shuffle window, one that is made" + ", those ahead" * stream.prefetch
    return Part("blocks of the stream", value, _source(outline), note)


def _row_width(job: PlannedJob) -> int:
    """Numbers of an item per token of the batch: all its sites, twice for pairs."""
    return sum(job.widths) * (2 if job.kind.learns_from == "pairs" else 1)


def _in_hand(outline: RunOutline) -> list[Part]:
    """A batch for each distinct request, and the next one while the last is held; rows go to it straight from the blocks. Where
    SAEs are elsewhere, it is copied there."""
    batch, homes = outline.config.train.batch_size, outline.homes
    lanes = {job.learns_from: _row_width(job) for job in outline.jobs}
    value = sum(2 * batch * width * outline.activation_dtype.itemsize for width in lanes.values())
    made = Part("batches", value, _source(outline), "two for each view")
    if homes.device(made.home) == homes.saes:
        return [made]
    return [made, Part("batches at the SAEs", value, "saes", "copied to their device")]


def _held_out(outline: RunOutline) -> Part:
    config = outline.config
    if not outline.is_validated:
        return Part("validation batches", 0, "saes", "nothing is held out")
    batch = config.train.batch_size
    n_rows = math.ceil(config.train.validation_tokens / batch) * batch
    widths = {request: sum(job.widths) for job in outline.jobs for request in (job.learns_from, job.reads)}
    value = n_rows * sum(widths.values()) * outline.activation_dtype.itemsize
    return Part("validation batches", value, "saes", f"{n_rows:,} rows for each view")


def _shared(tensors: dict[str, Sized], shards: int) -> float:
    """Bytes where each process holds its part of what has an axis of latents: all matrices."""
    wide = sum(sized.n_bytes for sized in tensors.values() if len(sized.shape) > 1)
    return n_bytes(tensors) - wide + wide / shards


def _saes(outline: RunOutline, shards: int) -> Part:
    value = sum(_shared(job.sizes.weights, shards) + n_bytes(job.sizes.counts) for job in outline.jobs)
    return Part("SAE weights", value, "saes", "parameters and buffers")


def _moments(outline: RunOutline, shards: int) -> Part:
    copies = 2 if outline.config.train.ema_decay is None else 3
    value = sum(copies * _shared(job.sizes.parameters, shards) for job in outline.jobs)
    return Part("moments", value, "saes", "two for each parameter" + (", and the mean of the weights" if copies == 3 else ""))


def _gradients(outline: RunOutline, shards: int) -> Part:
    value = sum(_shared(job.sizes.parameters, shards) for job in outline.jobs)
    return Part("gradients", value, "saes", "one for each parameter, kept to be clipped by their norm")


def _copies(outline: RunOutline, shards: int) -> Part:
    """The bfloat16 copy of each encoder, with two norms for each latent."""
    value = 0.0
    for job in outline.jobs:
        encoder = job.sizes.parameters.get("W_enc")
        if encoder is not None and has_k(job):
            value += (encoder.n_elements * 2 + job.sizes.config.n_latents * 8) / shards
    return Part("bfloat16 copies", value, "saes", "of the encoders, to screen latents with")


def has_k(job: PlannedJob) -> bool:
    """Whether its codes are chosen by kernels that keep nothing of size [B, F]."""
    return job.kind.sparsity == "k"


def _scores(outline: RunOutline, shards: int) -> Part:
    """One buffer for all SAEs of a kind of selection; dense codes, their gradients and products for what has no k."""
    batch = math.ceil(outline.config.train.batch_size / outline.config.train.accumulate)
    sparse = [job.sizes.config.n_latents for job in outline.jobs if has_k(job)]
    dense = [job.sizes.config.n_latents for job in outline.jobs if not has_k(job)]
    value = max((max(_SCREEN_ROWS * n * 2, min(_PIECE_ELEMENTS, batch * n) * 4) for n in sparse), default=0)
    value += max((4 * batch * n * 4 for n in dense), default=0)
    return Part("scores of latents", value / shards, "saes", "buffers of the kernels; [B, F] four times for an SAE without a k")


def _step(outline: RunOutline) -> Part:
    """Rows in float32: raw, normalised, centred, reconstructed, the error, and two gradients."""
    batch = outline.config.train.batch_size
    return Part("a step", max(7 * batch * _row_width(job) * 4 for job in outline.jobs), "saes", "rows in float32")


def _validation(outline: RunOutline) -> list[Part]:
    """Logits of a block, with and without the SAE, and what their losses need; rows as in a step without gradients."""
    wanted = outline.config.stream.validation_loss_tokens
    rows = _step(outline)._replace(name="a validation")
    if wanted is None or outline.config.second_model is not None or not outline.models:
        return [rows]
    tokens = min(outline.block_tokens, max(wanted, outline.config.corpus.context_len))
    logits = 4 * tokens * outline.models["model"].spec.vocab_size * 4
    return [rows, Part("logits of a validation", logits, "model", "with and without the SAE, and their losses")]


def _sample(outline: RunOutline) -> Part:
    """The batches, joined in float32, and three times in float64 for the geometric median."""
    train = outline.config.train
    batches = math.ceil(train.start_tokens / train.batch_size) * train.batch_size
    lanes = {job.learns_from: _row_width(job) for job in outline.jobs}
    held = batches * sum(lanes.values()) * outline.activation_dtype.itemsize
    value = held + train.start_tokens * max(_row_width(job) for job in outline.jobs) * (2 * 4 + 3 * 8)
    return Part("the sample that SAEs start from", value, "saes", "before there are moments")


def _written(outline: RunOutline, shards: int) -> list[Part]:
    """A checkpoint's file of moments, and the finished SAE; from an accelerator both are copied to the machine."""
    jobs, note = outline.jobs, "what is copied to be written"
    copied = [Part("saving an SAE", ending_bytes(jobs, shards=shards), "saes", note)]
    if outline.homes.saes == HOST:
        return [*copied, Part("a checkpoint", max(2 * _turned(job) / shards for job in jobs), "host", note)]
    moments = max(2 * job.sizes.parameter_bytes / shards for job in jobs)
    exported = max(n_bytes(job.sizes.exported) for job in jobs)
    return [*copied, Part("a checkpoint", moments, "host", note), Part("a saved SAE", exported, "host", note)]


def ending_bytes(jobs: Sequence[PlannedJob], *, shards: int = 1) -> float:
    """What saving the largest SAE adds at the end of the steps: its state copied, the simpler SAE that takes it, and what of that
    does not lie in plain order, turned to be written."""
    return max((2 * job.sizes.weight_bytes + _turned(job)) / shards for job in jobs)


def _turned(job: PlannedJob) -> float:
    return sum(job.sizes.parameters[name].n_bytes for name in job.sizes.transposed)
