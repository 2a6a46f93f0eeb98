"""A sound atlas is verified; one that was changed is caught, even where its checksums were mended."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from atlas_fakes import SITE, FakeLayersSAE, FakeSAE, planted_model, planted_source

from monoseme.atlas import Atlas, Target, open_atlas, scan
from monoseme.atlas.verify import Verification, VerifyConfig, verify_atlas
from monoseme.core.errors import ArtifactDamagedError, ConfigError
from monoseme.core.files import hash_file, read_json, write_json
from monoseme.models.site import Site

ALL = VerifyConfig(n_contexts=None)


def _verified(atlas: Atlas, config: VerifyConfig = ALL, *, sae: FakeSAE | None = None) -> Verification:
    target = Target("topk", sae or FakeSAE(5), (SITE,))
    return verify_atlas(atlas, planted_source(), [target], config=config, model=planted_model())


def _problems(found: Verification) -> str:
    return "\n".join(f"{check.what}: {problem}" for check in found.checks for problem in check.problems)


def test_a_sound_atlas_is_verified_and_says_what_was_compared(planted: Atlas) -> None:
    found = _verified(planted)
    assert _problems(found) == ""
    assert found.is_sound
    assert (found.n_contexts, found.n_contexts_in_all) == (77, 77)
    assert all(check.n > 0 for check in found.checks)
    assert max(check.worst or 0.0 for check in found.checks) == 0.0  # the same machine gives the same bits


def test_a_sample_is_of_whole_blocks_and_drawn_by_the_seed(planted: Atlas) -> None:
    found = _verified(planted, VerifyConfig(n_contexts=12))
    assert (found.is_sound, found.n_contexts) == (True, 22)
    assert found == _verified(planted, VerifyConfig(n_contexts=12))


def test_sites_with_codes_of_their_own_are_each_verified(tmp_path: Path) -> None:
    source, other = planted_source(), Site.parse("resid_post.2")
    for block in source.given:
        block.activations[other] = block.activations[SITE] * 2
    source = replace(source, sites=(SITE, other))
    target = Target("mlsae", FakeLayersSAE(5), (SITE, other))
    scan(source, [target], tmp_path / "atlas")
    found = verify_atlas(open_atlas(tmp_path / "atlas"), source, [target], config=ALL)
    assert found.is_sound
    assert {"mlsae@resid_post.1", "mlsae@resid_post.2"} <= {check.what.partition(":")[0] for check in found.checks}


def _change_table(name: str, change: Callable[[dict], None]) -> Callable[[Path], None]:
    """Changes columns of a table of the latents, its row groups kept."""

    def tamper(folder: Path) -> None:
        path = folder / "latents" / "topk" / name
        file = pq.ParquetFile(path)
        groups = [file.read_row_group(i) for i in range(file.num_row_groups)]
        columns = groups[0].to_pydict()
        change(columns)
        groups[0] = pa.table(columns, schema=groups[0].schema)
        with pq.ParquetWriter(path, groups[0].schema) as writer:
            for group in groups:
                writer.write_table(group)

    return tamper


def _change_array(name: str, change: Callable[[np.ndarray], None]) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        array = np.load(folder / name)
        change(array)
        np.save(folder / name, array)

    return tamper


def _set(column: str, row: int, value: object) -> Callable[[dict], None]:
    return lambda columns: columns[column].__setitem__(row, value)


def _scale_window(columns: dict) -> None:
    columns["window"][30] = [value + 0.5 for value in columns["window"][30]]


def _move_count(histogram: np.ndarray) -> None:
    full = np.nonzero(histogram[3])[0]
    histogram[3, full[0]] -= 1
    histogram[3, full[1]] += 1


TAMPERED = {
    "activations of examples": _change_table("examples.parquet", _set("value", 30, 1.5)),
    "activations of examples and sampled firings: latent 0": _change_table("firings.parquet", _set("value", 2, 2.6)),
    "activations around examples": _change_table("examples.parquet", _scale_window),
    "all codes of kept": _change_array("latents/topk/kept_token_values.npy", lambda a: a.__setitem__(7, 9.0)),
    "counts, densities": _change_table("latents.parquet", _set("density", 3, 0.5)),
    "histogram": _change_table("latents.parquet", _set("n_fired", 3, 5)),
    "a latent's histogram|firings in its histogram": _change_array("latents/topk/histograms.npy", _move_count),
    "direct logit attribution": _change_table("latents.parquet", lambda c: c["top_logits"][1].__setitem__(0, 99.0)),
    "the mask at document": _change_array("text/mask.npy", lambda a: a.__setitem__(5, False)),
    "the token at document": _change_array("text/tokens.npy", lambda a: a.__setitem__(5, 12)),
}


def _mend(folder: Path) -> None:
    """Writes the checksums that fit the files, and hashes of what was changed, as someone who hides a change would."""
    for part in ("text", "latents/topk"):
        manifest = read_json(folder / part / "manifest.json")
        for name, facts in manifest["files"].items():
            facts |= {"hash": hash_file(folder / part / name), "bytes": (folder / part / name).stat().st_size}
        if "text" in manifest["inputs"]:
            manifest["inputs"]["text"] = open_atlas(folder).text.content_hash
        write_json(folder / part / "manifest.json", manifest)
    shutil.rmtree(folder / "annotations")  # they name the latents by their hash


def _caught_unmended(folder: Path) -> bool:
    """By its checksum; a file of another size is not even opened."""
    try:
        return "content differs from its checksum" in _problems(_verified(open_atlas(folder)))
    except ArtifactDamagedError as error:
        return "bytes instead of" in str(error)


@pytest.mark.parametrize("told", TAMPERED)
def test_a_change_is_caught_by_its_checksum_and_where_that_was_mended_by_computing_again(
    planted: Atlas, tmp_path: Path, told: str
) -> None:
    folder = tmp_path / "atlas"
    shutil.copytree(planted.path, folder)
    TAMPERED[told](folder)
    assert _caught_unmended(folder)
    _mend(folder)
    found = _verified(open_atlas(folder))
    assert not found.is_sound
    assert not found.checks[0].n_bad
    assert any(part in _problems(found) for part in told.split("|"))


def test_another_sae_or_text_is_told_by_its_hash_and_nothing_is_computed(planted: Atlas) -> None:
    other = FakeSAE(5)
    other.W_dec = torch.eye(5) * 2
    found = _verified(planted, sae=other)
    assert "the sae is another one" in _problems(found)
    assert found.n_contexts == 0


def test_annotations_of_another_scan_are_told(planted: Atlas, tmp_path: Path) -> None:
    folder = tmp_path / "atlas"
    shutil.copytree(planted.path, folder)
    path = folder / "annotations" / "topk" / "offline" / "manifest.json"
    manifest = read_json(path)
    write_json(path, manifest | {"inputs": {"latents": "sha256:0"}})
    found = _problems(_verified(open_atlas(folder)))
    assert "annotations/topk/offline is about other latents than latents/topk" in found
    assert "annotations/topk/detection.offline scores other explanations than offline" in found


def test_a_share_of_differences_may_be_rounding(planted: Atlas, tmp_path: Path) -> None:
    folder = tmp_path / "atlas"
    shutil.copytree(planted.path, folder)
    _change_array("latents/topk/kept_token_values.npy", lambda a: a.__setitem__(7, 9.0))(folder)
    _mend(folder)
    assert not _verified(open_atlas(folder)).is_sound
    found = _verified(open_atlas(folder), replace(ALL, rounding_share=1e-3))
    assert found.is_sound
    assert sum(check.n_bad for check in found.checks) == 1


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1 context"):
        VerifyConfig(n_contexts=0)
    with pytest.raises(ConfigError, match="explains at most"):
        VerifyConfig(rounding_share=0.5)
    with pytest.raises(ConfigError, match="at least 0 and below 1"):
        VerifyConfig(tolerance=1.0)
