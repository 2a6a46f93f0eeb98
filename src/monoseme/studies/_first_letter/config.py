"""Settings of studies of letters."""

from dataclasses import dataclass, field

from monoseme.core.errors import ConfigError
from monoseme.probes import SPARSE, ProbeTraining, Selection
from monoseme.probes.splitting import F1_JUMP
from monoseme.spelling import task_named
from monoseme.studies._workbench import OF_RUN, SaeStudyConfig

_KS = (*range(1, 16), 20, 50)


def _of_words() -> ProbeTraining:
    return ProbeTraining(n_epochs=50, batch_size=64, weight_decay=1e-4)


@dataclass(frozen=True, kw_only=True)
class FirstLetterConfig(SaeStudyConfig):
    """Which SAEs, on which words, and how their letters are probed."""

    task: str = "first_letter"
    """What is asked of a word: first_letter, last_letter, nth_start_2, nth_end_2, contains_e."""
    words: str | None = None
    """Text file with a word a line. None: the tokens of the model's vocabulary that are words with a space before them."""
    n_words: int | None = 10_000
    """Words at most, drawn where there are more (count). None: all."""
    min_letters: int = 2
    """Shorter words are left out (count)."""
    least_per_class: int = 10
    """Letters of fewer words are left out (count)."""
    n_examples: int = 10
    """Words with their answers before each question, from the training side (count)."""
    test_fraction: float = 0.2
    """Share of each letter's words that probes are tested on (fraction)."""
    split_seed: int = 42
    """Of the split of the words."""
    probe: ProbeTraining = field(default_factory=_of_words)
    """Training of the probe on activations; the schedule of SAEBench, whose small batches suit a few thousand words."""
    selection: Selection = "l1"
    """How the latents of sparse probes are chosen: by the signed weights of an L1 probe on all latents (l1), by the difference of
    means (mean_difference), or by the cosine of what they write with the probe on activations (probe_weight)."""
    latent_probe: ProbeTraining = SPARSE
    """Training of the L1 probe; batches are at most a sixteenth of the words."""
    zero_bias: bool = False
    """Sparse probes without a bias: they say no letter where none of their latents fires."""
    ks: tuple[int, ...] = _KS
    """Latents of sparse probes (counts)."""
    f1_jump: float = F1_JUMP
    """What another latent must add to F1 to count as one more that the letter is split into."""
    least_probe_f1: float = 0.6
    """Letters whose probe on activations has no higher F1 count in no mean: what is not in the activations cannot be asked of
    latents. As SAEBench has it."""
    batch_prompts: int = 32
    """Prompts that the model runs at once (count)."""
    seed: int = 0
    """Of the examples in prompts and of the choice of words."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.corpus.source != OF_RUN:
            raise ConfigError("corpus has no effect: words are asked about in prompts.\n  Leave it out; give words with --words.")
        if task_named(self.task).classes is None:
            raise ConfigError(
                f"the task {self.task} has no fixed answers to probe.\n  Give first_letter, last_letter or another."
            )
        for name, least in (("min_letters", 1), ("least_per_class", 2), ("n_examples", 0), ("batch_prompts", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if self.n_words is not None and self.n_words < 1:
            raise ConfigError(f"n_words is {self.n_words}; it must be at least 1, or None for all")
        if not 0 < self.test_fraction < 1:
            raise ConfigError(f"test_fraction is {self.test_fraction}; it must be between 0 and 1")
        if self.ks != tuple(sorted(set(self.ks))) or min(self.ks, default=0) != 1:
            raise ConfigError(f"ks is {self.ks}; it must begin with 1 and ascend")
        if self.f1_jump < 0:
            raise ConfigError(f"f1_jump is {self.f1_jump}; it must be at least 0")
