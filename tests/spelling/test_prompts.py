"""Prompts, and where in their tokens words and answers are."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monoseme.core.errors import ConfigError, ModelError
from monoseme.models import LanguageModel
from monoseme.spelling import LETTERS, Prompter, answer_tokens, lay_out, letters_of, task_named
from monoseme.testing.models import tiny_model

_WORDS = st.text("abAB", min_size=1, max_size=3)


def _prompter(task: str = "first_letter", n_examples: int = 1, **settings: object) -> Prompter:
    words = (" cat", " dog", " Sun", "tree", " cats")
    return Prompter(task=task_named(task), examples=words, n_examples=n_examples, **settings)  # pyright: ignore


def test_a_prompt_begins_with_an_empty_line_and_ends_with_the_question():
    prompt = _prompter()(" tartan")
    first, example, question = prompt.text.split("\n")
    assert (first, question, prompt.answer) == ("", " tartan has the first letter:", " T")
    assert example.startswith((" cat has", " dog has", " Sun has", "tree has", " cats has"))
    assert prompt.text[prompt.word_start :].startswith(" tartan has")
    assert _prompter(n_examples=0)(" tartan").text == "\n tartan has the first letter:"


def test_without_the_empty_line_the_first_example_begins_the_text():
    bare, lined = (_prompter(n_examples=2, leading_newline=newline)(" tartan") for newline in (False, True))
    assert "\n" + bare.text == lined.text
    assert bare.text[bare.word_start :].startswith(" tartan has")


@settings(max_examples=40)
@given(word=_WORDS, pool=st.lists(_WORDS, min_size=1, max_size=20), n=st.integers(0, 4), seed=st.integers(0, 9))
def test_no_example_has_the_letters_of_the_word_or_of_another(word: str, pool: list[str], n: int, seed: int):
    different = {letters_of(example) for example in pool} - {letters_of(word)}
    if n >= len(pool):
        with pytest.raises(ConfigError, match="n_examples"):
            Prompter(task=task_named("spelling"), examples=tuple(pool), n_examples=n)
        return
    prompter = Prompter(task=task_named("spelling"), examples=tuple(pool), n_examples=n, seed=seed)
    if len(different) < n:
        with pytest.raises(ConfigError, match="words differ from"):
            prompter(word)
        return
    lines = prompter(word).text.split("\n")[1:-1]
    shown = [letters_of(line.partition(":")[0]) for line in lines]
    assert len(shown) == len(set(shown)) == n
    assert letters_of(word) not in shown


def test_a_words_examples_hang_on_it_and_the_seed_alone():
    assert _prompter(n_examples=3)(" tartan") == _prompter(n_examples=3)(" tartan")
    drawn = {_prompter(n_examples=3, seed=seed)(" tartan").text for seed in range(8)}
    assert len(drawn) > 1
    assert _prompter(n_examples=3)(" tartan").text.count("\n") == 4


def test_examples_without_an_answer_are_passed_over():
    prompter = Prompter(task=task_named("nth_start_4"), examples=(" cat", " dog", " tree", " house"), n_examples=2)
    assert {line.split()[0] for line in prompter(" tartan").text.split("\n")[1:-1]} == {"tree", "house"}


@pytest.mark.parametrize("with_answers", [False, True])
def test_places_are_those_of_word_and_answer(bundled: LanguageModel, with_answers: bool):
    words = [" tartan", "Hello", " the", "onomatopoeia"]
    prompts = [_prompter("spelling", n_examples=i)(word) for i, word in enumerate(words)]
    batch = lay_out(bundled, prompts, with_answers=with_answers)
    texts = [bundled.decode_tokens(row) for row in batch.tokens]
    for i, prompt in enumerate(prompts):
        first, last, start, n = (int(column[i]) for column in batch[2:])
        assert "".join(texts[i][first : last + 1]) == prompt.word
        assert texts[i][start] == ":"
        assert "".join(texts[i][start + 1 : start + 1 + n]) == (prompt.answer if with_answers else "")
        assert int(batch.real[i].sum()) == start + n + 1
        assert int(batch.tokens[i, 0]) == bundled.bos_id
    assert bool((batch.real[:, 1:] <= batch.real[:, :-1]).all()), "padding is on the right"


def test_a_space_that_is_a_token_of_its_own_is_no_part_of_the_word():
    model = tiny_model()
    batch = lay_out(model, [_prompter(n_examples=0)(" Zo")])
    tokens = model.decode_tokens(batch.tokens[0])
    assert tokens[int(batch.word_first) : int(batch.word_last) + 1] == ["Z", "o"]
    assert tokens[int(batch.word_first) - 1] == " "


def test_places_with_a_tokenizer_of_sentencepiece(shared: Path):
    model = LanguageModel.load(str(shared / "models" / "stories260K-llama"))
    for task, word in (("first_letter", " tartan"), ("spelling", "Hello"), ("contains_e", " the"), ("last_letter", " Once")):
        for newline in (True, False):
            prompt = _prompter(task, n_examples=2, leading_newline=newline)(word)
            batch = lay_out(model, [prompt], with_answers=True)
            tokens = model.decode_tokens(batch.tokens[0])
            first, last, start, n = (int(column) for column in batch[2:])
            assert "".join(tokens[first : last + 1]) == word
            assert tokens[start] == ":"
            assert "".join(tokens[start + 1 : start + 1 + n]) == prompt.answer
    with pytest.raises(ModelError, match="vocabulary has no alphabet"):
        answer_tokens(model, task_named("first_letter"))


def test_answers_begin_with_tokens_of_their_own(bundled: LanguageModel):
    tokens = answer_tokens(bundled, task_named("last_letter"))
    assert bundled.decode_tokens(tokens) == [f" {letter}" for letter in LETTERS]
    assert len(answer_tokens(bundled, task_named("contains_q"))) == 2
    with pytest.raises(ConfigError, match="no fixed set"):
        answer_tokens(bundled, task_named("spelling"))


def test_a_model_without_an_alphabet_is_refused():
    with pytest.raises(ModelError, match='"A" and "B" of first_letter begin with the same token'):
        answer_tokens(tiny_model(), task_named("first_letter"))


def test_an_answer_inside_a_token_is_refused(bundled: LanguageModel):
    whole = _prompter(n_examples=0)(" tartan")
    cut = whole._replace(text=whole.text[:-3], answer=whole.text[-3:])  # the question ends within " letter"
    with pytest.raises(ModelError, match="does not begin or end with a token of its own"):
        lay_out(bundled, [cut], with_answers=True)


def test_a_tokenizer_without_offsets_is_refused(monkeypatch: pytest.MonkeyPatch):
    model = tiny_model()
    monkeypatch.setattr(type(model.tokenizer), "is_fast", False)
    with pytest.raises(ModelError, match="a fast tokenizer"):
        lay_out(model, [_prompter()(" tartan")])


def test_no_prompts_are_an_empty_batch(bundled: LanguageModel):
    batch = lay_out(bundled, [])
    assert batch.tokens.shape == (0, 0)
    assert torch.equal(batch.word_last, torch.zeros(0, dtype=torch.int64))
