"""Which latents of an SAE a process holds where several share it: latent f is on rank f % size, as its latent f // size.

So each process holds as many as any other, but for one, and of each prefix of the dictionary (Matryoshka) a prefix of its own.
An SAE is made with its part alone: `on_shard` says which, while it is built.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from itertools import accumulate, pairwise
from types import MappingProxyType

from monoseme.core.errors import ConfigError
from monoseme.tensors.processes import ALONE, Group, Mesh

DICTIONARY_AXES: Mapping[str, int] = {"W_enc": 1, "b_enc": 0, "W_dec": 0, "tokens_since_fired": 0}
"""Of what `SAE.add_dictionary` and every SAE have: along which axis latents lie."""


def latent_axes(**more: int) -> Mapping[str, int]:
    """These, and further ones by name."""
    return MappingProxyType({**DICTIONARY_AXES, **more})


_shard: ContextVar[Group] = ContextVar("shard", default=ALONE)


def shard_in_force() -> Group:
    """Who divides the latents of a new SAE: nobody, or as `on_shard` says."""
    return _shard.get()


@contextlib.contextmanager
def on_shard(latents: Group) -> Iterator[None]:
    """SAEs that are made in the body hold the latents of this rank."""
    token = _shard.set(latents)
    try:
        yield
    finally:
        _shard.reset(token)


def n_here(n: int, latents: Group) -> int:
    """How many of the first n latents of the whole dictionary are on this rank."""
    return max(0, -(-(n - latents.rank) // latents.size))


def sizes_here(sizes: Sequence[int], latents: Group) -> tuple[int, ...]:
    """How many latents of each run of neighbours, given by their sizes from the first latent on, are on this rank."""
    ends = [n_here(end, latents) for end in accumulate(sizes, initial=0)]
    return tuple(stop - start for start, stop in pairwise(ends))


def check_mesh(name: str, mesh: Mesh, *, n_latents: int, refusal: str | None) -> None:
    """Raises ConfigError where the SAE called so cannot be divided so; `refusal` is what it says itself."""
    if refusal is not None:
        raise ConfigError(f"{name} cannot be divided among processes so: {refusal}")
    if n_latents < mesh.latents.size:
        raise ConfigError(
            f"n_latents is {n_latents}, which {mesh.latents.size} processes cannot divide: each needs at least one.\n"
            "  Use more latents, or fewer processes along the latents axis."
        )
