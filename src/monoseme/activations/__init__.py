"""Activations: sources of blocks, views of them, and shuffled streams of batches with an exact cursor."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from monoseme.activations.block import Block
    from monoseme.activations.cursor import Cursor, LaneCursor, StreamCursor
    from monoseme.activations.distributed import DistributedSource
    from monoseme.activations.filters import TokenFilter
    from monoseme.activations.first_blocks import FirstBlocks
    from monoseme.activations.joint import JointSource
    from monoseme.activations.live import LiveSource
    from monoseme.activations.mixing import MixingReport, measure_mixing
    from monoseme.activations.mixture import MixtureSource
    from monoseme.activations.prefetch import PrefetchSource
    from monoseme.activations.sinks import SinkFilter
    from monoseme.activations.source import ActivationSource, CapturingModel, Contexts, SourceSeconds, iterate_blocks
    from monoseme.activations.store.reader import StoredActivations
    from monoseme.activations.stream import MultiStream, StreamRequest, ViewStream
    from monoseme.activations.timing import StreamTimes, measure_stream
    from monoseme.activations.views import Batch, View

__all__ = [
    "ActivationSource",
    "Batch",
    "Block",
    "CapturingModel",
    "Contexts",
    "Cursor",
    "DistributedSource",
    "FirstBlocks",
    "JointSource",
    "LaneCursor",
    "LiveSource",
    "MixingReport",
    "MixtureSource",
    "MultiStream",
    "PrefetchSource",
    "SinkFilter",
    "SourceSeconds",
    "StoredActivations",
    "StreamCursor",
    "StreamRequest",
    "StreamTimes",
    "TokenFilter",
    "View",
    "ViewStream",
    "iterate_blocks",
    "measure_mixing",
    "measure_stream",
]

# torch on first use: `monoseme ls` lists the formats of foreign stores, which lie below this package.
__getattr__ = lazy_attributes(
    __name__,
    {
        "block": ["Block"],
        "cursor": ["Cursor", "LaneCursor", "StreamCursor"],
        "distributed": ["DistributedSource"],
        "filters": ["TokenFilter"],
        "first_blocks": ["FirstBlocks"],
        "joint": ["JointSource"],
        "live": ["LiveSource"],
        "mixing": ["MixingReport", "measure_mixing"],
        "mixture": ["MixtureSource"],
        "prefetch": ["PrefetchSource"],
        "sinks": ["SinkFilter"],
        "source": ["ActivationSource", "CapturingModel", "Contexts", "SourceSeconds", "iterate_blocks"],
        "store.reader": ["StoredActivations"],
        "stream": ["MultiStream", "StreamRequest", "ViewStream"],
        "timing": ["StreamTimes", "measure_stream"],
        "views": ["Batch", "View"],
    },
)
