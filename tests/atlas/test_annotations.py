"""Annotations append, name what they annotate, and are refused elsewhere; the table joins them."""

import shutil
import threading
from pathlib import Path

import pytest
from atlas_fakes import SITE, FakeSAE, FakeSource, planted_atlas, planted_source

from monoseme.atlas import Atlas, Target, explain_latents, open_atlas, scan
from monoseme.core.errors import ArtifactDamagedError, ArtifactExistsError, ConfigError


def test_an_annotation_names_the_scan_it_annotates_and_how_it_was_made(planted: Atlas) -> None:
    scores, explanations = sorted(planted.annotations("topk"), key=lambda annotation: annotation.holds, reverse=True)
    scanned = planted.latents("topk").content_hash
    assert explanations.artifact.inputs == {"latents": scanned}
    assert explanations.artifact.config["explainer"] == "offline"
    assert explanations.artifact.config["config"] == {"most_rules": 12, "fewest_firings": 4}
    assert scores.artifact.inputs == {"latents": scanned, "explanations": explanations.artifact.content_hash}
    assert scores.artifact.config["headline"] == "balanced_accuracy"
    assert set(scores.artifact.config["definitions"]) >= {"balanced_accuracy", "auroc"}


def test_annotations_never_change(tmp_path: Path) -> None:
    planted_atlas(tmp_path)
    with pytest.raises(ArtifactExistsError, match="another label"):
        explain_latents(open_atlas(tmp_path), "topk")


def test_an_annotation_of_another_scan_is_refused(tmp_path: Path) -> None:
    planted_atlas(tmp_path / "one")
    scan(FakeSource(planted_source().given[1:]), [Target("topk", FakeSAE(5), (SITE,))], tmp_path / "two")
    shutil.copytree(tmp_path / "one" / "annotations", tmp_path / "two" / "annotations")
    with pytest.raises(ArtifactDamagedError, match="another scan of topk"):
        open_atlas(tmp_path / "two").latent("topk", 0)


def test_an_open_atlas_sees_new_annotations_at_once(tmp_path: Path) -> None:
    planted_atlas(tmp_path)
    atlas = open_atlas(tmp_path)
    assert len(atlas.latent("topk", 0).explanations) == 1
    assert "explanation" in atlas.table("topk").columns
    explain_latents(open_atlas(tmp_path), "topk", latents=[0], label="second")
    assert [said.source for said in atlas.latent("topk", 0).explanations].count("second") == 1
    assert len(atlas.latent("topk", 1).explanations) == 1
    assert atlas.table("topk", search="cat").n_matching >= 1


def test_the_table_has_the_newest_explanation_of_each_latent_with_its_own_scores(tmp_path: Path) -> None:
    planted_atlas(tmp_path)
    atlas = open_atlas(tmp_path)
    before = atlas.table("topk").rows
    explain_latents(atlas, "topk", latents=[0], label="second")  # a few latents again: the others keep what is said of them
    after = atlas.table("topk").rows
    assert before[0]["detection_balanced_accuracy"] is not None
    assert after[0] == before[0] | {name: None for name in before[0] if name.startswith("detection_")}  # not scored yet
    assert after[1:] == before[1:]
    assert any(row["explanation"] for row in after[1:])


@pytest.mark.parametrize("label", ["../x", ".hidden", "a/b"])
def test_a_label_that_is_no_folder_name_is_refused(planted: Atlas, label: str) -> None:
    with pytest.raises(ConfigError, match="cannot label"):
        explain_latents(planted, "topk", label=label)


def test_the_table_sorts_with_missing_values_last_and_ties_by_number(planted: Atlas) -> None:
    up = [row["latent"] for row in planted.table("topk", sort="max").rows]
    down = [row["latent"] for row in planted.table("topk", sort="max", descending=True).rows]
    assert (up, down) == ([1, 0, 3, 4, 2], [3, 4, 0, 1, 2])
    scored = planted.table("topk", sort="detection_balanced_accuracy", descending=True).rows
    assert [row["latent"] for row in scored[:2]] == [0, 1]
    assert scored[-1]["latent"] == 2


def test_the_table_comes_in_pages(planted: Atlas) -> None:
    page = planted.table("topk", limit=2, offset=3)
    assert ([row["latent"] for row in page.rows], page.n_matching) == ([3, 4], 5)


def test_search_finds_explanations_tokens_and_numbers(planted: Atlas) -> None:
    def found(search: str) -> set[int]:
        return {row["latent"] for row in planted.table("topk", search=search).rows}

    assert 1 in found("AFTER")
    assert 0 not in found("fires after")
    assert 0 in found(" cat")
    assert 3 in found("3")
    assert found("no such text anywhere") == set()


@pytest.mark.parametrize("hostile", ["'; DROP TABLE latents; --", '" OR 1=1', "%", "_", "\\", "\x00", "é\ufffd"])
def test_hostile_searches_find_nothing_and_harm_nothing(planted: Atlas, hostile: str) -> None:
    assert planted.table("topk", search=f"zzz{hostile}").n_matching == 0
    assert planted.table("topk").n_matching == 5


def test_an_unknown_column_is_refused_with_a_suggestion(planted: Atlas) -> None:
    with pytest.raises(ConfigError, match='Did you mean "density"'):
        planted.table("topk", sort="densty")
    with pytest.raises(ConfigError, match="cannot be sorted"):
        planted.table("topk", sort='latent"; DROP TABLE latents; --')
    with pytest.raises(ConfigError, match="negative"):
        planted.table("topk", limit=-1)


def test_several_threads_read_at_once(planted: Atlas) -> None:
    expected = [planted.latent("topk", latent) for latent in range(5)]
    wrong: list[int] = []

    def read() -> None:
        for latent in [*range(5)] * 4:
            page, table = planted.latent("topk", latent), planted.table("topk", sort="density")
            if page != expected[latent] or table.n_matching != 5:
                wrong.append(latent)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
