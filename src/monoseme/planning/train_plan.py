"""The plan of a training run: sizes first; only what fits is probed."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.memory import memory_bytes_of
from monoseme.kernels import default_choice
from monoseme.pipeline import RunConfig, run_config_to_dict
from monoseme.planning.config import PlanConfig
from monoseme.planning.disk import artifact_bytes, training_disk
from monoseme.planning.exchanges import bytes_sent
from monoseme.planning.figure import Figure, amount, missing, total
from monoseme.planning.memory import ending_bytes, training_memory
from monoseme.planning.memory_table import device_peaks, free_figure, memory_table, peak_name, place, total_figures
from monoseme.planning.outline import RunOutline
from monoseme.planning.parts import HOST, MemoryParts
from monoseme.planning.plan import Plan, Problem
from monoseme.planning.probe import UNPROBED, ProbeResult, probed_warm
from monoseme.planning.remedies import Change, disk_changes, first_fitting, memory_changes
from monoseme.planning.resources import find_resources
from monoseme.planning.run_time import Counts, Shares, cost_figures, speed_figures, training_time, untimed
from monoseme.planning.speed import training_speed
from monoseme.planning.work import model_work, sae_work

_READ_BYTES = 2 * 4 * (1 << 20)
"""Of the text that a probe has read: two groups of a million ids."""
_SHARDS = (2, 4, 8, 16, 32, 64, 128)


def plan_training(config: RunConfig, out: Path, plan: PlanConfig) -> Plan:
    """Everything said of the run before it begins. Raises what its settings, its model and its text raise."""
    return _TrainingPlan(config, out, plan).made()


class _TrainingPlan:
    """The steps of one plan, and what they share."""

    def __init__(self, config: RunConfig, out: Path, plan: PlanConfig) -> None:
        self._config, self._out, self._plan = config, out, plan
        self._outline = RunOutline(config)
        self._free = find_resources(plan, out=out, accelerators=self._outline.homes.accelerators)
        self._imports = 0.0
        self._shares = _shares(config, plan)
        self._compiling: float | None = None
        """The most that a probe held which compiled kernels first (bytes)."""

    def made(self) -> Plan:
        """Refused by its sizes, or probed."""
        _ = self._outline.jobs  # what loads classes is loaded before memory is read
        self._imports = float(memory_bytes_of(os.getpid()) or 0)
        disk = [*training_disk(self._outline), free_figure("free disk", self._free.disk, "where --out lies")]
        memory = self._parts(self._config, text_bytes=0)
        peaks = total_figures(memory)
        problems = [*self._memory_problems(peaks), *self._disk_problems(disk)]
        figures = {"disk": disk, "memory": self._memory_figures(memory, peaks), "work": self._work()}
        if problems:
            return Plan(verb="train", figures=figures, problems=tuple(problems))
        memory = self._parts(self._config, text_bytes=self._outline.text.memory_bytes)
        result = self._probe() if self._plan.probe else ProbeResult(None, None, UNPROBED)
        peaks = total_figures(memory) | self._measured_peaks(result)
        figures["memory"] = self._memory_figures(memory, peaks)
        figures |= self._times(result)
        problems = self._memory_problems(peaks)
        return Plan(verb="train", figures=figures, problems=tuple(problems), remarks=tuple(self._remarks()))

    def _parts(self, config: RunConfig, *, text_bytes: float) -> dict[str, MemoryParts]:
        outline = self._outline if config is self._config else self._outline.changed(config)
        return training_memory(outline, imports_bytes=self._imports, text_bytes=text_bytes, shards=self._shares.latents)

    def _probe(self) -> ProbeResult:
        absent = self._free.absent
        if absent:
            return ProbeResult(None, None, f"there is no {absent} here to probe")
        get_display().say(f"probing: the first steps, about {self._plan.probe_seconds:g} s")
        task = {"verb": "train", "config": run_config_to_dict(self._alone()), "kernels": default_choice()}
        result, self._compiling = probed_warm({**task, "seconds": self._plan.probe_seconds}, beside=self._out)
        return result

    def _alone(self) -> RunConfig:
        """The run as one process sees it: with its part of the latents, where they are divided."""
        n = self._shares.latents
        if n == 1:
            return self._config
        saes = tuple(dataclasses.replace(sae, n_latents=-(-sae.n_latents // n)) for sae in self._config.saes)
        train = dataclasses.replace(self._config.train, latent_shards=1)
        return RunConfig.of(dataclasses.replace(self._config.settings, train=train), saes)

    def _memory_figures(self, memory: Mapping[str, MemoryParts], peaks: Mapping[str, Figure]) -> list[Figure]:
        """For each device the table of parts, the peak, and what is free."""
        return memory_table(memory, peaks, self._free, compiling=self._compiling)

    def _measured_peaks(self, result: ProbeResult) -> dict[str, Figure]:
        """The probe's own peaks; on the machine also what it held when stopped, with the largest SAE saved, and text it had not
        read."""
        if result.facts is None:
            return {}
        found = device_peaks(result.facts)
        if result.peak_bytes is not None:
            ending = ending_bytes(self._outline.jobs, shards=self._shares.latents) if self._outline.homes.saes == HOST else 0.0
            value = max(result.peak_bytes, (result.facts["stop_memory_bytes"] or 0) + ending)
            value += max(0.0, self._outline.text.memory_bytes - _READ_BYTES)
            note = f"the probe held {amount(result.peak_bytes, 'bytes')}; text and saving are added"
            found[HOST] = Figure(name=peak_name(HOST), value=value, unit="bytes", found="measured", note=note)
        return found

    def _work(self) -> list[Figure]:
        """Of a token, and of the whole run."""
        config, n_tokens = self._config, self._config.train.steps * self._config.train.batch_size
        context = config.corpus.context_len
        model = sum(
            model_work(one, self._outline.sites_of(name), context_len=context).to_deepest_site
            for name, one in self._outline.models.items()
        )
        note = "2 for each parameter up to the deepest site, 4 S H for attention"
        figures = [Figure(name="model, a token", value=model, unit="FLOP", found="computed", note=note)]
        saes = [sae_work(job.kind, job.sizes.config, job.sizes.parameters, n_sites=len(job.sites)) for job in self._outline.jobs]
        figures.append(total("SAEs, a token", saes, note=", ".join(sorted({one.note for one in saes if one.note}))))
        each = total("a token", figures)
        if each.value is None or each.found is None:
            return [*figures, missing("the run", "FLOP", each.why_missing)]
        return [
            *figures,
            Figure(name="the run", value=each.value * n_tokens, unit="FLOP", found=each.found, note=f"{n_tokens:,} tokens"),
        ]

    def _times(self, result: ProbeResult) -> dict[str, list[Figure]]:
        """Speed, time and cost."""
        if result.facts is None:
            return untimed(result.why_missing, self._plan)
        config, speed = self._config, training_speed(result.facts)
        counts = Counts.of(config.train, validated=self._outline.is_validated)
        traffic = self._traffic()
        times = training_time(
            speed, counts, text=self._outline.text, ending_bytes=artifact_bytes(self._outline), shares=self._shares,
            traffic=traffic,
        )  # fmt: skip
        work = {figure.name: figure.value for figure in self._work()}
        flop = {
            side: None if (each := work[f"{side}, a token"]) is None else each * config.train.batch_size
            for side in ("model", "SAEs")
        }
        speeds = speed_figures(speed, shares=self._shares, traffic=traffic, flop=flop)
        return {"speed": speeds, "time": times, "cost": cost_figures(times[-1], self._plan)}

    def _traffic(self) -> float:
        """Seconds that a step's exchanges take."""
        return bytes_sent(self._outline, self._shares) / (self._plan.link_gb_per_s * 1e9)

    def _memory_problems(self, peaks: Mapping[str, Figure]) -> list[Problem]:
        """One for the machine, and one for the device that lacks most."""
        lacking = {
            device: room for device, peak in peaks.items() if (room := self._free.left(device, peak)) is not None and room < 0
        }
        worst = min(lacking, key=lambda device: (device == HOST, lacking[device]), default=HOST)
        return [self._memory_problem(device, peaks[device]) for device in lacking if device in (HOST, worst)]

    def _memory_problem(self, device: str, peak: Figure) -> Problem:
        most = self._free.of(device) or 0.0
        what = f"not enough memory{place(device)}: the run needs {peak.text}, and there is {amount(most, 'bytes')}."
        computed = self._parts(self._config, text_bytes=0)[device].peak.value or 0.0
        room = most - ((peak.value or 0.0) - computed)  # what was measured beyond the sums stays
        flags = self._fitting(memory_changes(self._config), lambda config: self._memory_need(config, device), room)
        return Problem(what=what, would_fit=(*flags, *self._more_shards(device, room)))

    def _more_shards(self, device: str, room: float) -> list[str]:
        """The fewest devices that could hold the latents among them."""
        for n in _SHARDS:
            if n > self._shares.latents:
                memory = training_memory(self._outline, imports_bytes=self._imports, text_bytes=0.0, shards=n)
                if (memory[device].peak.value or 0.0) <= room:
                    return [f"--train.latent_shards {n}, over {n} devices (torchrun --nproc-per-node {n})"]
        return []

    def _memory_need(self, config: RunConfig, device: str) -> float:
        """Of the machine; or of that accelerator which needs most, where SAEs may move to another."""
        memory = self._parts(config, text_bytes=0)
        return max(parts.peak.value or 0.0 for name, parts in memory.items() if (name == HOST) == (device == HOST))

    def _disk_need(self, config: RunConfig) -> float:
        figures = training_disk(self._outline.changed(config))
        return next(figure.value or 0.0 for figure in figures if figure.name == "disk at most")

    def _disk_problems(self, disk: list[Figure]) -> list[Problem]:
        need, most = next(figure for figure in disk if figure.name == "disk at most"), self._free.disk
        if most is None or need.value is None or need.value <= most:
            return []
        what = f"not enough disk: the run writes up to {need.text}, and {amount(most, 'bytes')} are free for {self._out}."
        larger = f"--out on a disk with {amount(need.value, 'bytes')}"
        return [Problem(what=what, would_fit=(*self._fitting(disk_changes(self._config), self._disk_need, most), larger))]

    def _fitting(self, ways: list[Iterator[Change]], need: Callable[[RunConfig], float], most: float) -> tuple[str, ...]:
        found = [first_fitting(way, need, most=most) for way in ways]
        return tuple(flag for flag in found if flag is not None)

    def _remarks(self) -> list[str]:
        """What moves the numbers later than a probe can see."""
        config, text, told = self._config, self._outline.text, list[str]()
        n_tokens = config.train.steps * config.train.batch_size
        if not text.whole:
            told.append(
                f"the corpus goes on beyond the {text.n_tokens:,} tokens read for this plan; a run reads it to its end "
                "(bound it with --stream.max_tokens)"
            )
        elif 0 < text.n_tokens < n_tokens:
            told.append(f"{n_tokens:,} tokens are {n_tokens / text.n_tokens:.1f} passes over a corpus of {text.n_tokens:,}")
        revived = [job.sizes.name for job in self._outline.jobs if job.sizes.config.dead_after_tokens < n_tokens]
        if revived:
            told.append(f"after {', '.join(revived)} has dead latents, the loss that revives them makes steps longer than here")
        if self._shares.n > 1:
            told.append(
                f"{self._shares.n} processes: measured on one, divided without loss; what they exchange over a link of "
                f"{self._plan.link_gb_per_s:g} GB/s"
            )
        return told


def _shares(config: RunConfig, plan: PlanConfig) -> Shares:
    """How the processes divide the run. Raises ConfigError where latents cannot be divided over so many."""
    latents = config.train.latent_shards
    if plan.processes % latents:
        raise ConfigError(
            f"train.latent_shards is {latents}, which does not divide {plan.processes} processes.\n"
            f"  Plan for a multiple:  --plan.processes {latents}"
        )
    return Shares(rows=plan.processes // latents, latents=latents)
