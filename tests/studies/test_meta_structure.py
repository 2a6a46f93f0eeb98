"""The study of meta-structure: three numbers for each SAE, read back on a resume, and a file of SAEBench."""

from pathlib import Path

from monoseme.evaluation._meta_structure import MetaSettings
from monoseme.evaluation.formats import read_saebench
from monoseme.pipeline import RunFolder
from monoseme.studies.meta_structure import MetaStructure


def test_an_sae_has_three_numbers_and_a_file(studied_run: RunFolder, tmp_path: Path) -> None:
    config = MetaStructure.Config(
        sae=(str(studied_run.path / "saes" / "topk"),), meta=MetaSettings(k=2, n_steps=4, batch_size=11), n_replicates=20
    )
    found = MetaStructure(config).investigate(tmp_path)
    (row,) = found.tables["meta_structure"]
    assert (row["n_rows"], row["n_held_out"]) == (24, 5)
    assert row["structure"] == row["held_out"] - row["random_rows"]
    result = read_saebench(found.files["meta_structure_monoseme_topk_eval_results.json"])
    metrics = result.metrics["meta_structure"]
    assert metrics["decoder_fraction_variance_explained"] == row["as_saebench"]
    assert metrics["train_time_seconds"] is None
    again = MetaStructure(config).investigate(tmp_path)
    assert again.tables == found.tables
