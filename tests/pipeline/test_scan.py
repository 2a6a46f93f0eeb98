"""Scans: of a run into its own atlas, of any SAEs over any text, with what follows from the kept codes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from monoseme.atlas import open_atlas
from monoseme.cli.main import main
from monoseme.core.errors import ArtifactExistsError, ConfigError
from monoseme.pipeline import RunFolder, ScanRequest, ScanSettings, run_config, scan_run, scan_saes
from monoseme.text import CorpusConfig


@pytest.fixture
def copy(run: RunFolder, tmp_path: Path) -> RunFolder:
    """A scanned run that may be written to."""
    return RunFolder(shutil.copytree(run.path, tmp_path / "run"))


def test_a_run_relates_its_latents_and_keeps_their_codes(run: RunFolder) -> None:
    atlas = open_atlas(run.atlas)
    for name in atlas.saes():
        kept, relations = atlas.latents(name).kept_codes(), atlas.relations(name)
        assert kept is not None
        assert kept.n_tokens > 0
        assert relations is not None
        assert relations.why_no_cosines is None
        assert atlas.effects(name) is None


def test_effects_are_added_to_a_scan_that_is_there(copy: RunFolder) -> None:
    settings = replace(ScanSettings(), n_tokens=2000, effects=1)
    with pytest.raises(ArtifactExistsError):
        scan_run(copy, settings=settings)
    before = {path: path.stat().st_mtime_ns for path in copy.atlas.rglob("*.parquet")}
    scan_run(copy, settings=settings, resume=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    atlas = open_atlas(copy.atlas)
    for name in atlas.saes():
        effects = atlas.effects(name)
        assert effects is not None
        assert effects.latents.tolist() == list(range(37))
        assert any(atlas.latent(name, latent).effects.n for latent in range(37)), "something could be ablated"


def test_any_saes_are_scanned_over_any_text(run: RunFolder, tmp_path: Path) -> None:
    text = tmp_path / "other.jsonl"
    text.write_text("".join(json.dumps({"text": f"The sun saw the river {i} times. " * 20}) + "\n" for i in range(9)))
    word = str(run.path / "saes" / run.sae_names()[0])
    request = ScanRequest(
        saes=(word,),
        out=tmp_path / "atlas",
        part="all",
        corpus=CorpusConfig(source=str(text), context_len=16),
        settings=ScanSettings(n_tokens=600, relations=False, sentences="both"),
    )
    scan_saes(request)
    atlas = open_atlas(request.out)
    assert atlas.saes() == [run.sae_names()[0]]
    assert atlas.latents(atlas.saes()[0]).n_tokens <= 600
    assert atlas.relations(atlas.saes()[0]) is None
    assert {path.name for path in (request.out / "sentences" / atlas.saes()[0]).glob("*.parquet")} == {
        "sentences.parquet",
        "argmax_as_llama3.parquet",
    }
    with pytest.raises(ConfigError, match='no SAE has the part "high"'):
        scan_saes(replace(request, part="high", out=tmp_path / "high"))


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="n_tokens is 0"):
        ScanSettings(n_tokens=0)
    with pytest.raises(ConfigError, match="effects is -1"):
        ScanSettings(effects=-1)
    with pytest.raises(ConfigError, match="n_kept_tokens is 0"):
        ScanSettings(effects=1, scan=replace(ScanSettings().scan, n_kept_tokens=0))


def test_the_command_says_what_the_run_was_not_made_with(copy: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(copy.atlas)
    assert main(["scan", str(copy.path), "--n-tokens", "1000", "--no_relations", "--scan.keep.n_top", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["atlases"] == [str(copy.atlas)]
    atlas = open_atlas(copy.atlas)
    latents = atlas.latents(atlas.saes()[0])
    assert latents.n_tokens <= 1000
    assert atlas.relations(atlas.saes()[0]) is None
    kept = latents.artifact.config["scan"]
    assert kept["keep"]["n_top"] == 3
    assert kept["n_per_decile"] == run_config(copy).atlas.scan.n_per_decile


def test_the_command_scans_several_runs_into_one_atlas(run: RunFolder, copy: RunFolder, tmp_path: Path) -> None:
    out = tmp_path / "both"
    name = run.sae_names()[0]
    words = [str(each.path / "saes" / name) for each in (run, copy)]
    assert main(["scan", *words, "--out", str(out), "--n_tokens", "600", "--quiet"]) == 0
    assert open_atlas(out).saes() == sorted(f"{each.path.name}.{name}" for each in (run, copy))


def test_a_part_of_a_run_goes_where_the_help_says_and_leaves_the_runs_own_atlas(
    copy: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in copy.atlas.rglob("*.parquet")}
    monkeypatch.chdir(tmp_path)
    assert main(["scan", str(copy.path), "--part", "all", "--n_tokens", "600", "--no_relations", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["atlases"] == ["runs/atlas"]
    assert {path: path.stat().st_mtime_ns for path in copy.atlas.rglob("*.parquet")} == before
    with pytest.raises(SystemExit):
        main(["scan", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "without --part, --model and --corpus: each its own" in told
