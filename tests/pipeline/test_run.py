"""A run leaves everything that its record names, can be gone on with, and refuses what would spoil it."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from monoseme.atlas import open_atlas
from monoseme.core.artifact import check_artifact, open_artifact
from monoseme.core.display import SilentDisplay, use_display
from monoseme.core.errors import (
    ArtifactDamagedError,
    ArtifactExistsError,
    ArtifactKindError,
    ArtifactMissingError,
    ArtifactVersionError,
    ConfigError,
    Interrupted,
    ResumeError,
)
from monoseme.core.files import read_json
from monoseme.evaluation import read_report
from monoseme.pipeline import RUN_FILE, RunFolder, open_sae, open_saes, run_all, run_config, train_run
from monoseme.pipeline._evaluate import headline
from tests.pipeline.conftest import tiny_config

NAMES = ["batchtopk.mlp_out_1", "batchtopk.resid_post_0", "topk.mlp_out_1", "topk.resid_post_0"]


def test_a_run_trains_every_sae_at_every_site(run: RunFolder) -> None:
    assert run.sae_names() == NAMES
    site = open_artifact(run.sae("topk.mlp_out_1"), kind="sae").config["site"]
    assert site == "mlp_out.1"


def test_every_artifact_of_a_run_is_sound(run: RunFolder) -> None:
    manifests = [path.parent for path in run.path.rglob("manifest.json")]
    assert len(manifests) >= 4 * 3 + 2
    assert {str(path): check_artifact(path) for path in manifests} == {str(path): [] for path in manifests}


def test_the_report_holds_each_metric_of_each_sae_with_n_and_standard_error(run: RunFolder) -> None:
    report = read_json(run.report / "report.json")
    assert sorted(report["saes"]) == NAMES
    for name in NAMES:
        shown = {metric["name"]: metric for metric in report["saes"][name]["metrics"]}
        measured = read_report(run.evaluation(name, "fidelity"))
        assert list(shown) == [metric.name for metric in measured.metrics]
        fvu = shown["fvu"]
        assert fvu["value"] == measured["fvu"].value
        assert fvu["n"] > 100
        assert fvu["standard_error"] > 0


def test_the_report_calls_an_sae_what_it_was_trained_as(run: RunFolder) -> None:
    report = read_json(run.report / "report.json")["saes"]["batchtopk.mlp_out_1"]
    assert report["architecture"] == "batchtopk"
    assert report["facts"]["k"] == "5"
    assert open_artifact(run.sae("batchtopk.mlp_out_1")).config["architecture"] == "thresholded"


def test_domains_of_the_text_reach_the_evaluation(run: RunFolder) -> None:
    table = read_report(run.evaluation(NAMES[0], "fidelity")).tables["domains"]
    assert set(table["domain"].to_pylist()) == {"cat", "dog"}


def test_markup_in_the_text_stays_text_in_the_report(run: RunFolder) -> None:
    page = (run.report / "index.html").read_text()
    assert "<script>alert(" not in page


def test_the_report_shows_the_best_explained_latents_with_their_score(run: RunFolder) -> None:
    atlas, page = open_atlas(run.atlas), (run.report / "index.html").read_text()
    best = atlas.table(NAMES[0], sort="detection_balanced_accuracy", descending=True, limit=1).rows[0]
    assert f"balanced accuracy {best['detection_balanced_accuracy']:.2f}" in page


def test_the_line_of_an_sae_says_over_how_many_tokens_latents_are_dead_or_why_it_has_no_numbers(run: RunFolder) -> None:
    measured = read_report(run.evaluation(NAMES[0], "fidelity"))
    assert f", dead {measured['dead_fraction'].value:.4g} in {measured['dead_fraction'].n:,} tokens" in headline(measured)
    missing = [dataclasses.replace(m, value=None, standard_error=None, why_missing="no tokens") for m in measured.metrics]
    assert headline(dataclasses.replace(measured, metrics=tuple(missing))) == f"{NAMES[0]}: nothing measured (no tokens)"


def test_the_atlas_explains_and_scores_every_sae(run: RunFolder) -> None:
    atlas = open_atlas(run.atlas)
    assert sorted(atlas.saes()) == NAMES
    assert {"explanation", "detection_balanced_accuracy"} <= set(atlas.table(NAMES[0], limit=1).columns)


def test_the_config_of_a_run_is_read_back_whole(run: RunFolder, model_folder: Path, corpus_file: Path) -> None:
    assert run_config(run) == tiny_config(model_folder, corpus_file)


def test_saes_are_found_by_run_name_and_checkpoint(run: RunFolder) -> None:
    assert [sae.name for sae in open_saes(str(run.path))] == NAMES
    finished = open_sae(str(run.sae(NAMES[2])))
    last = {sae.name: sae for sae in open_saes(f"{run.path}@last")}[NAMES[2]]
    assert str(last.site) == str(finished.site) == "mlp_out.1"
    assert torch.equal(last.sae.W_dec, finished.sae.W_dec)
    with pytest.raises(ArtifactMissingError, match="holds 4 SAEs; name one"):
        open_sae(str(run.path))
    with pytest.raises(ArtifactMissingError, match="Did you mean"):
        open_sae(str(run.sae("topk.mlp_out_2")))
    with pytest.raises(ArtifactMissingError, match="no checkpoint 99"):
        open_saes(f"{run.path}@99")


def test_a_run_is_never_overwritten(run: RunFolder) -> None:
    with pytest.raises(ArtifactExistsError, match="--out"):
        run_all(run_config(run), run.path)


def test_resuming_a_finished_run_keeps_its_saes(run: RunFolder) -> None:
    before = open_artifact(run.sae(NAMES[0])).content_hash
    run_all(run_config(run), run.path, resume=True)
    assert open_artifact(run.sae(NAMES[0])).content_hash == before


def _copy_unrecorded(run: RunFolder, to: Path, *, without: str) -> RunFolder:
    """A copy of a run as a kill leaves it while a stage works: all before it is noted, the stage itself is not."""
    shutil.copytree(run.path, to)
    stages = ("training", "saes", "evaluations", "atlas", "explanations", "report")
    record = read_json(to / RUN_FILE)
    record["artifacts"] = {key: record["artifacts"][key] for key in stages[: stages.index(without)]}
    (to / RUN_FILE).write_text(json.dumps(record))
    return RunFolder(to)


def test_a_run_killed_between_two_evaluations_measures_the_rest(run: RunFolder, tmp_path: Path) -> None:
    killed = _copy_unrecorded(run, tmp_path / "run", without="evaluations")
    shutil.rmtree(killed.path / "evaluations" / NAMES[3])
    killed.add({"evaluations": {name: {"fidelity": f"evaluations/{name}/fidelity"} for name in NAMES[:3]}})
    run_all(run_config(run), killed.path, resume=True)
    assert sorted(killed.record()["artifacts"]["evaluations"]) == NAMES
    assert read_report(killed.evaluation(NAMES[3], "fidelity"))["fvu"] == read_report(run.evaluation(NAMES[3], "fidelity"))["fvu"]


@pytest.mark.parametrize("n_scanned", [pytest.param(0, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_run_killed_in_its_scan_scans_the_rest(run: RunFolder, tmp_path: Path, n_scanned: int) -> None:
    killed = _copy_unrecorded(run, tmp_path / "run", without="atlas")
    shutil.rmtree(killed.atlas / "annotations")
    for name in NAMES[n_scanned:]:
        shutil.rmtree(killed.atlas / "latents" / name)
    run_all(run_config(run), killed.path, resume=True)
    for name in NAMES:
        again, whole = (open_artifact(folder.atlas / "latents" / name) for folder in (killed, run))
        assert again.content_hash == whole.content_hash


def test_a_run_killed_in_its_explanations_makes_the_rest(run: RunFolder, tmp_path: Path) -> None:
    killed = _copy_unrecorded(run, tmp_path / "run", without="explanations")
    shutil.rmtree(killed.atlas / "annotations" / NAMES[1] / "detection.offline")
    shutil.rmtree(killed.atlas / "annotations" / NAMES[2])
    run_all(run_config(run), killed.path, resume=True)
    atlas = open_atlas(killed.atlas)
    for name in NAMES:
        assert {said.label for said in atlas.annotations(name)} == {"offline", "detection.offline"}


class _InterruptedAt(SilentDisplay):
    """Ctrl-C at the moment when a message comes."""

    def __init__(self, start: str) -> None:
        self._start = start

    def say(self, text: str) -> None:
        if text.startswith(self._start):
            raise KeyboardInterrupt


def test_ctrl_c_in_a_late_stage_says_how_to_go_on(run: RunFolder, tmp_path: Path) -> None:
    killed = _copy_unrecorded(run, tmp_path / "a run", without="explanations")
    shutil.rmtree(killed.atlas / "annotations")
    with use_display(_InterruptedAt("wrote")), pytest.raises(Interrupted, match=r"--out '.*a run' --resume"):
        run_all(run_config(run), killed.path, resume=True)
    assert run_all(run_config(run), killed.path, resume=True).record()["artifacts"]["report"] == "report"


@pytest.mark.parametrize("key", ["config", "jobs", "artifacts"])
def test_a_record_that_lacks_a_table_is_called_damaged(tmp_path: Path, key: str) -> None:
    record: dict[str, object] = {"kind": "run", "schema": 1, "config": {}, "jobs": {}, "artifacts": {}}
    del record[key]
    (tmp_path / RUN_FILE).write_text(json.dumps(record))
    with pytest.raises(ArtifactDamagedError, match=key):
        RunFolder(tmp_path).record()


def test_reading_ahead_changes_no_bit(run: RunFolder, tmp_path: Path) -> None:
    config = run_config(run)
    ahead = dataclasses.replace(config, stream=dataclasses.replace(config.stream, prefetch=True))
    other = train_run(ahead, tmp_path / "ahead")
    for name in NAMES:
        assert torch.equal(open_sae(str(other.sae(name))).sae.W_dec, open_sae(str(run.sae(name))).sae.W_dec)


def test_resuming_with_other_settings_says_which(run: RunFolder) -> None:
    config = run_config(run)
    other = dataclasses.replace(config, train=dataclasses.replace(config.train, batch_size=64))
    with pytest.raises(ResumeError, match="train differ"):
        train_run(other, run.path, resume=True)


def test_a_run_without_saes_is_refused(model_folder: Path, corpus_file: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(tiny_config(model_folder, corpus_file), saes=())
    with pytest.raises(ConfigError, match="--sae topk"):
        train_run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "error"), [({"kind": "sae"}, ArtifactKindError), ({"schema": 9, "package_version": "9"}, ArtifactVersionError)]
)
def test_a_foreign_or_newer_record_is_refused(tmp_path: Path, change: dict[str, object], error: type[Exception]) -> None:
    record = {"kind": "run", "schema": 1, "config": {}, "jobs": {}, "artifacts": {}}
    (tmp_path / RUN_FILE).write_text(json.dumps(record | change))
    with pytest.raises(error):
        RunFolder(tmp_path).record()
