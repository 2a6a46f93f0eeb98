"""A phrase is found wherever it is written, in whatever tokens; and which latents fire there is told exactly."""

from pathlib import Path

import numpy as np
import pytest

from monoseme.atlas import Atlas, TextNames, TextStore
from monoseme.atlas.roles import RoleFilter
from monoseme.atlas.scanning.text_draft import add_text
from monoseme.atlas.search import find_phrase, latents_there
from monoseme.atlas.text_store import TextWriter, TokenGrid
from monoseme.core.errors import ConfigError

WORDS = ("a", "b", "ab", "aa", "A b", " ", "ba", "", "cat", " C", "at")


def _store(folder: Path, seed: int) -> TextStore:
    """Documents of 5 tokens packed into contexts of 13, so that segments of many lengths come about."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, len(WORDS), (17, 13))
    place = np.arange(tokens.size).reshape(tokens.shape)
    roles = rng.integers(2, 4, tokens.shape).astype(np.int8)
    grid = TokenGrid(tokens, tokens >= 0, place // 5, place % 5, place * 0, roles, np.zeros(tokens.shape, np.int16))

    def fill(writer: TextWriter) -> None:
        writer.add(grid)

    (folder / "work").mkdir(parents=True)
    return add_text(folder, fill, TextNames(texts=lambda ids: [WORDS[i] for i in ids]), scratch=folder / "work")


def _found_slowly(text: TextStore, phrase: str, *, match_case: bool) -> list[tuple[int, int]]:
    """(document, position) of the first token of every match, by joining the tokens of each segment."""
    segments: dict[int, list[int]] = {}
    for offset, end in enumerate(text.places_at(np.arange(text.n_tokens)).end.tolist()):
        segments.setdefault(end, []).append(offset)
    found = []
    for offsets in segments.values():
        texts = [WORDS[int(text.tokens[i])] if match_case else WORDS[int(text.tokens[i])].lower() for i in offsets]
        owner = [i for i, word in zip(offsets, texts, strict=True) for _ in word]
        joined, wanted = "".join(texts), phrase if match_case else phrase.lower()
        found += [owner[at] for at in range(len(joined)) if joined.startswith(wanted, at)]
    places = text.places_at(np.unique(np.array(found, dtype=np.int64)))
    return list(zip(places.document.tolist(), places.position.tolist(), strict=True))


@pytest.mark.parametrize("phrase", ["a", "ab", "aab", "bA B", " cat", "catcat", "abab", "zebra", " "])
@pytest.mark.parametrize("match_case", [False, True])
def test_matches_equal_those_in_the_joined_text(tmp_path: Path, phrase: str, match_case: bool) -> None:
    for seed in range(2):
        text = _store(tmp_path / str(seed), seed)
        found = find_phrase(text, phrase, match_case=match_case)
        places = list(zip(found.document.tolist(), found.position.tolist(), strict=True))
        assert places == _found_slowly(text, phrase, match_case=match_case)


def test_matches_can_be_kept_to_a_role(tmp_path: Path) -> None:
    text = _store(tmp_path / "text", 0)
    by_role = [find_phrase(text, "a", only=RoleFilter(roles=(role,))) for role in ("user", "system")]
    assert sorted(np.concatenate([found.offset for found in by_role]).tolist()) == find_phrase(text, "a").offset.tolist()
    assert all(len(found.offset) for found in by_role)


@pytest.mark.parametrize("phrase", ["", "a" * 1001, "a\udcff"])
def test_a_phrase_of_no_or_too_many_letters_or_of_none_is_refused(tmp_path: Path, phrase: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be searched for|not valid UTF-8"):
        find_phrase(_store(tmp_path / "text", 0), phrase)


def test_the_latents_of_a_phrase_are_those_that_fire_there(planted: Atlas) -> None:
    """Latent 0 fires on " cat" alone, latent 1 on what comes after " the": all contexts of the text are kept."""
    latents = planted.latents("topk")
    there = latents_there(latents, planted.text, find_phrase(planted.text, " cat"))
    kept = latents.kept_codes()
    assert kept is not None
    first = there.latents[0]
    cats = int((planted.text.tokens == 2).sum())
    assert (there.n_matches, there.n_with_codes, there.why_missing) == (cats, cats, None)
    assert (first.latent, first.share, first.mean_max, first.n_matches) == (0, 1.0, 2.5, cats)
    assert first.n_examples == len(planted.latent("topk", 0).top)
    after = latents_there(latents, planted.text, find_phrase(planted.text, " the dog"))
    assert after.latents[0].latent == 1
    assert after.latents[0].share == 1.0


def test_what_is_nowhere_has_no_latents(planted: Atlas) -> None:
    there = latents_there(planted.latents("topk"), planted.text, find_phrase(planted.text, "zebra"))
    assert (there.n_matches, there.latents) == (0, ())
    assert there.why_missing == "no match lies in a context whose codes were kept"
