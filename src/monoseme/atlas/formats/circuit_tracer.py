"""circuit-tracer's feature JSON: what its graphs show of a feature, packed by layer as its front end fetches it.

    features/index.json.gz       {"LAYER": {"filename": "layer_LAYER.bin", "offsets": [F + 1 byte positions]}}
    features/layer_LAYER.bin     for each feature: uint32 (little endian) length, then that many bytes of gzipped JSON

or, with --no-packed, `features/N.json`, N the Cantor pairing of layer and feature that names a node of a graph. A feature that
never fired takes no bytes; asking for it is answered with "not found".

    {transcoder_id, index, examples_quantiles: [{quantile_name, examples: [{tokens, tokens_acts_list, train_token_ind,
     is_repeated_datapoint}]}], top_logits, bottom_logits, act_min, act_max, quantile_values, histogram, activation_frequency}

Who writes and reads it: circuit-tracer 0.5 (`frontend/feature_models.py`, `frontend/assets/feature_examples`). Not said there, so
ours: `quantile_values` are the edges of the tenths of the activations, `histogram` has 50 bars up to `act_max`.
"""

import functools
import gzip
import itertools
import json
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from monoseme.atlas.formats._base import AtlasFormat
from monoseme.atlas.formats._dashboard import linear_bars, shortened
from monoseme.atlas.formats._notes import NotedExample, Notes
from monoseme.atlas.formats._part import ExportedLatent, ExportPart
from monoseme.atlas.formats._writing import json_line
from monoseme.atlas.pages import Example
from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.files import write_atomic
from monoseme.core.foreign import (
    MOST_LINE_BYTES,
    as_latent,
    as_list,
    as_numbers,
    as_object,
    as_text,
    as_texts,
    numbered,
    parse_json,
    read_bytes,
    read_json_object,
)

_INDEX = "index.json.gz"
_PLAIN = r"(\d+)\.json"
_LENGTH = struct.Struct("<I")


class CircuitTracer(AtlasFormat):
    """Examples and tokens of each feature, for graphs."""

    looks_for: ClassVar[str] = "features/index.json.gz, or features/N.json"
    several_sites: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config(AtlasFormat.Config):
        """How features are packed."""

        packed: bool = True
        """One file a layer with an index, as from a hub; else one JSON file a feature."""
        transcoder_id: str | None = None
        """What features are said to be of. None: the SAE's name in the atlas."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self.config = config or self.Config()

    def recognises(self, path: Path) -> bool:
        """By the index, or by files that numbers name."""
        folder = _folder(path)
        return (folder / _INDEX).is_file() or (folder.name == "features" and bool(numbered(folder, _PLAIN)))

    def write(self, parts: Sequence[ExportPart], folder: Path) -> tuple[str, ...]:
        """One feature is in memory at a time. Raises ConfigError for two parts of one layer."""
        layers = [part.site.layer for part in parts]
        if len(set(layers)) < len(layers):
            raise ConfigError("circuit-tracer names a feature by its layer, and two of these SAEs are at one layer.")
        features = folder / "features"
        features.mkdir()
        index: dict[str, Any] = {}
        for part in parts:
            if self.config.packed:
                index[str(part.site.layer)] = self._pack(part, features)
            else:
                for page in part.pages(part.firing):
                    name = f"{cantor(part.site.layer, page.latent)}.json"
                    (features / name).write_bytes(json_line(self._feature(page, part)))
        if self.config.packed:
            write_atomic(features / _INDEX, gzip.compress(json.dumps(index).encode(), mtime=0))
        return ("explanations and scores: circuit-tracer has its own labels, on the nodes of a graph",)

    def read(self, path: Path) -> Notes:
        """The examples, with their layer. Raises ForeignError."""
        folder = _folder(path)
        if not self.recognises(path):
            raise ForeignError(f"{path} has no features/{_INDEX} and no features/N.json")
        read = _packed_examples if (folder / _INDEX).is_file() else _plain_examples
        lost = "statistics and tokens of each feature: the atlas has its own"
        return Notes(examples=functools.partial(read, folder), lost=(lost,))

    def _pack(self, part: ExportPart, folder: Path) -> dict[str, Any]:
        """Write the features of one layer; where each begins."""
        name = f"layer_{part.site.layer}.bin"
        sizes = dict.fromkeys(range(part.latents.n_latents), 0)
        order = sorted(part.numbers)
        if order != list(part.numbers):
            raise ConfigError("circuit-tracer packs features in their order: name latents in ascending order.")
        with (folder / name).open("wb") as file:
            for page in part.pages(part.firing):
                packed = gzip.compress(json_line(self._feature(page, part)), compresslevel=6, mtime=0)
                sizes[page.latent] = file.write(_LENGTH.pack(len(packed)) + packed)
        offsets = [0]
        for size in sizes.values():
            offsets.append(offsets[-1] + size)
        return {"filename": name, "offsets": offsets}

    def _feature(self, page: ExportedLatent, part: ExportPart) -> dict[str, Any]:
        bars = linear_bars(page.histogram, page.stats.max)
        low = min((value for example in page.top for value in example.values if value is not None), default=0.0)
        quantiles = [{"quantile_name": "Top activations", "examples": [_example(one) for one in page.top]}]
        quantiles += [
            {"quantile_name": f"Tenth {10 - i} of 10", "examples": [_example(one) for one in decile.examples]}
            for i, decile in enumerate(reversed(page.deciles))
        ]
        edges = [decile.low for decile in page.deciles] + [decile.high for decile in page.deciles[-1:]]
        return {
            "transcoder_id": self.config.transcoder_id or part.key,
            "index": page.latent,
            "examples_quantiles": quantiles,
            "top_logits": [one.text for one in page.top_logits],
            "bottom_logits": [one.text for one in page.bottom_logits],
            "act_min": min(low, 0.0),
            "act_max": page.stats.max,
            "quantile_values": shortened(edges),
            "histogram": list(bars.heights),
            "activation_frequency": page.stats.density,
        }


def cantor(layer: int, feature: int) -> int:
    """The number of a node: (layer + feature) (layer + feature + 1) / 2 + feature."""
    total = layer + feature
    return total * (total + 1) // 2 + feature


def from_cantor(number: int) -> tuple[int, int]:
    """(layer, feature) of a node; the inverse of `cantor`."""
    total = (isqrt(8 * number + 1) - 1) // 2
    feature = number - total * (total + 1) // 2
    return total - feature, feature


def _example(example: Example) -> dict[str, Any]:
    return {
        "tokens": list(example.texts),
        "tokens_acts_list": shortened([value or 0.0 for value in example.values]),
        "train_token_ind": example.focus,
        "is_repeated_datapoint": False,
    }


def _folder(path: Path) -> Path:
    return path / "features" if (path / "features").is_dir() else path


def _plain_examples(folder: Path) -> Iterator[NotedExample]:
    for file in numbered(folder, _PLAIN):
        layer, feature = from_cantor(int(file.stem))
        yield from _examples(read_json_object(file), layer, as_latent(feature, where=str(file)), where=str(file))


def _packed_examples(folder: Path) -> Iterator[NotedExample]:
    index = as_object(parse_json(_inflated(read_bytes(folder / _INDEX), where=_INDEX), where=_INDEX), where=_INDEX)
    for layer, entry in index.items():
        told = as_object(entry, where=f"layer {layer} of {_INDEX}")
        name = told.get("filename")
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
            raise ForeignError(f"layer {layer} of {_INDEX} names a file that is none beside it: {str(name)[:60]!r}")
        offsets = [int(place) for place in as_numbers(told.get("offsets"), where=f"offsets of layer {layer} of {_INDEX}")]
        number = as_latent(layer, where=_INDEX)
        try:
            with (folder / name).open("rb") as file:
                yield from _examples_of_layer(file, offsets, number)
        except OSError as error:
            raise ForeignError(f"{folder / name} cannot be read: {error.strerror}") from error


def _examples_of_layer(file: BinaryIO, offsets: Sequence[int], layer: int) -> Iterator[NotedExample]:
    for feature, (begin, end) in enumerate(itertools.pairwise(offsets)):
        where = f"feature {feature} of layer {layer}"
        if begin == end:
            continue
        if not 0 <= begin < end or end - begin > MOST_LINE_BYTES:
            raise ForeignError(f"{where} is said to lie from byte {begin} to {end}")
        file.seek(begin)
        content = file.read(end - begin)
        length = int.from_bytes(content[: _LENGTH.size], "little")
        if len(content) < _LENGTH.size or length != len(content) - _LENGTH.size:
            raise ForeignError(f"{where} has {len(content):,} bytes, but says that {length:,} follow its length")
        found = parse_json(_inflated(content[_LENGTH.size :], where=where), where=where)
        yield from _examples(as_object(found, where=where), layer, feature, where=where)


def _inflated(content: bytes, *, where: str) -> bytes:
    """The bytes of a gzip or zlib stream, at most MOST_LINE_BYTES of them."""
    unpack = zlib.decompressobj(wbits=47)  # either header, as the front end takes them
    try:
        found = unpack.decompress(content, MOST_LINE_BYTES)
    except zlib.error as error:
        raise ForeignError(f"{where} cannot be unpacked ({error})") from error
    if unpack.unconsumed_tail:
        raise ForeignError(f"{where} is larger than {MOST_LINE_BYTES:,} bytes when it is unpacked")
    return found


def _examples(feature: dict[str, Any], layer: int, latent: int, *, where: str) -> Iterator[NotedExample]:
    for entry in as_list(feature.get("examples_quantiles"), where=f"examples of {where}"):
        quantile = as_object(entry, where=f"examples of {where}")
        group = as_text(quantile.get("quantile_name"), where=f"quantile_name of {where}")
        for item in as_list(quantile.get("examples"), where=f"examples of {where}"):
            row = as_object(item, where=f"an example of {where}")
            texts = as_texts(row.get("tokens"), where=f"tokens of {where}")
            values = as_numbers(row.get("tokens_acts_list"), where=f"tokens_acts_list of {where}")
            if len(texts) != len(values):
                raise ForeignError(f"{where} has an example of {len(texts)} tokens, but {len(values)} values")
            focus = row.get("train_token_ind")
            focus = focus if isinstance(focus, int) and 0 <= focus < len(texts) else None
            yield NotedExample(latent=latent, layer=layer, texts=texts, values=values, focus=focus, group=group)
