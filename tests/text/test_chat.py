"""Conversations: every token knows its role and turn, and injected words change neither."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monoseme.core.errors import BadRowError, ConfigError
from monoseme.text import ROLES, CorpusConfig, TokenStore, Turn
from monoseme.text.chat import render, turns_of
from monoseme.text.document import role_code

TEMPLATE = "{% for m in messages %}{{ m.role }} :\n{{ m.content | trim }} .\n{% endfor %}"
SHOUTING = "{% for m in messages %}{{ m.role }} : {{ m.content | upper }}{% endfor %}"


def _jinja(template: str) -> Any:
    import jinja2

    compiled = jinja2.Template(template)
    return lambda turns: compiled.render(messages=[turn._asdict() for turn in turns])


def _corpus(folder: Path, conversations: list[Any]) -> str:
    path = folder / "chat.jsonl"
    path.write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in conversations))
    return str(path)


def _settings(source: str, **settings: Any) -> CorpusConfig:
    wanted: dict[str, Any] = {"field": "messages", "chat": "messages", "chat_template": TEMPLATE, "holdout_fraction": 0.0}
    return CorpusConfig(source=source, context_len=17, shuffle=False, **{**wanted, **settings})


def test_tokens_carry_role_and_turn(tmp_path: Path, words: Any) -> None:
    # The first turn says "user", a word that the template uses too.
    messages = [{"role": "user", "content": " user a"}, {"role": "assistant", "content": "b c"}]
    block = TokenStore.build(_settings(_corpus(tmp_path, [messages])), words).contexts("all").block(0, 1)
    text = words.convert_ids_to_tokens(block.tokens[0].tolist())
    seen = [(token, ROLES[role], turn) for token, role, turn in zip(text, block.roles[0], block.turns[0], strict=True)]
    assert seen[:15] == [
        ("<s>", "text", 0),
        ("user", "template", 0),
        (":", "template", 0),
        ("\n", "template", 0),
        ("user", "user", 0),
        ("a", "user", 0),
        (".", "template", 1),
        ("\n", "template", 1),
        ("assistant", "template", 1),
        (":", "template", 1),
        ("\n", "template", 1),
        ("b", "assistant", 1),
        ("c", "assistant", 1),
        (".", "template", 1),
        ("\n", "template", 1),
    ]
    assert block.real[0].sum() == 15


def test_only_the_roles_asked_for_pass_the_mask(tmp_path: Path, words: Any) -> None:
    messages = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b c"}]
    config = _settings(_corpus(tmp_path, [messages]), only_roles=("assistant",))
    block = TokenStore.build(config, words).contexts("all").block(0, 1)
    assert words.convert_ids_to_tokens(block.tokens[block.mask].tolist()) == ["b", "c"]


def test_a_bos_that_the_template_brings_is_not_doubled(tmp_path: Path, words: Any) -> None:
    config = _settings(_corpus(tmp_path, [[{"role": "user", "content": "a"}]]), chat_template="<s>" + TEMPLATE)
    block = TokenStore.build(config, words).contexts("all").block(0, 1)
    assert words.convert_ids_to_tokens(block.tokens[0, :4].tolist()) == ["<s>", "user", ":", "\n"]
    assert block.positions[0, :4].tolist() == [-1, 0, 1, 2]


def test_human_assistant_text_becomes_turns() -> None:
    text = "\n\nHuman: What is a?\n\nAnd b?\n\nAssistant: It is\n\nHuman: Human: c\n\nAssistant:"
    assert turns_of(text, "human_assistant") == (
        Turn("user", "What is a?\n\nAnd b?"),
        Turn("assistant", "It is"),
        Turn("user", "Human: c"),
    )
    assert turns_of("no turns here", "human_assistant") == 'has no turn that begins with "Human:" or "Assistant:"'
    assert isinstance(turns_of("\n\nHuman:", "human_assistant"), str)


@pytest.mark.parametrize("value", [[], "text", [{"role": "user"}], [{"role": "user", "content": None}], [3], None, {"a": 1}])
def test_what_is_no_conversation_is_said_so(value: Any) -> None:
    assert isinstance(turns_of(value, "messages"), str)


def test_spans_are_exact_where_contents_repeat_the_template() -> None:
    turns = [Turn("user", ":\n"), Turn("assistant", "user :\na .")]
    template = _jinja("{% for m in messages %}{{ m.role }} :\n{{ m.content }} .\n{% endfor %}")
    found = render(turns, template)
    assert found is not None
    assert [found.text[span.start : span.stop] for span in found.spans] == [turn.content for turn in turns]
    assert found.text == template(turns)


def test_a_template_that_alters_contents_is_told(tmp_path: Path, words: Any) -> None:
    assert render([Turn("user", "a")], _jinja(SHOUTING)) is None
    source = _corpus(tmp_path, [[{"role": "user", "content": "a"}], [{"role": "user", "content": "."}]])
    with pytest.warns(UserWarning, match="chat.jsonl:1: the chat template alters"):
        store = TokenStore.build(_settings(source, chat_template=SHOUTING), words)
    assert (store.n_documents, store.facts.n_bad) == (1, 1)
    with pytest.raises(BadRowError, match="alters what the turns say"):
        TokenStore.build(_settings(source, chat_template=SHOUTING, strict=True), words)


def test_without_any_template_one_is_asked_for(tmp_path: Path, words: Any) -> None:
    source = _corpus(tmp_path, [[{"role": "user", "content": "a"}]])
    with pytest.raises(ConfigError, match="no chat template"):
        TokenStore.build(_settings(source, chat_template=None), words)


def test_human_and_assistant_without_a_template_are_read_as_they_were_written(tmp_path: Path, words: Any) -> None:
    source = tmp_path / "chat.jsonl"
    source.write_text(json.dumps({"text": "\n\nHuman: a b\n\nAssistant: c"}) + "\n")
    settings = _settings(str(source), field="text", chat="human_assistant", chat_template=None)
    plain = replace(settings, chat="none")
    read, written = (TokenStore.build(config, words).document(0).tolist() for config in (settings, plain))
    assert read == written


def test_roles_have_codes() -> None:
    assert [ROLES[role_code(role)] for role in ("User", "human", "gpt", "tool", "critic", "template")] == [
        "user",
        "user",
        "assistant",
        "tool",
        "other",
        "other",
    ]


def test_real_conversations(shared: Path, words: Any) -> None:
    source = str(shared / "corpora" / "hh-rlhf" / "harmless-base-test.jsonl.gz")
    config = _settings(source, field="chosen", chat="human_assistant")
    store = TokenStore.build(config, words, max_tokens=5000)
    block = store.contexts("all").block(0, 100)
    seen = {ROLES[role] for role in block.roles[block.mask].unique().tolist()}
    assert {"user", "assistant", "template"} <= seen
    assert store.facts.n_bad == 0
