"""Watched latents: what is told while a text is written is what a forward over the whole text gives."""

import pytest
import torch
from tests.splice.conftest import SmallSAE

from monoseme.core.errors import ConfigError
from monoseme.models import FunctionEdit, GenerationRequest, LanguageModel, Sampling, Site
from monoseme.saes.crosscoder import Crosscoder
from monoseme.saes.tfa import TFA
from monoseme.splice import Placed, Watched, latent_columns, watch
from monoseme.tensors.sparse import SparseCodes
from monoseme.testing.subject import subject_of

PROMPTS = [[1, 85, 73, 70, 263], [1, 40], [1, 77, 31]]
SITE = Site("resid_post", 1)
N_NEW = 4
LATENTS = (3, 0, 5)


def _heard(model: LanguageModel, placed: Placed, *, part: str | None = None, reads_last: bool = True, prompts=PROMPTS):
    """Values by (row, position), and the whole texts."""
    heard: list[Watched] = []
    edits = watch(placed, LATENTS, heard.append, part=part)
    sampling = Sampling(max_new_tokens=N_NEW)
    done = model.generate_steered(prompts, edits=edits, sampling=sampling, reads_last=reads_last)
    assert done == model.generate(prompts, max_new_tokens=N_NEW)  # watching changes nothing
    told = {
        (int(row), int(position)): values
        for one in heard
        for row, position, values in zip(one.row, one.position, one.values, strict=True)
    }
    return told, [g.prompt_ids + g.token_ids for g in done]


def _check(model: LanguageModel, placed: Placed, *, part: str | None = None) -> None:
    told, texts = _heard(model, placed, part=part)
    n_told = 0
    for row, ids in enumerate(texts):
        tokens = torch.tensor([ids])
        mask = model.editable(tokens)
        codes = placed.encode(model.capture(tokens, placed.inputs), mask)
        dense = placed.per_site(codes.sparse(part))[0].to_dense()[:, list(LATENTS)]
        for value, position in zip(dense, mask[0].nonzero().flatten().tolist(), strict=True):
            torch.testing.assert_close(told[row, position], value, atol=1e-4, rtol=1e-4)  # cached and whole differ by rounding
            n_told += 1
    assert n_told == len(told)


def test_values_told_while_writing_are_those_of_the_whole_text(model: LanguageModel) -> None:
    _check(model, Placed(SmallSAE(model.spec.d_model), (SITE,)))


def test_a_part_can_be_watched(llama: LanguageModel) -> None:
    _check(llama, Placed(SmallSAE(20, is_sparse=False), (SITE,)), part="odd")


def test_an_sae_of_several_sites_is_watched_at_all_of_them(llama: LanguageModel) -> None:
    sae = subject_of(Crosscoder, small=Crosscoder.Config(d_in=20, n_latents=11, n_sites=2, k=3)).build()
    _check(llama, Placed(sae, (SITE, Site("mlp_out", 2))))


def test_an_sae_of_contexts_is_watched_over_all_that_was_written(llama: LanguageModel) -> None:
    sae = subject_of(TFA, small=TFA.Config(d_in=20, n_latents=11, k=3, n_heads=1)).build()
    for part in ("novel", "predicted"):
        _check(llama, Placed(sae, (SITE,)), part=part)


def test_the_last_token_is_told_of_where_it_is_read(llama: LanguageModel) -> None:
    placed = Placed(SmallSAE(20), (SITE,))
    read, texts = _heard(llama, placed, prompts=PROMPTS[:1])
    unread, _ = _heard(llama, placed, prompts=PROMPTS[:1], reads_last=False)
    assert set(read) - set(unread) == {(0, len(texts[0]) - 1)}


def test_what_is_not_there_cannot_be_watched() -> None:
    placed = Placed(SmallSAE(20), (SITE,))
    with pytest.raises(ConfigError, match="no latent 31 to watch"):
        watch(placed, [31], lambda _: None)
    with pytest.raises(ConfigError, match=r"no codes at mlp_out.0"):
        watch(placed, [3], lambda _: None, code_site=Site("mlp_out", 0))


def test_columns_of_a_code_are_those_of_the_dense_one() -> None:
    dense = torch.tensor([[0.0, 2.0, 0.0, -1.0], [0.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.5]])
    assert torch.equal(latent_columns(SparseCodes.from_dense(dense), [3, 2, 0]), dense[:, [3, 2, 0]])


def test_requests_that_are_written_together_share_one_encode_and_hear_of_their_own_rows(llama: LanguageModel) -> None:
    sae = SmallSAE(20)
    n_rows: list[int] = []

    class Counted(Placed):
        def encode(self, activations, mask):
            n_rows.append(int(mask.sum()))
            return super().encode(activations, mask)

    def begun(prompts, latents, edits=()):
        heard: list[Watched] = []
        watching = watch(Counted(sae, (SITE,)), latents, heard.append)
        request = GenerationRequest(prompts, Sampling(max_new_tokens=N_NEW), (*watching, *edits), reads_last=True)
        return request, heard

    def facts(heard: list[Watched]) -> torch.Tensor:
        return torch.cat([torch.cat([torch.stack([h.row, h.position], 1).float(), h.values], 1) for h in heard])

    doubled = FunctionEdit(SITE, lambda x, _: x * 2)
    asked = [(PROMPTS, (3, 0)), (PROMPTS[1:], (5,), (doubled,)), (PROMPTS[:2], (0, 7))]
    alone = [begun(*each) for each in asked]
    for request, _ in alone:
        llama.generate_steered(request.prompts, sampling=request.sampling, edits=request.edits, reads_last=True)
    n_rows.clear()
    generating, together = llama.generating(), [begun(*each) for each in asked]
    unwatched = GenerationRequest(PROMPTS, Sampling(max_new_tokens=N_NEW))
    for request in (unwatched, *(request for request, _ in together)):
        generating.begin(request)
    for _ in range(N_NEW + 1):
        generating.step()
    assert n_rows[1:] == [7] * N_NEW  # one encode a step, of those who watch
    for (_, own), (_, shared) in zip(alone, together, strict=True):
        torch.testing.assert_close(facts(shared), facts(own), atol=1e-4, rtol=1e-4)


def test_an_sae_of_contexts_hears_of_each_request_what_it_would_alone(llama: LanguageModel) -> None:
    placed = Placed(subject_of(TFA, small=TFA.Config(d_in=20, n_latents=11, k=3, n_heads=1)).build(), (SITE,))
    heard: dict[int, list[Watched]] = {0: [], 1: [], 2: []}
    generating = llama.generating()
    for number, prompt in enumerate(PROMPTS):  # each begins a step later, and so has seen fewer tokens
        edits = watch(placed, LATENTS, heard[number].append, part="novel")
        generating.begin(GenerationRequest([prompt], Sampling(max_new_tokens=N_NEW), edits, reads_last=True))
        generating.step()
    while generating.n_rows:
        generating.step()
    for number, prompt in enumerate(PROMPTS):
        alone, _ = _heard(llama, placed, part="novel", prompts=[prompt])
        told = {(0, int(p)): v for one in heard[number] for p, v in zip(one.position, one.values, strict=True)}
        assert told.keys() == alone.keys()
        for place, value in alone.items():
            torch.testing.assert_close(told[place], value, atol=1e-4, rtol=1e-4)
