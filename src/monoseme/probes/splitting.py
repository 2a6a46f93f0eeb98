"""Feature splitting: how many latents share one class.

Source: Chanin et al. 2024, arXiv:2409.14507, section 4, and `add_feature_splits_to_auroc_f1_df` of its code. SAEBench counts the
main latents, the original those beyond the first; both are told here.
"""

from collections.abc import Sequence
from typing import NamedTuple

F1_JUMP = 0.03
"""What another latent must add to F1 to count, as both have it."""
_NONE_YET = -100.0


class FeatureSplit(NamedTuple):
    """The main latents of a class."""

    latents: tuple[int, ...]

    @property
    def n_splits(self) -> int:
        """Latents beyond the first: 0 where the class is not split; `num_split_features` of the original, SAEBench's less 1."""
        return max(len(self.latents) - 1, 0)


def main_latents(f1s: Sequence[float | None], order: Sequence[int], *, jump: float = F1_JUMP) -> FeatureSplit:
    """The first latents of `order` as long as each raises F1 by more than `jump` above the best so far.

    `f1s[i]` is the F1 of the probe of the first i + 1 latents. The first always counts, the first that fails ends the search, and
    so does an F1 that is not defined.
    """
    best, n = _NONE_YET, 0
    for f1 in f1s[: len(order)]:
        if f1 is None or not f1 > best + jump:
            break
        best, n = f1, n + 1
    return FeatureSplit(tuple(int(latent) for latent in order[:n]))
