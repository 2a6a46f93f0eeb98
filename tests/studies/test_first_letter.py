"""The bench of letters reads what it says it reads, keeps it, and its words leak from no side to the other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from monoseme.core.errors import ArtifactDamagedError, ConfigError, ResumeError
from monoseme.models import LanguageModel, ModelConfig
from monoseme.probes import SPARSE, ProbeTraining
from monoseme.saes import SAE, save_sae
from monoseme.saes.mlsae import MLSAE
from monoseme.saes.tfa import TFA
from monoseme.saes.topk import TopK
from monoseme.spelling import letters_of
from monoseme.studies._first_letter.bench import FirstLetterBench
from monoseme.studies._first_letter.config import FirstLetterConfig
from monoseme.studies._first_letter.latent_probes import Labelled, enough_steps, probe_latents, read_probes, write_probes
from monoseme.studies._first_letter.reads import linear_reads
from monoseme.studies._first_letter.summary import counted, over_letters, preface

D = 192
"""Width of the bundled model, which has an alphabet; the tiny one of other tests has none."""


@pytest.fixture(scope="session")
def bundled() -> LanguageModel:
    return LanguageModel.load("bundled")


@pytest.fixture(scope="session")
def letter_saes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SAEs that learned nothing, at a place of the bundled model: of single tokens, of contexts, and of two sites."""
    folder = tmp_path_factory.mktemp("letters") / "saes"
    place = ("resid_post.1",)
    saes: dict[str, SAE] = {
        "topk": TopK(TopK.Config(d_in=D, n_latents=37, k=5, sites=place)),
        "wide": TopK(TopK.Config(d_in=D, n_latents=61, k=7, sites=place, seed=1)),
        "tfa": TFA(TFA.Config(d_in=D, n_latents=24, k=3, bottleneck=2, n_heads=2, sites=place)),
        "mlsae": MLSAE(MLSAE.Config(d_in=D, n_latents=24, k=3, n_sites=2, sites=("resid_post.0", "resid_post.1"))),
    }
    for name, sae in saes.items():
        save_sae(sae, folder / name, extra_config={"site": ",".join(sae.config.sites)})
    return folder


@pytest.fixture(scope="session")
def word_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words of A, B, M and S, some in two cases; one Q, and one letter."""
    lines = (
        "apple ant arm ash autumn bear bird boat book bread milk moon mouse mud market sand sea ship sun stone street",
        "Apple BEAR queen a",
    )
    words = " ".join(lines).split()
    file = tmp_path_factory.mktemp("words") / "words.txt"
    file.write_text("\n".join(words) + "\n")
    return file


def letters_config(saes: Path, words: Path, *names: str) -> FirstLetterConfig:
    return FirstLetterConfig(
        sae=tuple(str(saes / name) for name in names),
        model=ModelConfig(model="bundled"),
        words=str(words),
        least_per_class=5,
        n_examples=2,
        probe=ProbeTraining(n_epochs=5, batch_size=8, lr=0.1),
        latent_probe=ProbeTraining(n_epochs=5, l1=0.01),
        ks=(1, 2, 3),
        batch_prompts=4,
    )


@pytest.fixture(scope="session")
def bench(
    letter_saes: Path, word_file: Path, bundled: LanguageModel, tmp_path_factory: pytest.TempPathFactory
) -> FirstLetterBench:
    config = letters_config(letter_saes, word_file, "topk", "tfa", "mlsae")
    return FirstLetterBench(config, tmp_path_factory.mktemp("letters") / "work", model=bundled)


def test_words_are_there_once_whatever_their_case_and_letters_of_too_few_are_left_out(bench: FirstLetterBench) -> None:
    assert bench.classes == ("A", "B", "M", "S")
    assert [w for w in bench.words if letters_of(w) in ("APPLE", "BEAR")] == [" apple", " bear"]
    assert len(bench.words) == 21
    assert bench.chosen.left_out["Q"] == "1 words; the least is 5"
    assert "A" not in bench.chosen.left_out
    assert bench.truth.sum(0).tolist() == [5, 5, 5, 6]


def test_no_word_of_the_test_side_is_an_example_in_any_prompt(bench: FirstLetterBench) -> None:
    tested = {letters_of(bench.words[i]) for i in bench.split.test}
    for word, prompt in zip(bench.words, bench.prompts, strict=True):
        examples = {line.split(" has ")[0].strip().upper() for line in prompt.text.strip().split("\n")[:-1]}
        assert len(examples) == 2
        assert not examples & (tested | {letters_of(word)})


def test_what_is_gathered_in_batches_is_what_each_prompt_gives_alone(bench: FirstLetterBench, bundled: LanguageModel) -> None:
    site, (topk, tfa) = bench.sites[0], bench.subjects
    for i in (0, 7, 20):
        tokens = torch.tensor([bundled.encode(bench.prompts[i].text)])
        ran = bundled.run(tokens, capture=[site])
        assert bundled.decode_tokens(tokens[0])[int(bench.batch.word_last[i])].strip() in bench.words[i]
        x = ran.captured[site][0, bench.batch.word_last[i]]
        torch.testing.assert_close(bench.activations(site)[i], x, rtol=1e-4, atol=1e-4)  # float32, other shapes of products
        wanted = topk.sae.encode(x.unsqueeze(0)).sparse().to_dense()[0]
        torch.testing.assert_close(torch.from_numpy(bench.codes(topk)[[i]].toarray()[0]), wanted, rtol=1e-3, atol=1e-3)
        mask = bundled.editable(tokens)
        wanted = tfa.sae.encode_contexts(ran.captured[site], mask).sparse().to_dense()[0, bench.batch.word_last[i]]
        torch.testing.assert_close(torch.from_numpy(bench.codes(tfa)[[i]].toarray()[0]), wanted, rtol=1e-3, atol=1e-3)
        logits = ran.logits[0, -1]
        torch.testing.assert_close(bench.answers.class_logits[i], logits[bench.answer_tokens], rtol=1e-4, atol=1e-3)
        right = bundled.encode(f"{bench.prompts[i].text} {bench.labels[i]}")[-1]
        assert bool(bench.answers.is_correct[i]) == (int(logits.argmax()) == right)


def test_an_sae_of_several_sites_is_left_out_with_the_reason(bench: FirstLetterBench, letter_saes: Path, word_file: Path) -> None:
    assert dict(bench.left_out) == {"mlsae": "it is of 2 sites; letters are probed at one"}
    with pytest.raises(ConfigError, match="no SAE is left:\n  mlsae: it is of 2 sites"):
        FirstLetterBench(letters_config(letter_saes, word_file, "mlsae"), Path("unused"))


def test_a_second_bench_measures_nothing_again_and_tells_a_damaged_file(
    bench: FirstLetterBench, bundled: LanguageModel, tmp_path: Path
) -> None:
    config = replace(bench.config, sae=bench.config.sae[:1])
    first = FirstLetterBench(config, tmp_path, model=bundled)
    found = first.latent_probes(first.subjects[0])
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    second = FirstLetterBench(config, tmp_path, model=bundled)
    assert second.latent_probes(second.subjects[0]) == found
    assert torch.equal(second.probe(second.sites[0]).weight, first.probe(first.sites[0]).weight)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == written
    (tmp_path / "asked" / "codes_0.npz").write_bytes(b"cut")
    with pytest.raises(ArtifactDamagedError, match="--resume"):
        FirstLetterBench(config, tmp_path, model=bundled).codes(second.subjects[0])


def test_what_was_measured_of_other_words_or_saes_is_not_gone_on_with(
    bench: FirstLetterBench, bundled: LanguageModel, tmp_path: Path
) -> None:
    config = replace(bench.config, sae=bench.config.sae[:1])
    first = FirstLetterBench(config, tmp_path, model=bundled)
    assert len(first.activations(first.sites[0])) == 21
    for other, told in (
        (replace(config, n_words=20, least_per_class=4), "other words than"),
        (bench.config, "other SAEs than|other SAEs and sites than"),
    ):
        with pytest.raises(ResumeError, match=told):
            _ = FirstLetterBench(other, tmp_path, model=bundled).answers


@pytest.mark.parametrize("selection", ["l1", "mean_difference", "probe_weight"])
def test_latents_are_chosen_as_asked_and_their_probes_come_back_from_the_file(
    bench: FirstLetterBench, selection: str, tmp_path: Path
) -> None:
    topk = bench.subjects[0]
    config = replace(bench.config, selection=selection)  # pyright: ignore[reportArgumentType]
    data = Labelled(bench.codes(topk), bench.truth, bench.classes, bench.split)
    found = probe_latents(data, config, probe=bench.probe(bench.sites[0]), directions=bench.directions(topk))
    write_probes(tmp_path / "probes.json", found)
    assert read_probes(tmp_path / "probes.json") == found
    each = found.classes["S"]
    assert len(each.order) == 3
    assert list(each.selected_by) == sorted(each.selected_by, reverse=True)
    assert each.probes[2].latents == each.order[:2]
    assert each.split.latents == each.order[: len(each.split.latents)]
    if selection == "mean_difference":
        codes = bench.codes(topk)[bench.split.train].toarray().astype(np.float64)
        is_s = bench.truth[bench.split.train, bench.classes.index("S")]
        wanted = codes[is_s].mean(0) - codes[~is_s].mean(0)
        assert each.selected_by == pytest.approx(tuple(sorted(wanted, reverse=True)[:3]), abs=1e-6)
    if selection == "probe_weight":
        direction = bench.probe(bench.sites[0]).direction("S").double()
        cosines = torch.from_numpy(bench.directions(topk)) @ (direction / direction.norm())
        assert each.selected_by == pytest.approx(cosines.sort(descending=True).values[:3].tolist(), abs=1e-9)


def test_an_encoder_is_read_off_only_where_codes_are_a_straight_line_of_it(bench: FirstLetterBench) -> None:
    topk, tfa = bench.subjects
    x = bench.activations(bench.sites[0]).numpy()
    found = linear_reads(topk.sae, x, bench.codes(topk)).directions
    np.testing.assert_allclose(found, topk.sae.W_enc.detach().double().numpy().T)
    bent = sp.csr_array(bench.codes(topk).power(2))
    assert linear_reads(topk.sae, x, bent).why_not == "its codes are no linear reading of single activations"
    assert linear_reads(tfa.sae, x, bench.codes(tfa)).why_not == "its encoder is not one matrix of activations and latents"


def test_the_preface_says_what_the_model_cannot_do(bench: FirstLetterBench) -> None:
    text = preface(bench)
    assert "21 words were put to bundled" in text
    assert "**This model does not answer the question.**" in text
    assert "mlsae (it is of 2 sites" in text
    assert "Q (1 words" in text
    none_good = FirstLetterBench(replace(bench.config, least_probe_f1=1.0), bench.work, model=bench.model)
    assert counted(none_good, none_good.subjects[0]) == []
    assert "nothing can be said of latents" in preface(none_good)


def test_intervals_over_letters_stay_among_the_letters() -> None:
    found = over_letters([0.0, 0.0, 0.1, 1.0, None])
    assert found is not None
    assert found.value == pytest.approx(0.275)
    assert found.low is not None
    assert found.high is not None
    assert 0.0 <= found.low < 0.275 < found.high <= 1.0
    few = over_letters([0.5, 0.7])
    assert few is not None
    assert (few.low, few.why_missing) == (None, "only 2 letters have a value")
    assert over_letters([None]) is None


def test_settings_that_cannot_be_say_why(letter_saes: Path, word_file: Path, bundled: LanguageModel, tmp_path: Path) -> None:
    config = letters_config(letter_saes, word_file, "topk")
    for wrong, told in (
        ({"task": "spelling"}, "no fixed answers"),
        ({"ks": (2, 3)}, "begin with 1"),
        ({"n_words": 0}, "n_words is 0"),
        ({"least_per_class": 1}, "least_per_class is 1"),
        ({"test_fraction": 1.0}, r"test_fraction is 1\.0"),
        ({"f1_jump": -0.1}, "f1_jump"),
    ):
        with pytest.raises(ConfigError, match=told):
            replace(config, **wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="no file of words"):
        _ = FirstLetterBench(replace(config, words="nowhere.txt"), tmp_path, model=bundled).words
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        _ = FirstLetterBench(replace(config, words=str(tmp_path / "binary.txt")), tmp_path, model=bundled).words
    with pytest.raises(ConfigError, match="0 answers of 100 words"):
        _ = FirstLetterBench(replace(config, least_per_class=100), tmp_path, model=bundled).words


def test_few_words_are_learned_from_in_small_batches() -> None:
    assert enough_steps(SPARSE, 1_000_000).batch_size == SPARSE.batch_size
    assert [enough_steps(SPARSE, n).batch_size for n in (16_000, 1_370, 7)] == [1_000, 85, 64]
