"""Conversations: what the model reads, what ends an answer, histories, and broken-off turns."""

import pytest
import torch

from monoseme.core.errors import ConfigError, ModelError
from monoseme.models import EditContext, FunctionEdit, LanguageModel, Sampling, Site
from monoseme.pipeline import Arm, ChatForm, Conversation, Listener, Session, Writer
from monoseme.testing.models import tiny_model, tiny_tokenizer
from monoseme.text.document import Turn

TEMPLATE = (
    "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<s>assistant:{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEMPLATE


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model("llama", overrides={"max_position_embeddings": 200})


def _session(model: LanguageModel, *arms: str) -> Session:
    def push(x: torch.Tensor, _: EditContext) -> torch.Tensor:
        return x + torch.linspace(-3, 3, x.shape[-1])

    edits = {"default": [], "steered": [FunctionEdit(Site("resid_post", 1), push)]}
    made = {name: Arm(edits[name], lambda text: text) for name in arms or ("default",)}
    return Session(Writer(model), None, made, ())  # pyright: ignore[reportArgumentType]  no SAE is asked for


def test_the_template_of_the_tokenizer_is_what_the_model_reads(model: LanguageModel) -> None:
    form = ChatForm(model.tokenizer, template=TEMPLATE)
    prompt = form.prompt([Turn("system", "Be kind."), Turn("user", "Hello")])
    whole = "<s>system: Be kind.\n<s>user: Hello\n<s>assistant:"
    assert prompt.ids == model.tokenizer(whole, add_special_tokens=False)["input_ids"]
    assert prompt.stop == ()
    assert not form.is_plain
    own = tiny_tokenizer()
    own.chat_template = TEMPLATE
    assert ChatForm(own).prompt([Turn("user", "Hello")]).ids == form.prompt([Turn("user", "Hello")]).ids


def test_a_template_without_a_system_message_gets_it_with_the_first_turn(model: LanguageModel) -> None:
    turns = [Turn("system", "Be kind."), Turn("user", "Hello")]
    merged = ChatForm(model.tokenizer, template=TEMPLATE).prompt([Turn("user", "Be kind.\n\nHello")])
    assert ChatForm(model.tokenizer, template=NO_SYSTEM).prompt(turns) == merged
    with pytest.raises(ConfigError, match="chat template fails"):
        ChatForm(model.tokenizer, template="{{ raise_exception('never') }}").prompt(turns)


@pytest.mark.parametrize("template", [TEMPLATE, None], ids=["template", "plain"])
def test_what_people_type_makes_no_special_token(model: LanguageModel, template: str | None) -> None:
    form = ChatForm(model.tokenizer, template=template)

    def n_special(content: str) -> int:
        return sum(token in model.special_ids for token in form.prompt([Turn("user", content)]).ids)

    assert n_special("a <s> b") == n_special("a b")
    ids = form.prompt([Turn("user", "a <s> b")]).ids
    assert "a <s> b" in model.token_text(ids)


def test_without_a_template_turns_stand_after_names_and_the_users_name_ends_an_answer(model: LanguageModel) -> None:
    form = ChatForm(model.tokenizer)
    assert form.is_plain
    prompt = form.prompt([Turn("system", "A story."), Turn("user", "Hello"), Turn("assistant", "Yes."), Turn("user", "Go on")])
    assert model.token_text(prompt.ids) == "<s>A story.\n\nHuman: Hello\n\nAssistant: Yes.\n\nHuman: Go on\n\nAssistant:"
    assert prompt.stop == ("\nHuman:",)


def test_each_arm_has_its_own_history_and_turns_repeat_with_the_seed(model: LanguageModel) -> None:
    sampling = Sampling(max_new_tokens=6, temperature=1.0, seed=3)
    form = ChatForm(model.tokenizer, template=TEMPLATE)
    first = Conversation(_session(model, "default", "steered"), form, sampling)
    answers = [first.say(text) for text in ("the cat", "the sun")]
    again = Conversation(_session(model, "default", "steered"), form, sampling)
    assert [again.say(text) for text in ("the cat", "the sun")] == answers
    alone = Conversation(_session(model), form, sampling)
    assert [alone.say(text)["default"] for text in ("the cat", "the sun")] == [each["default"] for each in answers]
    assert first.said == ("the cat", "the sun")
    for name, history in first.histories.items():
        assert [turn.content for turn in history] == ["the cat", answers[0][name].text, "the sun", answers[1][name].text]
    assert first.histories["default"] != first.histories["steered"]
    first.reset()
    assert first.say("the cat") == answers[0]


def test_a_turn_that_is_broken_off_is_taken_back(model: LanguageModel) -> None:
    conversation = Conversation(
        _session(model, "default", "steered"), ChatForm(model.tokenizer, template=TEMPLATE), Sampling(max_new_tokens=6)
    )
    conversation.say("the cat")
    before = conversation.said, dict(conversation.histories)

    def listening(name: str) -> Listener:
        def stop(_: object) -> None:
            raise KeyboardInterrupt

        return Listener(on_token=stop if name == "steered" else None)

    with pytest.raises(KeyboardInterrupt):
        conversation.say("the sun", listening)
    assert (conversation.said, conversation.histories) == before


def test_answers_end_where_the_model_reads_no_more(model: LanguageModel) -> None:
    form = ChatForm(model.tokenizer, template=TEMPLATE)
    conversation = Conversation(_session(model), form, Sampling(max_new_tokens=500))
    n_prompt = len(form.prompt([Turn("user", "a" * 150)]).ids)
    answer = conversation.say("a" * 150)["default"].written.generation
    assert answer.is_ended or len(answer.token_ids) == 200 - n_prompt
    with pytest.raises(ModelError, match=r"no room for an answer\.\n.*/reset"):
        conversation.say("b" * 150)
