"""Which SAEs, parts, model and text the flags mean."""

import shutil
from pathlib import Path

import pytest
import torch

from monoseme.cli.main import main
from monoseme.core.errors import ArtifactMissingError, ConfigError
from monoseme.models import ModelConfig
from monoseme.pipeline import Materials, RunFolder, measure, open_saes, run_config, run_of
from monoseme.studies._workbench import SaeStudyConfig, Workbench
from monoseme.text import CorpusConfig


def config(run: RunFolder, *, part: tuple[str, ...] = ("all",), **settings: object) -> SaeStudyConfig:
    return SaeStudyConfig(sae=(str(run.path),), part=part, **settings)  # pyright: ignore[reportArgumentType]


def test_every_part_that_an_sae_has_is_a_subject(studied_run: RunFolder) -> None:
    subjects = Workbench(config(studied_run, part=("high", "low", "predicted", "2", "all"))).subjects
    assert {s.name: s.part for s in subjects if s.word != "all"} == {
        "matryoshka (high)": "group_0",
        "matryoshka (low)": "group_1+group_2",
        "matryoshka (2)": "group_2",
        "tsae (high)": "high",
        "tsae (low)": "low",
        "tfa (predicted)": "predicted",
    }
    assert [s.name for s in subjects if s.word == "all"] == ["matryoshka", "mlsae", "tfa", "topk", "tsae"]


def test_high_and_low_add_up_to_the_whole_code(studied_run: RunFolder) -> None:
    bench = Workbench(config(studied_run, part=("all", "high", "low")))
    coded = next(bench.coded(bench.source, n_contexts=4))
    for sae in ("matryoshka", "tsae"):
        whole, high, low = (coded.codes[name].to_dense() for name in (sae, f"{sae} (high)", f"{sae} (low)"))
        assert torch.equal(high + low, whole)
        assert ((high != 0) & (low != 0)).sum() == 0
        assert whole.any()


def test_the_text_is_what_the_run_held_out(studied_run: RunFolder) -> None:
    bench = Workbench(config(studied_run))
    found = {int(d) for block in bench.source.blocks() for d in block.documents[block.real].unique()}
    text = bench.materials.text
    assert found == {i for i in range(text.n_documents) if text.is_heldout(i)}


def test_another_text_is_taken_whole(studied_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The cat saw the dog.")
    bench = Workbench(config(studied_run, corpus=CorpusConfig(source=str(tmp_path / "a.txt"), context_len=16)))
    assert sum(int(block.real.sum()) for block in bench.source.blocks()) >= bench.materials.text.n_tokens


def test_several_runs_have_names_of_their_own_and_patterns_mean_all(studied_run: RunFolder, tmp_path: Path) -> None:
    for seed in ("seed0", "seed1"):
        shutil.copytree(studied_run.path, tmp_path / seed)
    bench = Workbench(SaeStudyConfig(sae=(f"{tmp_path}/seed*/saes/t*k",)))
    assert [s.name for s in bench.subjects] == ["seed0.topk", "seed1.topk"]


def test_an_at_in_the_name_of_a_folder_is_no_checkpoint(studied_run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(studied_run.path, tmp_path / "a@b" / "run")
    assert run_of(str(tmp_path / "a@b" / "run" / "saes" / "topk")).path == tmp_path / "a@b" / "run"
    bench = Workbench(SaeStudyConfig(sae=(f"{tmp_path}/a@b/r*/saes/topk",)))
    assert [s.name for s in bench.subjects] == ["topk"]


def test_an_sae_alone_knows_its_model_and_needs_a_text(
    studied_run: RunFolder, model_folder: Path, corpus_file: Path, tmp_path: Path
) -> None:
    shutil.copytree(studied_run.sae("topk"), tmp_path / "alone")
    with pytest.raises(ConfigError, match=r"Give --corpus\."):  # the model is noted beside it
        Workbench(SaeStudyConfig(sae=(str(tmp_path / "alone"),)))
    own = {"model": ModelConfig(model=str(model_folder)), "corpus": CorpusConfig(source=str(corpus_file), context_len=16)}
    bench = Workbench(SaeStudyConfig(sae=(str(tmp_path / "alone"),), **own))
    assert next(bench.coded(bench.source)).codes["alone"].nnz


def test_eval_measures_parts_and_writes_nothing(studied_run: RunFolder) -> None:
    assert main(["eval", str(studied_run.path), "--part", "high,all", "--evaluations", "fidelity", "--quiet"]) == 0
    materials = Materials(run_config(studied_run))
    saes = [sae for sae in open_saes(str(studied_run.path)) if sae.name in ("tsae", "topk")]
    found = {r.subject: r for r in measure(saes, materials, parts=("high", "all"))}
    assert list(found) == ["topk", "tsae (high)", "tsae"]
    l0 = {name: result["l0"].value or 0.0 for name, result in found.items()}
    assert 0 < l0["tsae (high)"] < l0["tsae"]
    assert not (studied_run.path / "evaluations").exists()


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"sae": ()}, ConfigError, "no SAE is named"),
        ({"sae": ("nowhere*",)}, ArtifactMissingError, "nothing matches"),
        ({"part": ("noval",)}, ConfigError, 'no SAE has the part "noval"'),
        ({"part": ()}, ConfigError, "part is empty"),
        ({"corpus": CorpusConfig(source="run", context_len=9)}, ConfigError, "no effect"),
    ],
)
def test_what_cannot_be_meant_is_told(
    studied_run: RunFolder, settings: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Workbench(SaeStudyConfig(**({"sae": (str(studied_run.path),)} | settings)))  # pyright: ignore[reportArgumentType]
