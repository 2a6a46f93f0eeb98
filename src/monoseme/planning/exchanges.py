"""What the processes of a training run send each other in a step: bytes of one process, by formulas.

| what | bytes that a process sends |
|---|---|
| gradients, added up over R parts of the rows | 2 (R-1)/R of its share of the parameters, 1/L of them |
| activations, made by all N = R L and held by each | (N-1)/N of the batch's rows as the model makes them |
| reconstructions, added up over L parts of the latents, and the gradient of their error back | 4 (L-1)/L of its rows in float32 |

The k largest of all latents need only k candidates of each process, which is left out.
Letters: R parts of the rows, L parts of the latents, N processes.
"""

from monoseme.planning.outline import RunOutline
from monoseme.planning.run_time import Shares


def bytes_sent(outline: RunOutline, shares: Shares) -> float:
    """By one process in one step; zero for one that is alone."""
    rows, latents, n = shares.rows, shares.latents, shares.n
    batch = outline.config.train.batch_size
    gradients = 2 * (rows - 1) / rows * sum(job.sizes.parameter_bytes for job in outline.jobs) / latents
    activations = (n - 1) / n * batch * outline.row_bytes
    decoded = 4 * (latents - 1) / latents * batch / rows * sum(sum(job.widths) for job in outline.jobs) * 4
    return gradients + activations + decoded
