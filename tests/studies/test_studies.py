"""Both studies through the command line, in seconds: lists with commas, one report, a resume that needs no settings."""

import json
from pathlib import Path

import pytest

from monoseme.cli.main import main
from monoseme.core.artifact import check_artifact

_WORLD = ["--world.width", "16", "--world.n_plain", "4", "--world.n_correlated", "4", "--world.n_parents", "1"]
_WORLD += ["--world.n_hosts", "2", "--world.n_slow", "2", "--world.n_wandering", "2", "--world.contexts_per_block", "4"]


def _content(out: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert check_artifact(out / "report") == []
    capsys.readouterr()
    return json.loads((out / "report" / "report.json").read_text())


def test_the_planted_world_is_studied_and_the_study_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "s"
    flags = ["--sae", "topk,mlsae,identity,thresholded", "--n_steps", "7", "--n_latents", "32", "--n_measured", "200"]
    assert main(["study", "synthetic", "--out", str(out), *flags, *_WORLD, "--batch-size", "64", "--quiet"]) == 0
    content = _content(out, capsys)
    table = (out / "report" / "tables" / "recovery.csv").read_text()
    assert [name for name in ("topk", "mlsae", "identity") if f'"{name}"' not in table] == []
    assert '"thresholded"' in (out / "report" / "tables" / "left_out.csv").read_text()
    assert content["figures"] == ["recovery_f1", "recovery_mmcs"]
    made = (out / "work" / "measured" / "topk.json").stat().st_mtime_ns
    assert main(["study", "synthetic", "--out", str(out), "--resume", "--quiet"]) == 0
    assert (out / "work" / "measured" / "topk.json").stat().st_mtime_ns == made
    assert _content(out, capsys) == content


def test_architectures_are_compared_on_a_model_and_one_that_breaks_costs_no_other(
    tmp_path: Path, model_folder: Path, corpus_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from monoseme.saes.normalized_topk import NormalizedTopK

    def broken(self: object) -> None:
        raise RuntimeError("it cannot be saved")

    monkeypatch.setattr(NormalizedTopK, "export", broken)
    out = tmp_path / "a"
    flags = ["--model", str(model_folder), "--corpus", str(corpus_file), "--corpus.context_len", "32", "--site", "resid_post.0"]
    flags += ["--sae=topk,batchtopk,mlsae,normalized_topk", "--l0", "2,4", "--n_latents", "37", "--tokens", "2000"]
    sizes = ["--batch_size", "64", "--n_measured", "300", "--n_loss_tokens", "100"]
    assert main(["study", "architectures", "--out", str(out), *flags, *sizes, "--quiet"]) == 0
    content = _content(out, capsys)
    rows = (out / "report" / "tables" / "architectures.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 3
    assert "RuntimeError: it cannot be saved" in (out / "report" / "tables" / "left_out.csv").read_text()
    verdicts = [finding["verdict"] for finding in content["findings"]]  # pyright: ignore
    assert [verdict == "not measured" for verdict in verdicts] == [True, False, True, False, False]
    assert main(["study", "architectures", "--out", str(out), "--resume", "--quiet"]) == 0
    assert _content(out, capsys) == content


@pytest.mark.parametrize("name", ["ravel", "unlearning"])
def test_a_study_of_what_must_be_given_tells_its_flags(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["study", name, "--help"])
    assert (ended.value.code, "--n_replicates" in capsys.readouterr().out) == (0, True)


def test_a_study_that_does_not_exist_is_refused_with_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "synthetics"]) == 2
    assert 'Did you mean "synthetic"?' in capsys.readouterr().err
    assert main(["study", "--out", "x"]) == 2
    assert "architectures" in capsys.readouterr().err


def test_studies_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "studies", "--json"]) == 0
    assert {"architectures", "synthetic"} <= {info["name"] for info in json.loads(capsys.readouterr().out)}
    assert main(["study"]) == 0
    assert "architectures" in capsys.readouterr().out
