"""The loop behind `layer_sums`: one pass over the tokens, each latent's entries on a token gathered in a place of its own.

One thread: the model has the others. The totals of a stretch of one document are gathered first, and meet the bootstrap's weights
once for each site and latent: a row of replicates is some hundred bytes far from the last one, and the dearest thing here.
Letters: T tokens, L sites, F latents, M documents, R replicates.
"""

from typing import Any

import numpy as np

from monoseme.kernels._compiled import serial


@serial
def add_tokens(so_far: Any, entries: Any, document: Any, weights: Any, documents: Any, shares: Any) -> Any:
    """Adds T tokens to a `LayerSums`, `documents` [M, 5] and `shares` [L * F]; gives the sum of variances of the site's number.

    `entries` are the CSR arrays of codes [T, L, F]: latents, values, offsets.
    """
    offsets, n_layers, n_latents = entries[2], so_far.position.shape[0], so_far.tokens.shape[0]
    mass, at, number = np.zeros(n_latents), np.zeros(n_latents), np.zeros(n_latents)
    touched, n_sites = np.empty(n_latents, np.int64), np.zeros(n_latents, np.int64)
    held, filled = np.zeros(n_layers * n_latents), np.empty(n_layers * n_latents, np.int64)
    n_filled, spread = 0, 0.0
    for t in range(document.shape[0]):
        if t > 0 and document[t] != document[t - 1]:
            _hand_over(so_far.replicates, held, filled[:n_filled], weights[document[t - 1]])
            n_filled = 0
        n_touched = 0
        for site in range(n_layers):
            for e in range(offsets[t * n_layers + site], offsets[t * n_layers + site + 1]):
                j, z = entries[0][e], abs(entries[1][e])
                if n_sites[j] == 0:
                    touched[n_touched] = j
                    n_touched += 1
                mass[j] += z
                at[j] += z * so_far.position[site]
                number[j] += z * site
                n_sites[j] += 1
        of_document = documents[document[t]]
        for i in range(n_touched):
            j = touched[i]
            of_document[0] += 1
            of_document[1] += mass[j]
            of_document[3] += n_sites[j]
            of_document[4] += n_sites[j] == 1
            so_far.tokens[j] += 1
            at[j] /= mass[j]
            number[j] /= mass[j]
        for site in range(n_layers):
            for e in range(offsets[t * n_layers + site], offsets[t * n_layers + site + 1]):
                j, z = entries[0][e], abs(entries[1][e])
                place, share = site * n_latents + j, z / mass[j]
                gap, step = so_far.position[site] - at[j], site - number[j]
                of_document[2] += z * gap * gap
                so_far.spread[j] += z * gap * gap
                spread += share * step * step
                shares[place] += share
                so_far.counts[place] += 1
                so_far.totals[place] += z
                if held[place] == 0.0:
                    filled[n_filled] = place
                    n_filled += 1
                held[place] += z
        for i in range(n_touched):
            j = touched[i]
            mass[j], at[j], number[j], n_sites[j] = 0.0, 0.0, 0.0, 0
    if document.shape[0] > 0:
        _hand_over(so_far.replicates, held, filled[:n_filled], weights[document[-1]])
    return spread


@serial
def _hand_over(replicates: Any, held: Any, filled: Any, weights: Any) -> None:
    """Adds the filled places of `held` [L * F] to the replicates [L * F, R] under the document's weights [R]; clears them."""
    for i in range(filled.shape[0]):
        place = filled[i]
        row, value = replicates[place], np.float32(held[place])
        for r in range(weights.shape[0]):
            row[r] += value * weights[r]
        held[place] = 0.0
