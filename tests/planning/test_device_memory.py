"""Where a run's parts lie: on the machine, with the model, with the SAEs. No accelerator is needed to say so."""

import dataclasses

import pytest

from monoseme.pipeline import RunConfig
from monoseme.planning.memory import training_memory
from monoseme.planning.memory_table import device_peaks, total_figures
from monoseme.planning.outline import RunOutline, weight_bytes
from monoseme.planning.parts import CONTEXT_BYTES, HOST, Homes, MemoryParts, Part, by_device


def _memory(config: RunConfig, device: str, sae_device: str | None) -> dict[str, MemoryParts]:
    model = dataclasses.replace(config.model, device=device)
    stream = dataclasses.replace(config.stream, sae_device=sae_device)
    changed = RunConfig.of(dataclasses.replace(config.settings, model=model, stream=stream), config.saes)
    return training_memory(RunOutline(changed), imports_bytes=1000.0, text_bytes=500.0)


def _names(parts: MemoryParts) -> set[str]:
    return {part.name for part in parts.parts}


def test_on_one_gpu_the_machine_keeps_text_and_what_is_written(config: RunConfig) -> None:
    memory = _memory(config, "cuda", None)
    assert list(memory) == [HOST, "cuda:0"]
    assert _names(memory[HOST]) == {"imports", "kernels", "text", "tokenising"}
    assert {"CUDA itself", "model weights", "blocks of the stream", "SAE weights"} <= _names(memory["cuda:0"])
    moments = 2 * RunOutline(config).jobs[0].sizes.parameter_bytes
    passing = memory[HOST].passing
    assert passing is not None
    assert (passing.name, passing.value) == ("passing: a checkpoint", moments)


def test_saes_on_a_second_gpu_leave_the_model_alone_on_the_first(config: RunConfig) -> None:
    memory = _memory(config, "cuda:0", "cuda:1")
    assert not {"SAE weights", "moments"} & _names(memory["cuda:0"])
    assert {"SAE weights", "batches at the SAEs"} <= _names(memory["cuda:1"])
    assert "model weights" not in _names(memory["cuda:1"])
    weights = memory["cuda:0"].part("model weights")
    assert weights is not None
    assert weights.value == weight_bytes(RunOutline(config).models["model"])


def test_no_part_is_lost_or_counted_twice(config: RunConfig) -> None:
    def standing(device: str, saes: str | None) -> float:
        memory = _memory(config, device, saes)
        kept = [part for parts in memory.values() for part in parts.parts if part.name not in _OF_PLACE]
        return sum(part.value or 0.0 for part in kept)

    # moments and scores count only where more passes later than the sample takes, which differs between devices
    assert standing("cuda:0", "cuda:1") == standing("cuda:0", None)


_OF_PLACE = {"CUDA itself", "batches at the SAEs", "moments", "gradients", "bfloat16 copies", "scores of latents"}


def test_the_peak_of_a_device_is_named_and_called_computed(config: RunConfig) -> None:
    peak = total_figures(_memory(config, "cuda", None))["cuda:0"]
    assert (peak.name, peak.note) == ("peak memory of cuda:0", "computed, not measured here")


def test_a_probe_that_ran_there_takes_the_place_of_the_sum() -> None:
    found = device_peaks({"device_peaks": {"cuda:1": 7e6}})
    assert found["cuda:1"].value == 7e6 + CONTEXT_BYTES
    assert found["cuda:1"].found == "measured"


def test_of_what_passes_the_largest_counts() -> None:
    standing, learning = [Part("a", 3.0, "host", "")], [Part("b", 5.0, "host", "")]
    passing = [Part("c", 7.0, "host", ""), Part("d", 11.0, "host", "")]
    homes = Homes.of("cpu")
    late = by_device(homes, standing, learning=learning, passing=passing, early=[Part("e", 13.0, "host", "")])
    early = by_device(homes, standing, learning=learning, passing=passing, early=[Part("e", 17.0, "host", "")])
    assert late[HOST].peak.value == 3 + 5 + 11
    assert early[HOST].peak.value == 3 + 17


@pytest.mark.parametrize(
    ("model", "saes", "expected"),
    [
        ("cpu", None, ("cpu", "cpu")),
        ("cuda", "cuda:0", ("cuda:0", "cuda:0")),
        ("mps", None, ("cpu", "cpu")),
        ("cuda:2", "cpu", ("cuda:2", "cpu")),
    ],
)
def test_devices_that_share_a_memory_are_one(model: str, saes: str | None, expected: tuple[str, str]) -> None:
    assert Homes.of(model, saes) == expected
