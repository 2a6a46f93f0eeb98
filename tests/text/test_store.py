"""A token store gives every token of its corpus exactly once, whole documents to one side, and the same bits each time."""

import gc
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monoseme.core.errors import ConfigError, EmptyCorpusError
from monoseme.text import CorpusConfig, TextTokenizer, TokenBlock, TokenStore
from monoseme.text import store as store_module

LETTERS = "abcdefg"


def _corpus(folder: Path, texts: list[str], **columns: list[str]) -> str:
    path = folder / "rows.jsonl"
    rows = [{"text": text, **{name: values[i] for name, values in columns.items()}} for i, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def _build(source: str, tokenizer: Any, *, max_tokens: int | None = None, group_tokens: int = 29, **config: Any) -> TokenStore:
    """A store whose groups are so small that a few lines of text make several."""
    ours = TextTokenizer(tokenizer)
    resolved = store_module._resolved(CorpusConfig(source=source, **{"context_len": 7, **config}), ours)
    return TokenStore(resolved, ours, max_tokens=max_tokens, group_tokens=group_tokens)


def _whole(plan: Any, n_contexts: int = 3) -> TokenBlock:
    blocks = [plan.block(i, n_contexts) for i in range(plan.n_blocks(n_contexts))]
    names = TokenBlock.__dataclass_fields__
    return TokenBlock(**{name: torch.cat([getattr(block, name) for block in blocks]) for name in names})


corpora = st.lists(st.lists(st.sampled_from(LETTERS), min_size=1, max_size=31).map(" ".join), min_size=1, max_size=13)


@settings(deadline=None, max_examples=40)
@given(
    texts=corpora,
    packing=st.sampled_from(["packed", "one_per_context"]),
    section_tokens=st.integers(1, 40),
    seed=st.integers(0, 3),
)
def test_every_token_is_in_one_split_exactly_once(
    texts: list[str], packing: str, section_tokens: int, seed: int, words: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = _corpus(tmp_path_factory.mktemp("corpus"), texts)
    store = _build(source, words, packing=packing, section_tokens=section_tokens, seed=seed, holdout_fraction=0.4)
    seen: list[tuple[int, int, int]] = []
    for split in ("train", "heldout"):
        if not len(store.contexts(split)):
            continue
        block = _whole(store.contexts(split))
        text = block.positions >= 0
        assert torch.equal(block.mask, text)  # all words here are known, so only BOS and padding are masked
        documents, positions = block.documents[text].tolist(), block.positions[text].tolist()
        seen += zip(documents, positions, block.tokens[text].tolist(), strict=True)
        assert {store.is_heldout(document) for document in documents} == {split == "heldout"}
        assert [store.document_source(d) for d in documents] == block.sources[text].tolist()
    expected = [(d, i, int(t)) for d in range(store.n_documents) for i, t in enumerate(store.document(d))]
    assert sorted(seen) == expected
    whole = [word for i in range(store.n_documents) for word in words.convert_ids_to_tokens(store.document(i).tolist())]
    assert whole == " ".join(texts).split()


def test_masks_hide_bos_special_tokens_and_padding(tmp_path: Path, words: Any) -> None:
    source = _corpus(tmp_path, ["a <s> b unheard c"])
    plan = _build(source, words, shuffle=False).contexts("all")
    block = plan.block(0, 1)
    assert words.convert_ids_to_tokens(block.tokens[0].tolist()) == ["<s>", "a", "<s>", "b", "<unk>", "c", "<pad>"]
    assert block.mask[0].tolist() == [False, True, False, True, False, True, False]
    assert block.real[0].tolist() == [True] * 6 + [False]
    assert block.documents[0].tolist() == [0] * 6 + [-1]
    assert block.sources[0].tolist() == [0] * 6 + [-1]
    assert block.positions[0].tolist() == [-1, 0, 1, 2, 3, 4, -1]
    shown = _build(source, words, shuffle=False, keep_special=True).contexts("all").block(0, 1)
    assert torch.equal(shown.mask, shown.real)


def test_a_block_is_the_same_whenever_and_however_it_is_asked_for(tmp_path: Path, words: Any) -> None:
    source = _corpus(tmp_path, [" ".join(LETTERS[: 1 + i % 7]) for i in range(53)])
    first, second = _build(source, words).contexts(), _build(source, words).contexts()
    last = first.n_blocks(3) - 1
    backwards = [second.block(i, 3) for i in range(last, -1, -1)]
    for i, block in enumerate(reversed(backwards)):
        assert torch.equal(block.tokens, first.block(i, 3).tokens)
    assert first.spec == second.spec
    joined = torch.cat([first.block(i, 3).tokens for i in range(last + 1)])
    assert torch.equal(first.block(1, 5).tokens, joined[5:10])
    assert not torch.equal(first.block(0, 3).tokens, _build(source, words, seed=1).contexts().block(0, 3).tokens)


def test_blocks_end_where_the_plan_does(tmp_path: Path, words: Any) -> None:
    plan = _build(_corpus(tmp_path, ["a b c d e f g"] * 11), words, shuffle=False, holdout_fraction=0.0).contexts()
    n = len(plan)
    assert (plan.has(n - 1), plan.has(n), plan.has(-1)) == (True, False, False)
    assert plan.block(0, n + 5).n_contexts == n
    with pytest.raises(IndexError):
        plan.block(1, n)
    with pytest.raises(IndexError):
        plan.block(-1, n)


def test_a_split_without_text_says_so(tmp_path: Path, words: Any) -> None:
    plan = _build(_corpus(tmp_path, ["a b c"]), words, holdout_fraction=0.0).contexts("heldout")
    assert not plan.has(0)
    with pytest.raises(EmptyCorpusError, match='side "heldout"'):
        plan.block(0, 3)


def test_short_documents_are_left_out_and_long_ones_cut(tmp_path: Path, words: Any) -> None:
    source = _corpus(tmp_path, ["a b", "a b c d e f g", "c"])
    store = _build(source, words, min_tokens=2, truncate_tokens=5, section_tokens=3)
    assert [words.decode(store.document(i).tolist()) for i in range(store.n_documents)] == ["a b", "a b", "c d e"]
    assert [store.document_row(i) for i in range(3)] == [0, 1, 1]
    assert store.facts.n_short == 1
    with pytest.raises(EmptyCorpusError, match=r"at least 9 tokens \(3 are shorter\)"):
        TokenStore.build(CorpusConfig(source=source, min_tokens=9), words)


def test_sections_keep_source_and_labels(tmp_path: Path, words: Any) -> None:
    source = _corpus(tmp_path, ["a b c d e", "f g"], author=["Ada", "Bob"])
    store = _build(source, words, section_tokens=2, group_field="author", label_fields=("author",))
    assert [store.source_names[store.document_source(i)] for i in range(4)] == ["Ada", "Ada", "Ada", "Bob"]
    assert [store.document_labels(i)["author"] for i in range(4)] == ["Ada", "Ada", "Ada", "Bob"]
    assert [len(store.document(i)) for i in range(4)] == [1, 2, 2, 2]
    with pytest.raises(IndexError):
        store.document(4)


@pytest.mark.parametrize("max_tokens", [1, 11, 29, 30, 300])
def test_max_tokens_is_exact(tmp_path: Path, words: Any, max_tokens: int) -> None:
    source = _corpus(tmp_path, ["a b c d e f g"] * 30)
    assert _build(source, words, max_tokens=max_tokens).n_tokens == min(max_tokens, 210)
    with pytest.raises(ConfigError, match="max_tokens is 0"):
        TokenStore.build(CorpusConfig(source=source), words, max_tokens=0)


def test_the_first_block_does_not_wait_for_the_last_document(tmp_path: Path, words: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    n_read = 0

    def endless(*_: Any) -> Iterator[store_module.Section]:
        nonlocal n_read
        while True:
            n_read += 1
            tokens = store_module.Tokens(np.arange(3, 10, dtype=np.uint32))
            yield store_module.Section(tokens, f"source {n_read}", {}, n_read)

    monkeypatch.setattr(store_module, "read_sections", endless)
    store = _build(_corpus(tmp_path, ["a"]), words)
    assert store.contexts().block(2, 3).n_contexts == 3
    store.close()
    # Blocks 0 to 2 are 9 contexts of 6 tokens and more than a tenth is held out; one group of 5 documents is read ahead.
    assert n_read < 40


def test_what_does_not_fit_in_memory_is_mapped_from_files(tmp_path: Path, words: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _corpus(tmp_path, [" ".join(LETTERS[: 1 + i % 7]) for i in range(53)])
    plain = _build(source, words)
    monkeypatch.setattr(store_module, "TOKENS_IN_MEMORY", 50)
    mapped = _build(source, words)
    assert mapped.content_hash == plain.content_hash
    assert [isinstance(group.tokens.ids, np.memmap) for group in mapped.groups][:3] == [False, True, True]
    assert torch.equal(mapped.contexts().block(1, 5).tokens, plain.contexts().block(1, 5).tokens)
    folder = mapped._folder
    assert folder is not None
    assert folder.is_dir()
    mapped.close()
    del mapped
    gc.collect()
    assert not folder.exists()


def test_a_store_that_is_forgotten_leaves_no_thread(tmp_path: Path, words: Any) -> None:
    store = _build(_corpus(tmp_path, ["a b c"] * 50), words)
    store.has_group(0)
    thread = next(t for t in threading.enumerate() if t.name.startswith("tokenise"))
    del store
    gc.collect()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_bos_follows_the_tokenizer_unless_asked_for(tmp_path: Path, words_without_bos: Any) -> None:
    source = _corpus(tmp_path, ["a b c"])
    block = TokenStore.build(CorpusConfig(source=source, context_len=5), words_without_bos).contexts("all").block(0, 1)
    assert block.positions[0].tolist() == [0, 1, 2, -1, -1]
    with pytest.raises(ConfigError, match="no BOS token"):
        TokenStore.build(CorpusConfig(source=source, bos="always"), words_without_bos)


def test_the_hash_tells_texts_tokenizers_and_splits_apart(tmp_path: Path, words: Any, words_without_bos: Any) -> None:
    source = _corpus(tmp_path, ["a b c", "d e"] * 10)
    base = _build(source, words)
    assert base.content_hash == _build(source, words).content_hash
    assert base.content_hash != _build(source, words, seed=1).content_hash
    assert base.content_hash != _build(source, words, max_tokens=7).content_hash
    assert base.spec["tokenizer"] != _build(source, words_without_bos).spec["tokenizer"]
    assert json.loads(json.dumps(base.spec)) == base.spec


def test_a_tokenizer_that_truncates_does_not_cut_documents(tmp_path: Path, words: Any) -> None:
    bare = type(words.backend_tokenizer).from_str(words.backend_tokenizer.to_str())
    bare.enable_truncation(3)
    bare.enable_padding(length=3)
    store = TokenStore.build(CorpusConfig(source=_corpus(tmp_path, ["a b c d e f g"])), TextTokenizer(bare, bos_id=2))
    assert len(store.document(0)) == 7
    assert bare.truncation is not None


def test_only_tokenizers_are_taken() -> None:
    with pytest.raises(ConfigError, match="not str"):
        TextTokenizer("gpt2")


def test_classic_books(shared: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(shared / "models" / "stories260K-llama"))
    source = str(shared / "corpora" / "classic_books" / "books.jsonl.zst")
    config = CorpusConfig(source=source, group_field="author", label_fields=("author", "title"))
    store = TokenStore.build(config, tokenizer, max_tokens=50_000)
    assert store.n_tokens == 50_000
    assert max(len(store.document(i)) for i in range(store.n_documents)) <= 2000
    train, heldout = store.contexts("train").block(0, 400), store.contexts("heldout").block(0, 400)
    assert not set(train.documents.unique().tolist()) & set(heldout.documents.unique().tolist()) - {-1}
    document = int(train.documents[0, 1])
    start = int(train.positions[0, 1])
    # The first token, decoded with what follows it, is a stretch of the book.
    text = tokenizer.decode(train.tokens[0, 1:20].tolist())
    assert text in tokenizer.decode(store.document(document)[start : start + 19].tolist())
    assert train.tokens[0, 0] == tokenizer.bos_token_id
