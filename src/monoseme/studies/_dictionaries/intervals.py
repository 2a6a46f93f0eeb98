"""How far a mean over latents would move with other latents.

The decoders are what they are: no token is drawn for them. What is a sample is the set of latents that this training found, so
latents are what is resampled. It takes them for independent, and says nothing of another text or another seed; for seeds see the
intervals over pairs of SAEs.
"""

from typing import NamedTuple

import numpy as np

from monoseme.core.seeds import derive_seed
from monoseme.studies._intervals import Interval, of_replicates


class Resampling(NamedTuple):
    """A bootstrap over latents."""

    n_replicates: int
    seed: int

    def mean(self, values: np.ndarray) -> Interval:
        """The mean of what is finite, with its percentile interval; the value is NaN where nothing is."""
        held = np.asarray(values, dtype=np.float64)
        held = held[np.isfinite(held)]
        if not len(held):
            return Interval(float("nan"), None, None, "there is no value")
        rng = np.random.default_rng(derive_seed(self.seed, "latents", len(held)))
        if np.isin(held, (0.0, 1.0)).all():  # then the mean of a resample is a binomial share: no need to draw each latent
            replicates = rng.binomial(len(held), held.mean(), self.n_replicates) / len(held)
        else:
            replicates = np.array([held[rng.integers(len(held), size=len(held))].mean() for _ in range(self.n_replicates)])
        return of_replicates(np.concatenate([[held.mean()], replicates]))
