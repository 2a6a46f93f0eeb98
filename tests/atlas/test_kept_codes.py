"""Kept codes: all codes of whole contexts, by token and by latent, the same for any split, kill and number of processes."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monoseme.atlas.kept_codes import KEPT_FILES, kept_file, open_kept_codes, sampled_contexts
from monoseme.atlas.scanning import kept_codes_writer
from monoseme.atlas.scanning.firings import Rows, sort_firings
from monoseme.atlas.scanning.kept_codes_writer import KeptCodesWriter, keep_codes
from monoseme.core.artifact import new_artifact, open_artifact
from monoseme.core.errors import ArtifactDamagedError, ConfigError

N_LATENTS, N_CONTEXTS, CONTEXT = 11, 13, 5


def dense_codes(seed=0):
    draw = np.random.default_rng(seed)
    codes = draw.normal(size=(N_CONTEXTS, CONTEXT, N_LATENTS)).astype(np.float32)
    codes[draw.random(codes.shape) < 0.6] = 0
    codes[3] = 0  # a context of silence
    return codes


def chunk(codes, contexts):
    """What a pass hands on of these contexts; the first token of each is masked, as a BOS is."""
    of = np.repeat(np.asarray(contexts), CONTEXT - 1)
    position = np.tile(np.arange(1, CONTEXT), len(contexts))
    rows = Rows(of // 2, position, np.arange(len(of)), of)
    row, latent = np.nonzero(codes[of, position])
    value = codes[of, position][row, latent]
    # an encoder may also hand on a code of exactly zero
    return rows, sort_firings(np.append(latent, 0), np.append(value, np.float32(0)), np.append(row, 0))


def written(folder, writer):
    with new_artifact(folder, kind="atlas", config={"n_latents": N_LATENTS}) as draft:
        writer.write(draft.folder, None)
    return open_kept_codes(open_artifact(folder))


def files(folder):
    return {name: kept_file(folder, name).read_bytes() for name in KEPT_FILES}


@pytest.fixture(autouse=True)
def small_slices(monkeypatch):
    monkeypatch.setattr(kept_codes_writer, "_SLICE", 7)


def test_sampled_contexts_are_a_function_of_seed_and_counts():
    drawn = sampled_contexts(3, 101, 17)
    assert len(drawn) == 17
    assert (np.diff(drawn) > 0).all()
    assert drawn.max() < 101
    assert (drawn == sampled_contexts(3, 101, 17)).all()
    assert (drawn != sampled_contexts(4, 101, 17)).any()
    assert set(sampled_contexts(3, 101, 11)) < set(drawn), "a smaller sample is part of a larger one"
    assert sampled_contexts(3, 5, 17).tolist() == [0, 1, 2, 3, 4]


def test_kept_codes_are_all_codes_of_the_chosen_contexts(tmp_path):
    codes, chosen = dense_codes(), np.array([1, 3, 4, 11])
    writer = KeptCodesWriter(N_LATENTS, chosen, tmp_path / "own")
    writer.add(*chunk(codes, range(7)))
    writer.add(*chunk(codes, range(7, 13)))
    kept = written(tmp_path / "latents", writer)
    dense = codes[chosen, 1:].reshape(-1, N_LATENTS)
    assert kept.n_tokens == len(dense) == 16
    assert kept.n_latents == N_LATENTS
    assert kept.ordinals.tolist() == chosen.tolist()
    assert kept.contexts.tolist() == [0, 4, 8, 12, 16]
    assert kept.context.tolist() == kept.context_of(np.arange(16)).tolist() == np.repeat(range(4), 4).tolist()
    assert kept.document.tolist() == np.repeat(chosen // 2, 4).tolist()
    assert kept.position.tolist() == [1, 2, 3, 4] * 4
    for row, expected in enumerate(dense):
        found = kept.of_token(row)
        assert found.latents.tolist() == np.nonzero(expected)[0].tolist()
        assert (found.values == expected[found.latents]).all()
    for latent, expected in enumerate(dense.T):
        found = kept.of_latent(latent)
        assert found.rows.tolist() == np.nonzero(expected)[0].tolist()
        assert (found.values == expected[found.rows]).all()


@given(cuts=st.sets(st.integers(1, N_CONTEXTS - 1)), first=st.sets(st.integers(0, N_CONTEXTS - 1)))
@settings(max_examples=20, deadline=None)
def test_any_split_over_chunks_and_processes_gives_the_same_files(tmp_path_factory, cuts, first):
    folder, codes, chosen = tmp_path_factory.mktemp("kept"), dense_codes(1), sampled_contexts(0, N_CONTEXTS, 7)
    whole = KeptCodesWriter(N_LATENTS, chosen, folder / "whole")
    whole.add(*chunk(codes, range(N_CONTEXTS)))
    parts = [KeptCodesWriter(N_LATENTS, chosen, folder / name) for name in "ab"]
    bounds = [0, *sorted(cuts), N_CONTEXTS]
    for begin, end in itertools.pairwise(bounds):
        for part, contexts in zip(parts, (first, set(range(N_CONTEXTS)) - first), strict=True):
            if contexts & set(range(begin, end)):
                part.add(*chunk(codes, sorted(contexts & set(range(begin, end)))))
    parts[1].merge(parts[0])
    for name, writer in (("one", whole), ("two", parts[1])):
        written(folder / name, writer)
    assert files(folder / "one") == files(folder / "two")


def test_a_killed_writer_goes_on_from_its_checkpoint(tmp_path):
    codes, chosen = dense_codes(2), sampled_contexts(0, N_CONTEXTS, 9)
    unbroken = KeptCodesWriter(N_LATENTS, chosen, tmp_path / "unbroken")
    killed = KeptCodesWriter(N_LATENTS, chosen, tmp_path / "killed")
    killed.checkpoint(0)
    for begin in range(0, 12, 3):
        unbroken.add(*chunk(codes, range(begin, begin + 3)))
        if begin < 6:
            killed.add(*chunk(codes, range(begin, begin + 3)))
    killed.checkpoint(1)
    killed.add(*chunk(dense_codes(5), range(9, 12)))  # what comes after a checkpoint is lost, whatever it was
    restored = KeptCodesWriter(N_LATENTS, chosen, tmp_path / "killed")
    restored.restore(0)  # at the checkpoint before the last
    restored.restore(1)
    for begin in range(6, 12, 3):
        restored.add(*chunk(codes, range(begin, begin + 3)))
    restored.checkpoint(2)
    written(tmp_path / "one", unbroken)
    written(tmp_path / "two", restored)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_writer_begun_anew_forgets_what_its_folder_held(tmp_path):
    codes = dense_codes()
    for _ in range(2):
        writer = KeptCodesWriter(N_LATENTS, np.arange(2), tmp_path / "own")
        writer.add(*chunk(codes, range(2)))
    assert written(tmp_path / "latents", writer).n_tokens == 8


def test_nothing_kept_is_no_codes(tmp_path):
    kept = written(tmp_path / "latents", KeptCodesWriter(N_LATENTS, np.arange(2), tmp_path / "own"))
    assert kept.n_tokens == 0
    assert kept.n_latents == N_LATENTS
    assert len(kept.of_latent(3).rows) == 0


def test_latents_of_before_have_no_kept_codes(tmp_path):
    with new_artifact(tmp_path / "old", kind="atlas", config={"n_latents": 3}):
        pass
    assert open_kept_codes(open_artifact(tmp_path / "old")) is None


def test_as_many_whole_contexts_are_kept_as_the_wanted_tokens_fill(tmp_path):
    for n_tokens, n_kept in ((1, 1), (14, 2), (1000, 13)):
        writer = keep_codes(n_tokens, seed=3).make(N_LATENTS, n_contexts=13, context_len=CONTEXT, scratch=tmp_path)
        assert writer.contexts.tolist() == sampled_contexts(3, 13, n_kept).tolist()
    with pytest.raises(ConfigError, match="between 1 and 1,000,000"):
        keep_codes(1_000_001, seed=3)


def test_kept_codes_that_do_not_fit_together_are_damage(tmp_path):
    writer = KeptCodesWriter(N_LATENTS, np.arange(2), tmp_path / "own")
    writer.add(*chunk(dense_codes(), range(2)))
    with new_artifact(tmp_path / "latents", kind="atlas", config={"n_latents": N_LATENTS}) as draft:
        writer.write(draft.folder, None)
        np.save(kept_file(draft.folder, "latent_rows"), np.zeros(3, np.int32))
    with pytest.raises(ArtifactDamagedError, match="do not fit together"):
        open_kept_codes(open_artifact(tmp_path / "latents"))
