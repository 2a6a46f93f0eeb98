"""`monoseme plan`: the flags of the verb it plans, numbers with their origin, exit code 2 with what would fit."""

import json
from pathlib import Path

import pytest
import torch

from monoseme.cli.main import main
from monoseme.cli.plan import take_plan


def _train(model: Path, corpus: Path, *words: str) -> list[str]:
    run = ["--model", str(model), "--corpus", str(corpus), "--corpus.context_len", "32", "--stream.contexts_per_block", "8"]
    sae = ["--sae", "topk", "--sae.n_latents", "37", "--sae.k", "5", "--train.batch_size", "96", "--train.n_steps", "24"]
    return ["plan", "train", *run, *sae, *words]


def test_a_plan_without_a_probe_has_every_number_or_its_reason(
    model_folder: Path, corpus_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "a"), "--plan.no_probe", "--json"]
    assert main(_train(model_folder, corpus_file, *out)) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["fits"]
    assert set(plan["figures"]) == {"disk", "memory", "work", "speed", "time", "cost"}
    for figures in plan["figures"].values():
        for figure in figures:
            assert figure["unit"]
            assert (figure["value"] is None) == ("why_missing" in figure)
            assert (figure["value"] is None) == (figure["found"] is None)
    assert plan["figures"]["time"][-1]["why_missing"] == "the plan was made without a probe"
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_a_probed_plan_has_time_and_cost(
    model_folder: Path, corpus_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", str(tmp_path / "a"), "--plan.probe_seconds", "0.1", "--plan.price_per_hour", "7.2", "--kernel", "torch"]
    assert main(_train(model_folder, corpus_file, *words, "--json")) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    seconds, cost = figures["time"][-1], figures["cost"][0]
    assert seconds["name"] == "time"
    assert seconds["value"] == pytest.approx(sum(figure["value"] for figure in figures["time"][:-1]))
    assert cost["value"] == pytest.approx(seconds["value"] / 3600 * 7.2)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_fit_is_refused_with_what_would(
    model_folder: Path, corpus_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = ["--sae.n_latents", "1073741824", "--plan.memory_gb", "64", "--out", str(tmp_path / "a")]
    assert main(_train(model_folder, corpus_file, *wide)) == 2
    shown = capsys.readouterr()
    assert "not enough memory" in shown.err
    flags = [line.partition(":  ")[2] for line in shown.err.splitlines() if "would fit" in line]
    fewer = next(flag for flag in flags if flag.startswith("--sae.n_latents"))
    assert any(flag.startswith("--train.latent_shards") for flag in flags)
    again = _train(model_folder, corpus_file, *wide[2:], *fewer.split(), "--plan.no_probe", "--plan.disk_gb", "1000")
    assert main(again) == 0


def test_a_device_that_is_too_small_is_refused_with_what_fits(
    model_folder: Path, corpus_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model.device", "cuda", "--sae.n_latents", "4194304", "--plan.disk_gb", "1000", "--out", str(tmp_path / "a")]
    assert main(_train(model_folder, corpus_file, *words, "--plan.memory_gb", "1.5")) == 2
    told = capsys.readouterr().err
    assert "not enough memory on cuda:0" in told
    flags = [line.partition(":  ")[2] for line in told.splitlines() if "would fit" in line]
    fewer = next(flag for flag in flags if flag.startswith("--sae.n_latents"))
    capsys.readouterr()
    assert main(_train(model_folder, corpus_file, *words, *fewer.split(), "--plan.memory_gb", "1.5", "--json")) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert any(figure["name"] == "peak memory of cuda:0" for figure in figures["memory"])
    if not torch.cuda.is_available():
        assert figures["time"][0]["why_missing"] == "there is no cuda:0 here to probe"


def test_a_full_disk_is_foreseen(
    model_folder: Path, corpus_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_train(model_folder, corpus_file, "--plan.disk_gb", "0.00001", "--out", str(tmp_path / "a"), "--json")) == 2
    shown = capsys.readouterr()
    assert not json.loads(shown.out)["fits"]
    assert "not enough disk" in shown.err
    assert "--out on a disk with" in shown.err


def test_a_store_that_does_not_fit_names_what_does(
    model_folder: Path, corpus_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", str(model_folder), "--corpus", str(corpus_file), "--corpus.context_len", "32", "--dtype", "float32"]
    out = ["--max_tokens", "5000", "--site", "resid_post.*", "--out", str(tmp_path / "a"), "--plan.disk_gb", "0.0012"]
    assert main(["plan", "capture", *words, *out]) == 2
    told = capsys.readouterr().err
    assert "not enough disk" in told
    assert "--storage.dtype int8" in told
    assert "--max_tokens" in told


def test_processes_that_shards_do_not_divide_are_refused(
    model_folder: Path, corpus_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_train(model_folder, corpus_file, "--train.latent_shards", "4", "--plan.processes", "6")) == 2
    assert "does not divide 6 processes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plan", "trian"], 'Did you mean "train"?'),
        (["plan", "--sae", "topk"], "needs a command before its flags"),
        (["plan", "train", "--sae", "topk", "--plan.processes", "0"], "plan.processes is 0"),
    ],
)
def test_wrong_words_say_what_is_allowed(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_the_words_of_the_plan_are_taken_from_those_of_the_verb() -> None:
    plan, rest = take_plan(
        ["--sae", "topk", "--plan.no_probe", "--plan.processes=8", "--plan.price_per_hour", "2.5", "--out", "a"]
    )
    assert (plan.probe, plan.processes, plan.price_per_hour) == (False, 8, 2.5)
    assert rest == ["--sae", "topk", "--out", "a"]


def test_the_table_has_a_line_for_each_number(
    model_folder: Path, corpus_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_train(model_folder, corpus_file, "--out", str(tmp_path / "a"), "--plan.no_probe")) == 0
    shown = capsys.readouterr().out
    assert "peak memory" in shown
    assert "one checkpoint" in shown
