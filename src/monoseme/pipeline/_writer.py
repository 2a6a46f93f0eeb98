"""A model that writes: texts continued with edits or without, token by token, while latents are watched.

Letters: n prompts, W watched latents.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from monoseme.atlas import Target
from monoseme.models import Edit, Generation, GenerationRequest, LanguageModel, Sampling, Site, TokenEvent
from monoseme.splice import Watched, watch


class PlacedLatent(NamedTuple):
    """A latent of an SAE in its place."""

    target: Target
    """The SAE, its sites and the part of its codes."""
    number: int
    """Which of the target's keys: of the sites that have codes of their own."""
    latent: int

    @property
    def key(self) -> str:
        """What an atlas calls the SAE."""
        return self.target.keys[self.number]

    @property
    def name(self) -> str:
        """`topk:123`."""
        return f"{self.key}:{self.latent}"

    @property
    def site(self) -> Site:
        """Where its code comes from."""
        return self.target.placed.code_sites[self.number]

    @property
    def output(self) -> Site:
        """Where it writes: its own site, or the SAE's first output."""
        return self.site if self.target.sae.codes_per_site else self.target.placed.outputs[0]


class TokenValues(NamedTuple):
    """What the watched latents did on one token, told once the model has read it."""

    row: int
    """Which prompt."""
    place: int
    """Which of its tokens, those of the prompt counted too."""
    values: dict[str, float]
    """By the latents' names; those of one SAE come together."""


class Written(NamedTuple):
    """One continued prompt."""

    generation: Generation
    tokens: tuple[str, ...]
    """Display text of every token, of the prompt's and of the new ones."""
    values: dict[str, tuple[float | None, ...]]
    """Name of each watched latent -> its activation on each of `tokens`; None on special tokens, which no SAE sees."""


class Listener(NamedTuple):
    """Who hears of a text while it is written. What a listener raises ends the writing."""

    on_token: Callable[[TokenEvent], None] | None = None
    on_values: Callable[[TokenValues], None] | None = None


class Writer:
    """Continues texts."""

    def __init__(self, model: LanguageModel, *, begins_with_bos: bool = False) -> None:
        """`begins_with_bos`: whether the texts that the SAEs learned from did, so that prompts look the same to them."""
        self.model = model
        self._begins_with_bos = begins_with_bos

    def prompt_ids(self, text: str) -> list[int]:
        """The tokens of a prompt: as the tokenizer makes them, after a BOS where the SAEs know texts with one."""
        return self.begun(self.model.encode(text))

    def begun(self, ids: list[int]) -> list[int]:
        """The tokens after a BOS, where the SAEs know texts with one and they have none."""
        bos = self.model.bos_id
        return [bos, *ids] if self._begins_with_bos and bos is not None and ids[:1] != [bos] else ids

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        edits: Sequence[Edit] = (),
        watched: Sequence[PlacedLatent] = (),
        listener: Listener = Listener(),  # noqa: B008 - a value
    ) -> list[Written]:
        """Continues each prompt, all in one batch.

        A watched latent's value is what the model itself has at the SAE's site on a token: edits at earlier sites and on
        earlier tokens show in it, those at the same site and token do not. Raises ModelError for empty and too long prompts,
        SiteError, ConfigError for latents there are not.
        """
        told: dict[tuple[int, int], dict[str, float]] = {}

        def hear(heard: TokenValues) -> None:
            told.setdefault((heard.row, heard.place), {}).update(heard.values)
            if listener.on_values is not None:
                listener.on_values(heard)

        asked = self.request(prompts, sampling, edits=edits, watched=watched, listener=Listener(listener.on_token, hear))
        done = self.model.generate_steered(
            asked.prompts, sampling=sampling, edits=asked.edits, on_token=asked.on_token, reads_last=asked.reads_last
        )
        names = [latent.name for latent in watched]
        return [self._written(row, generation, names, told) for row, generation in enumerate(done)]

    def request(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        edits: Sequence[Edit] = (),
        watched: Sequence[PlacedLatent] = (),
        listener: Listener,
    ) -> GenerationRequest:
        """What `write` asks of the model, for `LanguageModel.generating`. Raises ConfigError for latents there are not."""
        hear = listener.on_values
        watching = [] if hear is None else _watching(watched, hear)
        return GenerationRequest(
            prompts=[list(prompt) for prompt in prompts],
            sampling=sampling,
            edits=(*watching, *edits),
            on_token=listener.on_token,
            reads_last=bool(watched),
        )

    def _written(
        self, row: int, generation: Generation, names: Sequence[str], told: dict[tuple[int, int], dict[str, float]]
    ) -> Written:
        ids = [*generation.prompt_ids, *generation.token_ids]
        values = {name: tuple(told.get((row, place), {}).get(name) for place in range(len(ids))) for name in names}
        return Written(generation, tuple(self.model.decode_tokens(ids)), values)


def _watching(watched: Sequence[PlacedLatent], hear: Callable[[TokenValues], None]) -> list[Edit]:
    """One set of edits for each SAE: its latents are read from one code."""
    groups: dict[str, list[PlacedLatent]] = {}
    for latent in watched:
        groups.setdefault(latent.key, []).append(latent)
    return [edit for group in groups.values() for edit in _watching_one(group, hear)]


def _watching_one(group: Sequence[PlacedLatent], hear: Callable[[TokenValues], None]) -> tuple[Edit, ...]:
    names = [latent.name for latent in group]

    def tell(heard: Watched) -> None:
        rows = zip(heard.row.tolist(), heard.position.tolist(), heard.values.float().tolist(), strict=True)
        for row, place, values in rows:
            hear(TokenValues(row, place, dict(zip(names, values, strict=True))))

    first = group[0]
    latents = [latent.latent for latent in group]
    return watch(first.target.placed, latents, tell, part=first.target.part, code_site=first.site)
