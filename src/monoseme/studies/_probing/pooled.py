"""The mean over the last tokens of each example: what probes see where one token alone says too little of its document.

The papers probe the last token. A small model keeps little of a document there: where a piece of it ends in the middle of a
sentence, that token may tell nothing of the class, while the mean over the piece does.
Letters: E examples, T tokens that are pooled.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from monoseme.studies._probing.features import Gathered, gather
from monoseme.studies._probing.tasks import ProbeTask
from monoseme.studies._probing.text import Frame
from monoseme.studies._workbench import Workbench


def gather_pooled(bench: Workbench, task: ProbeTask, frame: Frame, *, n_tokens: int) -> Gathered:
    """As `gather`, with the means over each example's token and the `n_tokens` - 1 before it, as far as its excerpt goes back.

    Tokens that SAEs do not see do not count. The task must have one example for each excerpt.
    """
    return means_of_excerpts(gather(bench, with_earlier_tokens(task, n_tokens), frame), task)


def with_earlier_tokens(task: ProbeTask, n_tokens: int) -> ProbeTask:
    """The task of all T tokens that are pooled."""
    reach = np.minimum(task.token + 1, n_tokens)
    example = np.repeat(np.arange(len(reach)), reach)
    back = np.concatenate([np.arange(n) for n in reach])
    return replace(
        task, token=task.token[example] - back, **{n: getattr(task, n)[example] for n in ("excerpt", "labels", "units")}
    )


def means_of_excerpts(found: Gathered, task: ProbeTask) -> Gathered:
    """What was gathered of the T tokens, as means [E, *] over those of one excerpt, in the order of the task."""
    excerpts, row, n_of = np.unique(found.task.excerpt, return_inverse=True, return_counts=True)
    shape = (len(excerpts), len(row))
    mean: Any = sp.csr_matrix((1 / n_of[row], (row, np.arange(len(row)))), shape=shape)
    is_kept = np.isin(task.excerpt, excerpts)
    mean = mean[np.searchsorted(excerpts, task.excerpt[is_kept])]
    return replace(
        found,
        task=task.kept(is_kept),
        codes={name: sp.csr_matrix(mean @ codes, dtype=np.float32) for name, codes in found.codes.items()},
        activations={sites: np.asarray(mean @ x, dtype=np.float32) for sites, x in found.activations.items()},
        words=sp.csr_matrix(mean @ found.words, dtype=np.float32),
        n_hidden=int((~is_kept).sum()),
    )
