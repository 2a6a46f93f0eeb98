"""Generation with a KV cache is the full recompute, token by token; rows do not hang on one another."""

from collections.abc import Sequence

import pytest
import torch
from tokenizers import decoders

from monoseme.core.errors import ConfigError, ModelError, SiteError
from monoseme.models import EditContext, FunctionEdit, LanguageModel, Site, TokenEvent
from monoseme.models._generate import Sampling, choose
from monoseme.models._stops import StopTexts
from monoseme.testing.models import tiny_model

PROMPTS = [[1, 85, 73, 70, 263, 99, 120], [1, 40], [1, 77, 31, 200]]
"""Ragged, and with what is generated longer than the sliding windows."""
N_NEW = 8


def _recomputed(model: LanguageModel, prompt: Sequence[int], edits: Sequence[FunctionEdit] = ()) -> list[int]:
    """Greedy tokens by a whole forward for each."""
    ids = list(prompt)
    for _ in range(N_NEW):
        ids.append(int(model.run(torch.tensor([ids]), edits=edits).logits[0, -1].argmax()))
        if ids[-1] in model.end_ids:
            break
    return ids[len(prompt) :]


def push(x: torch.Tensor, context: EditContext) -> torch.Tensor:
    """Depends on place, token and mask, so that a wrong context shows."""
    shift = torch.sin(context.positions + context.tokens.float()) * context.mask
    return x + shift.unsqueeze(-1).to(x.dtype) * torch.linspace(-1, 1, x.shape[-1])


def test_cached_batch_generation_is_the_full_recompute(model: LanguageModel) -> None:
    done = model.generate(PROMPTS, max_new_tokens=N_NEW)
    assert [g.token_ids for g in done] == [_recomputed(model, p) for p in PROMPTS]
    assert [g.prompt_ids for g in done] == PROMPTS


def test_cached_batch_generation_with_edits_is_the_full_recompute(model: LanguageModel) -> None:
    edits = [FunctionEdit(Site("resid_post", 0), push), FunctionEdit(Site("mlp_out", 1), push)]
    done = model.generate(PROMPTS, edits=edits, max_new_tokens=N_NEW)
    assert [g.token_ids for g in done] == [_recomputed(model, p, edits) for p in PROMPTS]
    assert done != model.generate(PROMPTS, max_new_tokens=N_NEW)


@pytest.mark.parametrize("is_steered", [False, True])
def test_logits_of_cached_generation_are_those_of_the_full_recompute(model: LanguageModel, is_steered: bool) -> None:
    edits = [FunctionEdit(Site("resid_post", 0), push), FunctionEdit(Site("mlp_out", 1), push)] if is_steered else []
    seen: list[list[torch.Tensor]] = [[] for _ in PROMPTS]
    done = model.generate_steered(
        PROMPTS,
        edits=edits,
        steer=lambda row, logits: seen[row].append(logits) or logits,
        sampling=Sampling(max_new_tokens=N_NEW),
    )
    for prompt, generation, cached in zip(PROMPTS, done, seen, strict=True):
        whole = model.run(torch.tensor([prompt + generation.token_ids]), edits=edits).logits[0, len(prompt) - 1 : -1]
        torch.testing.assert_close(torch.stack(cached), whole, atol=1e-4, rtol=0)  # float32: sums in another order


def test_the_last_token_is_read_for_edits_that_are_to_see_it(llama: LanguageModel) -> None:
    def read(*, reads_last: bool) -> list[int]:
        widths: list[int] = []
        edit = FunctionEdit(Site("resid_pre", 0), lambda x, _: widths.append(x.shape[1]) or x)
        llama.generate_steered(PROMPTS[:1], edits=[edit], sampling=Sampling(max_new_tokens=2), reads_last=reads_last)
        return widths

    assert read(reads_last=False) == [7, 1]
    assert read(reads_last=True) == [7, 1, 1]
    with pytest.raises(ModelError, match="at most 64"):
        llama.generate_steered([[5] * 60], sampling=Sampling(max_new_tokens=5), reads_last=True)


def test_sampled_rows_do_not_hang_on_their_batch(llama: LanguageModel) -> None:
    """Row 0 of a batch draws as row 0 alone."""
    together = llama.generate(PROMPTS, max_new_tokens=N_NEW, temperature=1.0, seed=5)
    alone = llama.generate(PROMPTS[:1], max_new_tokens=N_NEW, temperature=1.0, seed=5)
    assert together[0] == alone[0]


def test_the_seed_decides(llama: LanguageModel) -> None:
    def drawn(seed: int) -> list[int]:
        return llama.generate(PROMPTS[:1], max_new_tokens=N_NEW, temperature=1.5, seed=seed)[0].token_ids

    before = torch.get_rng_state()
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert torch.equal(torch.get_rng_state(), before)  # the global generator is not touched


def test_identical_prompts_draw_different_texts(llama: LanguageModel) -> None:
    first, second = llama.generate(PROMPTS[:1] * 2, max_new_tokens=N_NEW, temperature=1.5)
    assert first.token_ids != second.token_ids


def test_draws_follow_the_distribution_and_top_p_cuts_its_tail() -> None:
    logits = torch.tensor([0.1, 0.5, 0.05, 0.35]).log()
    random = torch.Generator().manual_seed(0)
    counts = torch.bincount(torch.tensor([choose(logits, Sampling(temperature=1.0), random) for _ in range(4000)]), minlength=4)
    torch.testing.assert_close(counts / 4000, logits.exp(), atol=0.025, rtol=0)  # 3 standard errors at p = 0.5
    kept = {choose(logits, Sampling(temperature=1.0, top_p=0.84), random) for _ in range(200)}
    assert kept == {1, 3}
    assert {choose(logits, Sampling(temperature=1.0, top_p=0.3), random) for _ in range(50)} == {1}
    assert choose(logits, Sampling(temperature=0.0), random) == 1


def test_temperature_divides_the_logits() -> None:
    logits = torch.tensor([0.0, 1.0])
    random = torch.Generator().manual_seed(0)
    ones = sum(choose(logits, Sampling(temperature=0.5), random) for _ in range(4000)) / 4000
    assert ones == pytest.approx(float(torch.sigmoid(torch.tensor(2.0))), abs=0.02)


def test_tokens_are_told_as_they_come(llama: LanguageModel) -> None:
    events: list[TokenEvent] = []
    done = llama.generate(PROMPTS, max_new_tokens=N_NEW, temperature=1.0, on_token=events.append)
    for row, generation in enumerate(done):
        mine = [event for event in events if event.row == row]
        assert [event.token_id for event in mine] == generation.token_ids
        assert [event.step for event in mine] == list(range(len(mine)))
        assert generation.text.startswith("".join(event.text for event in mine))


def test_a_new_text_keeps_its_first_space_where_the_tokenizer_takes_away_that_of_a_whole_text() -> None:
    model = tiny_model("llama")
    parts = [decoders.ByteLevel(), decoders.Strip(content=" ", left=1)]
    model.tokenizer.backend_tokenizer.decoder = decoders.Sequence(parts)  # as Llama's tokenizers do
    (cat,) = model.tokenizer(" cat", add_special_tokens=False)["input_ids"]
    events: list[TokenEvent] = []
    (done,) = model.generate_steered(
        [model.encode("the")],
        sampling=Sampling(max_new_tokens=2),
        steer=lambda _, logits: torch.zeros_like(logits).index_fill(0, torch.tensor(cat), 1.0),
        on_token=events.append,
    )
    assert model.tokenizer.decode([cat]) == "cat"
    assert done.text == " cat cat"
    assert [event.text for event in events] == [" cat", " cat"]
    assert model.token_text([cat], after=model.encode("the")) == " cat"


def test_what_the_callback_raises_ends_the_generation(llama: LanguageModel, tokens: torch.Tensor) -> None:
    class Enough(Exception):
        pass

    def stop(event: TokenEvent) -> None:
        if event.step == 2:
            raise Enough

    before = llama.run(tokens).logits
    with pytest.raises(Enough):
        llama.generate(PROMPTS, max_new_tokens=N_NEW, on_token=stop, edits=[FunctionEdit(Site("mlp_in", 0), push)])
    assert torch.equal(llama.run(tokens).logits, before)  # no edit stays behind


def test_a_row_ends_at_an_end_token_while_others_go_on(llama: LanguageModel) -> None:
    def to_the_end(x: torch.Tensor, context: EditContext) -> torch.Tensor:
        """Row 1 is pushed towards token 1, the end, once two tokens are there."""
        direction = llama.unembedding()[:, 1] - llama.unembedding().mean(1)
        wants = (context.row == 1).unsqueeze(1) & (context.positions >= 3)
        return x + 1000.0 * wants.unsqueeze(-1) * direction

    done = llama.generate([PROMPTS[0], [1, 40, 50]], edits=[FunctionEdit(Site("resid_post", 2), to_the_end)], max_new_tokens=6)
    assert done[1].is_ended
    assert done[1].token_ids[-1] == 1
    assert len(done[1].token_ids) == 2
    assert "<s>" not in done[1].text
    assert not done[0].is_ended
    assert len(done[0].token_ids) == 6


def test_edits_know_prompt_from_generated_and_keep_state_per_sequence(llama: LanguageModel) -> None:
    seen: list[EditContext] = []

    def count(x: torch.Tensor, context: EditContext) -> torch.Tensor:
        seen.append(context)
        for row, state in enumerate(context.state):
            state["tokens"] = state.get("tokens", 0) + int(context.mask[row].sum())
        return x

    # Only the editing is looked at: another model may end early, this one with this prompt does not.
    done = llama.generate(PROMPTS, edits=[FunctionEdit(Site("resid_pre", 1), count)], max_new_tokens=4)
    assert not any(g.is_ended for g in done)
    assert [tuple(c.tokens.shape) for c in seen] == [(3, 7), (3, 1), (3, 1), (3, 1)]
    assert seen[0].is_prompt.all()
    assert not any(c.is_prompt.any() for c in seen[1:])
    assert seen[0].positions[1].tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert seen[1].positions.flatten().tolist() == [7, 2, 4]
    assert not seen[0].mask[1, :6].any()  # padding, then BOS
    # Everything but BOS that was read: the last new token is not.
    assert [state["tokens"] for state in seen[-1].state] == [len(p) - 1 + 3 for p in PROMPTS]
    assert seen[0].scratch is not seen[1].scratch


def test_texts_are_prompts_too(llama: LanguageModel) -> None:
    (done,) = llama.generate(["the cat sat"], max_new_tokens=3)
    assert done.prompt_ids == llama.encode("the cat sat")
    assert done.prompt_ids[0] == llama.bos_id
    assert done == llama.generate(torch.tensor([done.prompt_ids]), max_new_tokens=3)[0]


def test_nothing_to_do_is_nothing_done(llama: LanguageModel) -> None:
    assert llama.generate([]) == []
    assert llama.generate(PROMPTS[:1], max_new_tokens=0)[0].token_ids == []


_WRONG = [("temperature", -0.1), ("temperature", float("nan")), ("top_p", 0.0), ("top_p", 1.1), ("max_new_tokens", -1)]


@pytest.mark.parametrize(("setting", "value"), _WRONG)
def test_settings_out_of_range_are_refused(llama: LanguageModel, setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match=setting):
        llama.generate(PROMPTS, **{setting: value})  # pyright: ignore[reportArgumentType]


def test_empty_and_too_long_prompts_are_refused(llama: LanguageModel) -> None:
    with pytest.raises(ModelError, match="prompt 1 is empty"):
        llama.generate([[1, 2], []], max_new_tokens=5)
    with pytest.raises(ModelError, match=r"prompt 0 has 60 tokens.*at most 64"):
        llama.generate([[1] * 60], max_new_tokens=6)
    assert len(llama.generate([[5] * 60], max_new_tokens=5)[0].token_ids) <= 5


def test_an_edit_at_a_site_the_model_lacks_is_refused(llama: LanguageModel) -> None:
    with pytest.raises(SiteError):
        llama.generate(PROMPTS, edits=[FunctionEdit(Site("mlp_in", 7), push)])


def test_a_steered_choice_is_made_from_what_steering_gives(llama: LanguageModel) -> None:
    prompts = [[1, 5, 9], [1, 7]]
    sampling = Sampling(max_new_tokens=5)
    plain = llama.generate(prompts, max_new_tokens=5)
    seen: list[int] = []
    as_is = llama.generate_steered(prompts, steer=lambda row, logits: seen.append(row) or logits, sampling=sampling)
    assert as_is == plain
    assert sorted(set(seen)) == [0, 1]
    first = plain[0].token_ids[0]

    def without_first(row: int, logits: torch.Tensor) -> torch.Tensor:
        return logits.index_fill(0, torch.tensor([first]), float("-inf")) if row == 0 else logits

    steered = llama.generate_steered(prompts, steer=without_first, sampling=sampling)
    assert first not in steered[0].token_ids
    assert steered[1] == plain[1]


def test_a_stop_text_ends_a_row_and_is_left_out(llama: LanguageModel) -> None:
    (whole,) = llama.generate(PROMPTS[:1], max_new_tokens=N_NEW)
    stop = whole.text[4:7]
    events: list[TokenEvent] = []
    sampling = Sampling(max_new_tokens=N_NEW, stop=("never there", stop))
    (done,) = llama.generate_steered(PROMPTS[:1], sampling=sampling, on_token=events.append)
    assert done.is_ended
    assert done.text == whole.text[: whole.text.index(stop)]
    assert "".join(event.text for event in events) == done.text
    assert done.token_ids == whole.token_ids[: len(done.token_ids)]
    assert len(done.token_ids) < N_NEW
    assert llama.generate_steered(PROMPTS[:1], sampling=sampling) == [done]  # also where nobody listens


def test_what_may_become_a_stop_is_held_back_until_it_is_known() -> None:
    stops = StopTexts(["\nHuman:", "END"])
    assert [stops.push(piece) for piece in ("a\n", "Hu", "b", "\nHum", "an", ": x")] == [
        ("a", False),
        ("", False),
        ("\nHub", False),
        ("", False),
        ("", False),
        ("", True),
    ]
    assert stops.push("E") == ("", False)
    assert stops.rest() == "E"
    with pytest.raises(ConfigError, match="empty text"):
        Sampling(stop=("",))
