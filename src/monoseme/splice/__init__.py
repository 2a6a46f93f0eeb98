"""SAEs inside models: splices, ablations, changes of codes."""

from monoseme.splice._ablation import Ablation, mean_ablation, zero_ablation
from monoseme.splice._changes import ablate_latents, clamp_latents, latent_values, scale_latents, with_latents
from monoseme.splice._contract import SAELike, as_computed
from monoseme.splice._placed import Placed, Read, without_code
from monoseme.splice._sequences import Continues, codes_of
from monoseme.splice._splice import Change, SAEEdit, Spliced, splice
from monoseme.splice._tracked import SiteTensors, TrackedRun, run_with_saes
from monoseme.splice._watch import Watched, latent_columns, watch
from monoseme.splice._writes import written_by

__all__ = [
    "Ablation",
    "Change",
    "Continues",
    "Placed",
    "Read",
    "SAEEdit",
    "SAELike",
    "SiteTensors",
    "Spliced",
    "TrackedRun",
    "Watched",
    "ablate_latents",
    "as_computed",
    "clamp_latents",
    "codes_of",
    "latent_columns",
    "latent_values",
    "mean_ablation",
    "run_with_saes",
    "scale_latents",
    "splice",
    "watch",
    "with_latents",
    "without_code",
    "written_by",
    "zero_ablation",
]
