"""SAEBench's result JSON: what is written is read back, a missing number is missing, and unknown names are refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.evaluation.formats import SAEBENCH_METRICS, SaeBenchResult, file_name, read_saebench, saebench_to_json

_NUMBERS = st.one_of(st.none(), st.floats(min_value=0, max_value=1, allow_nan=False))


def _result(kind: str, metrics: dict[str, dict[str, float | None]]) -> SaeBenchResult:
    return SaeBenchResult(eval_type=kind, metrics=metrics, release="run", sae_id="topk", eval_id="an id")


@pytest.mark.parametrize("kind", SAEBENCH_METRICS)
@settings(max_examples=15)
@given(data=st.data())
def test_what_is_written_is_read_back(kind: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 500))
    names = {category: [n.replace("{n}", str(count)) for n in names] for category, names in SAEBENCH_METRICS[kind].items()}
    metrics = {category: {name: data.draw(_NUMBERS) for name in each} for category, each in names.items()}
    result = _result(kind, metrics)
    assert read_saebench(saebench_to_json(result)) == result


def test_a_missing_number_is_null_where_saebench_allows_it_and_else_minus_one() -> None:
    tpp = json.loads(saebench_to_json(_result("tpp", {"tpp_metrics": {"tpp_threshold_2_total_metric": None}})))
    core = json.loads(saebench_to_json(_result("core", {"sparsity": {"l0": None, "l1": 3.0}})))
    assert tpp["eval_result_metrics"]["tpp_metrics"] == {"tpp_threshold_2_total_metric": None}
    assert core["eval_result_metrics"]["sparsity"] == {"l0": -1.0, "l1": 3.0}


def test_minus_one_is_a_number_where_saebench_has_null_for_missing() -> None:
    written = saebench_to_json(_result("scr", {"scr_metrics": {"scr_dir1_threshold_5": -1.0}}))
    assert read_saebench(written).metrics["scr_metrics"]["scr_dir1_threshold_5"] == -1.0


def test_a_result_published_by_saebench_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a_eval_results.json"
    file.write_text(
        json.dumps(
            {
                "eval_type_id": "sparse_probing",
                "eval_config": {"k_values": [1]},
                "eval_id": "0000",
                "datetime_epoch_millis": 1732000000000,
                "eval_result_metrics": {"llm": {"llm_test_accuracy": 0.9}, "sae": {"sae_test_accuracy": -1}},
                "eval_result_details": [{"dataset_name": "a_results", "llm_test_accuracy": 0.9}],
                "sae_bench_commit_hash": "abc",
                "sae_lens_id": "blocks.4.hook_resid_post__trainer_10",
                "sae_lens_release_id": "sweep",
                "sae_lens_version": "5.3.0",
                "sae_cfg_dict": {"d_sae": 4096},
                "eval_result_unstructured": {"a_results": {"llm_test_accuracy": {"0": 0.9}}},
            }
        )
    )
    found = read_saebench(file)
    assert found.metrics == {"llm": {"llm_test_accuracy": 0.9}, "sae": {"sae_test_accuracy": None}}
    assert (found.release, found.made_by, found.made_at_ms) == ("sweep", "abc", 1732000000000)
    assert read_saebench(saebench_to_json(found)) == found


_PLAIN = b'{"eval_type_id": "tpp", "eval_config": {}, "eval_result_metrics": '


@pytest.mark.parametrize(
    "content",
    [
        *(b"{", b"[]", b"{}", b"[" * 100_000, b"\xff\xfe{}", _PLAIN + b"3}"),
        *(_PLAIN + b'{"tpp_metrics": {"a": ' + number + b"}}}" for number in (b"Infinity", b"1e999", b"9" * 400, b"9" * 5000)),
        _PLAIN + b'{}, "eval_result_details": 5}',
        _PLAIN + b'{}, "datetime_epoch_millis": NaN}',
        _PLAIN + b'{}, "sae_lens_id": ["a"]}',
        b'{"eval_type_id": "tpp", "eval_config": [1], "eval_result_metrics": {}}',
    ],
    ids=lambda content: str(content[-40:]),
)
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(ForeignError):
        read_saebench(content)


def test_a_metric_that_is_no_number_is_refused() -> None:
    content = b'{"eval_type_id": "tpp", "eval_config": {}, "eval_result_metrics": {"tpp_metrics": {"a": "b"}}}'
    with pytest.raises(ForeignError, match="no number"):
        read_saebench(content)


@pytest.mark.parametrize(
    ("kind", "category", "name", "told"),
    [
        ("cor", "sparsity", "l0", 'Did you mean "core"'),
        ("core", "sparse", "l0", "no category"),
        ("core", "sparsity", "l2", "no metric"),
        ("scr", "scr_metrics", "scr_dir3_threshold_5", "no metric"),
    ],
)
def test_names_that_saebench_does_not_have_are_refused(kind: str, category: str, name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        saebench_to_json(_result(kind, {category: {name: 0.5}}))


def test_an_id_follows_from_the_content() -> None:
    one, same, other = (
        json.loads(
            saebench_to_json(SaeBenchResult(eval_type="core", metrics={"sparsity": {"l0": l0}}, release="run", sae_id="topk"))
        )["eval_id"]
        for l0 in (3.0, 3.0, 4.0)
    )
    assert one == same != other


def test_an_infinite_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="JSON"):
        saebench_to_json(_result("core", {"sparsity": {"l0": float("inf")}}))


def test_a_file_is_called_as_saebench_calls_it() -> None:
    assert file_name("a/b", "blocks.3/trainer_1") == "a_b_blocks.3_trainer_1_eval_results.json"
