"""Requests that are written together become what each becomes alone, whenever the others come and go."""

import pytest
import torch

from monoseme.core.errors import ModelError, SiteError
from monoseme.models import EditContext, FunctionEdit, Generating, GenerationRequest, LanguageModel, Ongoing, Sampling, Site

from .test_generate import PROMPTS, push

OTHERS = [[1, 9], [1, 33, 54, 12, 86, 7, 19, 3, 250, 251, 21]]


def _requests() -> list[GenerationRequest]:
    """Different edits, lengths and seeds."""
    first = (FunctionEdit(Site("resid_post", 0), push),)
    second = (FunctionEdit(Site("mlp_out", 1), lambda x, c: push(x, c) * 2), FunctionEdit(Site("resid_post", 0), push))
    return [
        GenerationRequest(PROMPTS, Sampling(max_new_tokens=9), first),
        GenerationRequest(OTHERS, Sampling(max_new_tokens=6, temperature=1.0, seed=3), second),
        GenerationRequest(PROMPTS[1:], Sampling(max_new_tokens=7, temperature=0.7, top_p=0.9, seed=4)),
        GenerationRequest(OTHERS[:1], Sampling(max_new_tokens=5), second[:1], reads_last=True),
    ]


def _alone(model: LanguageModel, request: GenerationRequest) -> list[list[int]]:
    done = model.generate_steered(request.prompts, sampling=request.sampling, edits=request.edits)
    return [generation.token_ids for generation in done]


def _written(ongoing: Ongoing) -> list[list[int]]:
    return [generation.token_ids for generation in ongoing.results()]


def _finish(generating: Generating) -> None:
    for _ in range(40):
        generating.step()
    assert generating.n_rows == 0


def test_requests_that_come_at_different_steps_are_written_as_alone(model: LanguageModel) -> None:
    """In float32: sums in another order move no choice here."""
    generating, requests = model.generating(), _requests()
    ongoing = [generating.begin(requests[0]), generating.begin(requests[2])]
    for request in (requests[1], requests[3]):
        generating.step()
        generating.step()
        ongoing.append(generating.begin(request))
    _finish(generating)
    assert [_written(o) for o in ongoing] == [_alone(model, o.request) for o in ongoing]


def test_rows_of_plain_caches_share_one_forward(llama: LanguageModel) -> None:
    """Newcomers read their prompts, then there is one forward for all."""
    shapes: list[tuple[int, int]] = []
    generating = llama.generating()

    def note(x: torch.Tensor, context: EditContext) -> torch.Tensor:
        shapes.append((x.shape[0], x.shape[1]))
        return x

    handle = FunctionEdit(Site("resid_pre", 0), note)
    generating.begin(GenerationRequest(PROMPTS, Sampling(max_new_tokens=6), (handle,)))
    generating.step()
    other = generating.begin(GenerationRequest(OTHERS, Sampling(max_new_tokens=2)))
    calls: list[int] = []
    count = llama._forward._model.register_forward_hook(lambda *_: calls.append(1))  # pyright: ignore[reportPrivateUsage]
    try:
        generating.step()
        assert len(calls) == 2  # one for those that run, one that reads the new prompts
        generating.step()
        assert len(calls) == 3
    finally:
        count.remove()
    assert other.is_over
    # Its edits see its own rows alone, without padding for longer rows of others.
    assert shapes == [(3, 7), (3, 1), (3, 1)]


def test_a_request_that_is_cancelled_is_gone_and_the_others_do_not_notice(model: LanguageModel) -> None:
    generating, requests = model.generating(), _requests()
    ongoing = [generating.begin(request) for request in requests]
    generating.step()
    generating.step()
    ongoing[0].cancel()
    _finish(generating)
    assert [len(row) for row in _written(ongoing[0])] == [2, 2, 2]
    assert [_written(o) for o in ongoing[1:]] == [_alone(model, o.request) for o in ongoing[1:]]


def test_what_an_edit_raises_ends_its_own_request(model: LanguageModel) -> None:
    def fails(x: torch.Tensor, context: EditContext) -> torch.Tensor:
        if not bool(context.is_prompt.all()):
            raise SiteError("not here")
        return x

    generating, requests = model.generating(), _requests()
    bad = generating.begin(requests[0]._replace(edits=(FunctionEdit(Site("resid_post", 0), fails),)))
    good = generating.begin(requests[1])
    _finish(generating)
    assert str(bad.error) == "not here"
    assert (good.error, _written(good)) == (None, _alone(model, good.request))


def test_prompts_that_cannot_be_continued_are_refused_before_anything_runs(llama: LanguageModel) -> None:
    generating = llama.generating()
    with pytest.raises(ModelError, match="empty"):
        generating.begin(GenerationRequest([[]], Sampling()))
    with pytest.raises(ModelError, match="at most 64"):
        generating.begin(GenerationRequest([[5] * 70], Sampling()))
    assert generating.n_rows == 0


def test_edits_see_their_own_rows_as_a_batch_of_their_own(llama: LanguageModel) -> None:
    seen: list[tuple[tuple[int, ...], list[int]]] = []

    def note(x: torch.Tensor, context: EditContext) -> torch.Tensor:
        assert x.shape[:2] == context.tokens.shape == context.mask.shape
        seen.append((tuple(x.shape[:2]), context.row.tolist()))
        return x

    generating = llama.generating()
    generating.begin(GenerationRequest(OTHERS, Sampling(max_new_tokens=3)))
    generating.begin(GenerationRequest(PROMPTS[1:], Sampling(max_new_tokens=3), (FunctionEdit(Site("resid_pre", 0), note),)))
    generating.step()
    generating.step()
    # Neither the padding for the other's longer prompt nor its rows.
    assert seen == [((2, 4), [0, 1]), ((2, 1), [0, 1])]
