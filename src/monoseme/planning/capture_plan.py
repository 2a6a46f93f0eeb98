"""The plan of a capture: the store to the byte, memory, and the pace of the model and of the disk."""

import itertools
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from monoseme.activations.store.sizes import bytes_per_context
from monoseme.activations.store.statistics import n_sampled
from monoseme.core.config import to_dict
from monoseme.core.display import get_display
from monoseme.core.folder import is_address
from monoseme.core.memory import memory_bytes_of
from monoseme.kernels import default_choice
from monoseme.pipeline import CaptureConfig
from monoseme.planning.capture_memory import capture_memory, statistics_bytes
from monoseme.planning.capture_sizes import CaptureOutline, StoreSizes
from monoseme.planning.config import PlanConfig
from monoseme.planning.figure import Figure, amount, missing, total
from monoseme.planning.memory_table import device_peaks, free_figure, memory_table, peak_name, place, total_figures
from monoseme.planning.parts import HOST, Homes, MemoryParts
from monoseme.planning.plan import Plan, Problem
from monoseme.planning.probe import UNPROBED, ProbeResult, probed_warm
from monoseme.planning.resources import find_resources, write_speed
from monoseme.planning.run_time import cost_figures, untimed
from monoseme.planning.work import model_work
from monoseme.saes._dictionary import geometric_median
from monoseme.text.store import GROUP_TOKENS

_WARM_UP = 2
"""Blocks left out at the start."""
_READ_BYTES = 2 * 4 * GROUP_TOKENS


def plan_capture(config: CaptureConfig, out: str, plan: PlanConfig) -> Plan:
    """Everything said of the capture before it begins. Raises what its settings, its model and its text raise."""
    return _CapturePlan(config, out, plan).made()


class _CapturePlan:
    """The steps of one plan, and what they share."""

    def __init__(self, config: CaptureConfig, out: str, plan: PlanConfig) -> None:
        self._plan = plan
        self._outline = CaptureOutline(config)
        self._config = self._outline.config
        self._place = None if is_address(out) else Path(out)
        self._free = find_resources(plan, out=self._place, accelerators=Homes.of(config.model.device).accelerators)
        self._imports = float(memory_bytes_of(os.getpid()) or 0)
        self._compiling: float | None = None
        """The most that a probe held which compiled kernels first (bytes)."""

    def made(self) -> Plan:
        """Refused by an estimate, by the exact sizes, by the sums of memory; or probed."""
        outline = self._outline
        memory = self._memory(text_bytes=0.0)
        peaks = total_figures(memory)
        figures = {"memory": memory_table(memory, peaks, self._free)}
        estimate = outline.estimated_bytes()
        about = Figure(name="store", value=estimate, unit="bytes", found="estimated", note="of max_tokens in full contexts")
        problems = self._memory_problems(peaks)
        if outline.config.storage.max_bytes is None and outline.config.max_tokens is not None:
            problems += self._disk_problems(about, slack=0.9)  # what is far too large need not be tokenised
        if problems:
            return Plan(verb="capture", figures={"disk": [about], **figures}, problems=tuple(problems))
        sizes = outline.sizes()
        problems = self._disk_problems(self._store(sizes, {}))
        if problems:
            return Plan(verb="capture", figures={"disk": self._disk(sizes, None), **figures}, problems=tuple(problems))
        return self._probed(figures)

    def _probed(self, figures: dict[str, list[Figure]]) -> Plan:
        result = self._probe() if self._plan.probe else ProbeResult(None, None, UNPROBED)
        thresholds = None if result.facts is None else result.facts["sink_thresholds"]
        sizes = self._outline.sizes(thresholds)
        memory = self._memory(text_bytes=self._outline.text.memory_bytes)
        peaks = total_figures(memory) | self._measured_peaks(result)
        figures = {
            "disk": self._disk(sizes, thresholds),
            "memory": memory_table(memory, peaks, self._free, compiling=self._compiling),
            "work": self._work(sizes.n_tokens),
            **self._times(sizes, result),
        }
        problems, remarks = self._memory_problems(peaks), self._remarks(sizes)
        return Plan(verb="capture", figures=figures, problems=tuple(problems), remarks=tuple(remarks))

    def _probe(self) -> ProbeResult:
        absent = self._free.absent
        if absent:
            return ProbeResult(None, None, f"there is no {absent} here to probe")
        get_display().say(f"probing: the first blocks, about {self._plan.probe_seconds:g} s")
        task = {"verb": "capture", "config": to_dict(self._config), "kernels": default_choice()}
        beside = self._place or Path("activations")
        result, self._compiling = probed_warm({**task, "seconds": self._plan.probe_seconds}, beside=beside)
        return result

    def _store(self, sizes: StoreSizes, thresholds: Mapping[str, float | None] | None) -> Figure:
        exact = self._outline.text.whole and (thresholds is not None or not self._config.drop_sinks)
        note = f"{sizes.n_shards:,} shards, {sizes.n_tokens:,} tokens; every file with a checksum in the manifest"
        if not self._outline.text.whole:
            note = f"of the first {sizes.n_tokens:,} tokens alone: the corpus goes on"
        elif not exact:
            note += "; the index holds thresholds that only a probe knows, so it is some bytes off"
        return Figure(name="store", value=sizes.n_bytes, unit="bytes", found="exact" if exact else "estimated", note=note)

    def _disk(self, sizes: StoreSizes, thresholds: Mapping[str, float | None] | None) -> list[Figure]:
        store = self._store(sizes, thresholds)
        dtype, found = self._config.storage.dtype, "exact" if self._outline.text.whole else "estimated"
        named = [
            ("vectors", sizes.site_bytes, f"{len(self._outline.sites)} sites in {dtype}, with the length of each vector"),
            ("text", sizes.text_bytes, "token ids, documents, positions"),
            ("statistics", sizes.statistics_bytes, "of each shard, and of the store"),
            ("records", sizes.record_bytes, "of the shards"),
        ]
        figures = [Figure(name=name, value=value, unit="bytes", found=found, note=note) for name, value, note in named]
        index = Figure(name="index", value=sizes.index_bytes, unit="bytes", found=store.found, note="what a reader opens first")
        return [*figures, index, store, free_figure("free disk", self._free.disk, "where --out lies")]

    def _memory(self, *, text_bytes: float) -> dict[str, MemoryParts]:
        return capture_memory(self._outline, imports_bytes=self._imports, text_bytes=text_bytes)

    def _measured_peaks(self, result: ProbeResult) -> dict[str, Figure]:
        """The probe's own; on the machine also what it held when stopped with the end of a capture, and text not yet read."""
        facts = result.facts
        if facts is None:
            return {}
        found = device_peaks(facts)
        if result.peak_bytes is not None:
            ended = (facts["stop_memory_bytes"] or 0.0) + statistics_bytes(self._outline)
            value = result.peak_bytes if facts["finished"] else max(result.peak_bytes, ended)
            value += max(0.0, self._outline.text.memory_bytes - _READ_BYTES)
            note = f"the probe held {amount(result.peak_bytes, 'bytes')}; text and the end are added"
            found[HOST] = Figure(name=peak_name(HOST), value=value, unit="bytes", found="measured", note=note)
        return found

    def _work(self, n_tokens: int) -> list[Figure]:
        outline = self._outline
        each = model_work(outline.model, outline.sites, context_len=self._config.corpus.context_len).to_deepest_site
        note = "2 for each parameter up to the deepest site, 4 S H for attention"
        return [
            Figure(name="model, a token", value=each, unit="FLOP", found="computed", note=note),
            Figure(name="the run", value=each * n_tokens, unit="FLOP", found="computed", note=f"{n_tokens:,} tokens"),
        ]

    def _times(self, sizes: StoreSizes, result: ProbeResult) -> dict[str, list[Figure]]:
        """Speed, time and cost; processes divide the shards."""
        if result.facts is None:
            return untimed(result.why_missing, self._plan)
        facts, n = result.facts, self._plan.processes
        rate = capture_rate(facts["marks"])
        found = "measured" if n == 1 else "estimated"
        disk = self._disk_speed()
        written = None if disk.value is None else sizes.n_bytes / disk.value
        modelled = sizes.n_tokens / rate / n
        slower = modelled if written is None else max(modelled, written)
        text = self._outline.text
        pace = "the disk sets the pace" if slower > modelled else "the model sets the pace; the disk keeps up"
        unread = text.seconds * max(0.0, 1 - GROUP_TOKENS / max(1, text.n_tokens))
        parts = [
            _timed("loading", facts["began"], "imports, model, first text"),
            Figure(name="capturing", value=slower, unit="seconds", found=found, note=pace),
            _timed("text", unread, "tokenising beyond the first million"),
            _timed("the end", self._end(facts), "the last shards, and the geometric medians"),
        ]
        time = total("time", parts)
        each, whole = self._work(1)[0].value or 0.0, sizes.n_tokens / max(slower, 1e-9)
        speed = [
            Figure(name="tokens per second", value=whole, unit="tokens/s", found=found, note="while capturing"),
            Figure(name="model and statistics", value=rate, unit="tokens/s", found="measured", note="of one process"),
            disk,
            Figure(name="model, achieved", value=each * rate, unit="FLOP/s", found="measured", note="work by formula"),
        ]
        return {"speed": speed, "time": [*parts, time], "cost": cost_figures(time, self._plan)}

    def _disk_speed(self) -> Figure:
        if self._place is None:
            return missing("disk", "bytes/s", "the store lies at an address")
        return Figure(name="disk", value=write_speed(self._place), unit="bytes/s", found="measured", note="64 MB, flushed")

    def _end(self, facts: Mapping[str, Any]) -> float:
        """Writing what is left after the last block, and the medians of the sample, timed on noise of their size."""
        if facts["finished"]:
            return float(facts["rest"])
        seconds = 0.0
        for width in set(self._outline.widths.values()):
            noise = torch.randn(n_sampled(self._outline.widths), width, generator=torch.Generator().manual_seed(0))
            began = time.perf_counter()
            geometric_median(noise)
            seconds += (time.perf_counter() - began) * sum(w == width for w in self._outline.widths.values())
        return float(facts["rest"]) + seconds

    def _memory_problems(self, peaks: Mapping[str, Figure]) -> list[Problem]:
        return [self._memory_problem(device, peak) for device, peak in peaks.items() if (self._free.left(device, peak) or 0) < 0]

    def _memory_problem(self, device: str, peak: Figure) -> Problem:
        most = amount(self._free.of(device) or 0.0, "bytes")
        what = f"not enough memory{place(device)}: the capture needs {peak.text}, and there is {most}."
        return Problem(what=what, would_fit=tuple(self._smaller(device, self._free.left(device, peak) or 0.0)))

    def _smaller(self, device: str, room: float) -> list[str]:
        """Flags that free as much as is lacking; `room` is below zero."""
        config, found = self._config, list[str]()
        contexts = config.contexts_per_block
        while contexts > 1:
            contexts //= 2
            if self._freed(device, replace(config, contexts_per_block=contexts)) + room >= 0:
                found.append(f"--contexts_per_block {contexts}")
                break
        smaller = replace(config, model=replace(config.model, dtype="bfloat16"))
        if config.model.dtype == "float32" and self._freed(device, smaller) + room >= 0:
            found.append("--model.dtype bfloat16")
        return found

    def _freed(self, device: str, config: CaptureConfig) -> float:
        """By other settings, of the sum of the parts (bytes)."""
        now, then = (
            capture_memory(outline, imports_bytes=0, text_bytes=0) for outline in (self._outline, CaptureOutline(config))
        )
        return (now[device].peak.value or 0.0) - (then[device].peak.value or 0.0)

    def _disk_problems(self, store: Figure, *, slack: float = 1.0) -> list[Problem]:
        most = self._free.disk
        if most is None or store.value is None or store.value * slack <= most:
            return []
        what = f"not enough disk: the store takes {store.text}, and {amount(most, 'bytes')} are free for {self._place}."
        return [Problem(what=what, would_fit=tuple(self._less(store.value, most)))]

    def _less(self, need: float, most: float) -> list[str]:
        """Flags with which the store fits, each by itself."""
        found: list[str] = []
        widths, context = list(self._outline.widths.values()), self._config.corpus.context_len
        full = bytes_per_context(widths, self._config.storage.dtype, context)
        for dtype in ("bfloat16", "int8"):
            if need * bytes_per_context(widths, dtype, context) / full <= most and dtype != self._config.storage.dtype:
                found.append(f"--storage.dtype {dtype}")
        n_tokens = int(self._tokens(need, full) * most / need * 0.98)
        if n_tokens >= context:
            found.append(f"--max_tokens {n_tokens}")
            found.append(f"--storage.max_bytes {int(most)}")
        for n in range(len(widths) - 1, 0, -1):
            if need * bytes_per_context(widths[:n], self._config.storage.dtype, context) / full <= most:
                found.append(f"--sites {' '.join(map(str, self._outline.sites[:n]))}")
                break
        found.append("no store at all: monoseme train learns from the model as it runs")
        return [*found, f"--out on a disk with {amount(need, 'bytes')}"]

    def _tokens(self, need: float, per_context: int) -> float:
        return need / per_context * self._config.corpus.context_len

    def _remarks(self, sizes: StoreSizes) -> list[str]:
        told: list[str] = []
        if sizes.is_cut:
            told.append(f"storage.max_bytes ends the store after {sizes.n_tokens:,} tokens")
        if not self._outline.text.whole:
            told.append("the corpus was not read to its end, which only the network knows: bound it with --max_tokens")
        if self._plan.processes > 1:
            told.append(f"{self._plan.processes} processes: measured on one, shards divided without loss, one disk for all")
        return told


def _timed(name: str, seconds: float, note: str) -> Figure:
    return Figure(name=name, value=seconds, unit="seconds", found="measured", note=note)


def capture_rate(marks: list[tuple[float, int]]) -> float:
    """Tokens per second between blocks, the first ones left out: the median of fifths where there are enough, else the mean."""
    kept = marks[min(_WARM_UP, max(0, len(marks) - 2)) :]
    if len(kept) < 2:
        return kept[-1][1] / max(kept[-1][0], 1e-9)
    fifth = (len(kept) - 1) // 5
    if fifth >= 3:
        edges = [kept[i * fifth] for i in range(6)]
        return median((b[1] - a[1]) / max(b[0] - a[0], 1e-9) for a, b in itertools.pairwise(edges))
    return (kept[-1][1] - kept[0][1]) / max(kept[-1][0] - kept[0][0], 1e-9)
