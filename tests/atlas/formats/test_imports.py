"""What other tools say becomes annotations; files that are not what they should be are refused, and leave nothing."""

import gzip
import json
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from atlas_fakes import planted_atlas

from monoseme.atlas import Atlas, open_atlas
from monoseme.atlas.annotations import read_scores
from monoseme.atlas.formats import ATLAS_FORMATS, export_atlas, find_atlas_format, import_notes, read_notes
from monoseme.atlas.formats.llama3 import read_top_sentences
from monoseme.core import foreign as reading
from monoseme.core.errors import ArtifactExistsError, ConfigError, ForeignError


@pytest.fixture
def atlas(tmp_path: Path) -> Atlas:
    planted_atlas(tmp_path / "atlas")
    return open_atlas(tmp_path / "atlas")


def _write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_explanations_and_scores_become_annotations_of_the_atlas(atlas: Atlas, tmp_path: Path) -> None:
    rows = {
        "0": {"latent": 0, "explanation": "cats", "predictions": [1], "correct seqs": [1, 2], "score": 0.75, "logs": "..."},
        "3": {"latent": 3, "explanation": "<b>dogs</b>", "score": None},
    }
    result = {"eval_type_id": "autointerp", "eval_result_unstructured": rows}
    found = import_notes(atlas, "topk", _write(tmp_path / "x_eval_results.json", result), label="another")
    assert (found.format, found.labels) == ("saebench_autointerp", ("another", "another.scores"))
    said = {one.source: one for one in atlas.latent("topk", 0).explanations}["another"]
    assert (said.text, json.loads(said.details)) == ("cats", {"correct": [1, 2], "predictions": [1]})
    scores = next(part for part in atlas.annotations("topk") if part.label == "another.scores")
    assert [(score.latent, score.value) for score in read_scores(scores)] == [(0, 0.75)]
    assert scores.artifact.config["explanations"] == "another"
    assert "saebench_autointerp_autointerp_score" in atlas.table("topk").columns
    assert atlas.table("topk", search="DOGS").n_matching == 1


def test_examples_stay_as_the_other_tool_shows_them(atlas: Atlas, tmp_path: Path) -> None:
    config = ATLAS_FORMATS.get("neuronpedia").Config(model_id="tiny")
    export_atlas(atlas, "topk", tmp_path / "out", format="neuronpedia", config=config)
    found = import_notes(atlas, "topk", tmp_path / "out")
    assert found.labels == ("neuronpedia", "neuronpedia.examples")
    table = pq.read_table(tmp_path / "atlas" / "annotations" / "topk" / "neuronpedia.examples" / "examples.parquet")
    assert table.num_rows == found.n_examples == sum(1 for _ in read_notes(tmp_path / "out").examples())
    assert atlas.latent("topk", 3).explanations[0].source == "neuronpedia"  # they harm no page and no table
    assert atlas.table("topk").n_matching == 5
    with pytest.raises(ArtifactExistsError):
        import_notes(atlas, "topk", tmp_path / "out")


def test_a_file_about_another_sae_leaves_nothing(atlas: Atlas, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    file = _write(tmp_path / "explanations.json", {"5": "a sixth"})
    with pytest.raises(ConfigError, match=r"latent 5, but topk has 5"):
        import_notes(atlas, "topk", file)
    batch = {"features": [{"feature_index": 4, "activations": [_ROW]}, {"feature_index": 7, "activations": [_ROW]}]}
    _write(tmp_path / "dash" / "batch-0.json", batch)
    with pytest.raises(ConfigError, match="no latent 7"):
        import_notes(atlas, "topk", tmp_path / "dash")
    assert sorted(set(tmp_path.rglob("*")) - set(before)) == [tmp_path / "dash", tmp_path / "dash" / "batch-0.json", file]


_ROW = {"bin_min": -1, "bin_max": 2.0, "bin_contains": -1, "tokens": ["a", "b"], "values": [0.0, 2.0]}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[1, 2]", "should be a table"),
        ('{"0": 3}', "should be text, but is int"),
        ('{"0": "a", "-1": "b"}', "names no latent: '-1'"),
        ('{"99999999999": "b"}', "names no latent"),
        ('{"0": NaN}', "NaN is no number"),
        ("[" * 100_000, "not valid JSON"),
        ("\xff\xfe", "should be|not valid JSON"),
        ('{"0": "a"', "not valid JSON"),
    ],
)
def test_an_explanations_file_that_is_none_is_refused(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(ForeignError, match=told):
        read_notes(_write(tmp_path / "explanations.json", content))


def test_texts_are_cut_and_cleaned(tmp_path: Path) -> None:
    file = _write(tmp_path / "explanations.json", '{"0": "\\udc80' + "x" * 30_000 + '"}')
    (said,) = read_notes(file).explanations
    assert said.text == "\ufffd" + "x" * (reading.MOST_CHARACTERS - 1)


def test_files_larger_than_they_should_be_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ForeignError, match="larger than 7 bytes"):
        reading.read_bytes(_write(tmp_path / "explanations.json", {"0": "cats"}), most=7)
    monkeypatch.setattr(reading, "MOST_LINE_BYTES", 50)
    rows = tmp_path / "rows.jsonl.gz"
    rows.write_bytes(gzip.compress(b'{"a": 1}\n{"a": "' + b"0" * 10_000 + b'"}\n'))
    with pytest.raises(ForeignError, match=r"line 2 of .* is longer than 50"):
        list(reading.read_rows(rows))
    rows.write_bytes(gzip.compress(b'{"a": 1}\n' * 9)[:-9])
    with pytest.raises(ForeignError, match="cannot be read after line"):
        list(reading.read_rows(rows))


def _packed(folder: Path, index: object, content: bytes) -> None:
    (folder / "features").mkdir(parents=True)
    (folder / "features" / "index.json.gz").write_bytes(gzip.compress(json.dumps(index).encode()))
    (folder / "features" / "layer_0.bin").write_bytes(content)
    (folder / "secret.bin").write_bytes(content)


_FEATURE = zlib.compress(json.dumps({"examples_quantiles": []}).encode())
_FILE = {"filename": "layer_0.bin"}


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"filename": "../secret.bin", "offsets": [0, 5]}, "none beside it"),
        ({"filename": ".hidden", "offsets": [0, 5]}, "none beside it"),
        ({"filename": "absent.bin", "offsets": [0, 5]}, "cannot be read"),
        ({**_FILE, "offsets": [9, 3]}, "from byte 9 to 3"),
        ({**_FILE, "offsets": [0, 10**12]}, "from byte 0 to"),
        ({**_FILE, "offsets": [0, 3]}, "has 3 bytes, but says"),
        ({**_FILE, "offsets": [0, 11]}, "has 11 bytes, but says"),
        ({**_FILE, "offsets": "0"}, "should be a list"),
    ],
)
def test_an_index_that_points_elsewhere_is_refused(tmp_path: Path, entry: object, told: str) -> None:
    _packed(tmp_path, {"0": entry}, len(_FEATURE).to_bytes(4, "little") + _FEATURE)
    with pytest.raises(ForeignError, match=told):
        list(read_notes(tmp_path).examples())


def test_features_that_unpack_to_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monoseme.atlas.formats.circuit_tracer.MOST_LINE_BYTES", 1000)
    bomb = zlib.compress(b" " * 5000)
    _packed(tmp_path, {"0": {**_FILE, "offsets": [0, len(bomb) + 4]}}, len(bomb).to_bytes(4, "little") + bomb)
    with pytest.raises(ForeignError, match="larger than 1,000 bytes when it is unpacked"):
        list(read_notes(tmp_path).examples())


def _database(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


_COLUMNS = "latent, layer, token_id, token, act, token_ids, tokens, acts"


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (("CREATE TABLE other (a)",), "no table examples"),
        (("CREATE TABLE examples (latent)",), "no table examples with the columns"),
        ((f"CREATE TABLE t ({_COLUMNS})", "CREATE VIEW examples AS SELECT * FROM t"), "no table examples"),
        (
            (
                f"CREATE TABLE examples ({_COLUMNS})",
                "INSERT INTO examples VALUES (0, 0, 1, 'a', 1.0, '[1, 2]', '[\"a\"]', '[1.0]')",
            ),
            "2 token ids, 1 tokens and 1 activations",
        ),
        (
            (f"CREATE TABLE examples ({_COLUMNS})", "INSERT INTO examples VALUES (0, 0, 1, 'a', 1.0, x'00', '[]', '[]')"),
            "should be JSON",
        ),
    ],
)
def test_a_database_that_is_not_of_mlsae_is_refused(tmp_path: Path, statements: tuple[str, ...], told: str) -> None:
    _database(tmp_path / "examples.db", *statements)
    with pytest.raises(ForeignError, match=told):
        list(read_notes(tmp_path).examples())


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "examples.db", "no database")
    with pytest.raises(ForeignError, match="cannot be read as SQLite"):
        read_notes(tmp_path)


def test_what_is_recognised_and_what_is_not(tmp_path: Path) -> None:
    with pytest.raises(ForeignError, match=r"explanations\.json(.|\n)*--format NAME"):
        find_atlas_format(tmp_path)
    with pytest.raises(ForeignError, match="no file or folder"):
        find_atlas_format(tmp_path / "absent")
    _write(tmp_path / "explanations.json", {})
    _write(tmp_path / "batch-0.json", {})
    with pytest.raises(ForeignError, match="could be saedashboard or tsae"):
        find_atlas_format(tmp_path)
    _write(tmp_path / "other" / "a_eval_results.json", {"eval_type_id": "core"})
    with pytest.raises(ForeignError, match="known format"):
        find_atlas_format(tmp_path / "other")


_ANSWER = 'I think {so}.\n<final>{"common_semantic": "UN", "certainty": 0.25}</final>'


@pytest.mark.parametrize(
    ("answer", "text", "why"),
    [
        ({"content": _ANSWER, "model": "m", "input_tokens": 1, "output_tokens": 2}, "UN", None),
        ({"content": '{"common_semantic": "x"}'}, None, "does not end with"),
        ({"content": '{"common_semantic": "x", "certainty": 2}'}, None, "certainty between 0 and 1"),
        ({"content": '{"common_semantic": "x", "certainty": "high"}'}, None, "should be a number"),
        ({"content": "nothing"}, None, "does not end with"),
        ({"canceled": True}, None, "canceled"),
    ],
)
def test_the_answers_of_llama3s_judge_are_read_or_say_why_not(
    tmp_path: Path, answer: dict[str, object], text: str | None, why: str | None
) -> None:
    notes = read_notes(_write(tmp_path / "msgbatch_1.yaml", {"7": answer}))
    (said,) = notes.explanations
    assert (said.latent, said.text) == (7, text)
    assert (why or "") in (said.why_missing or "")
    assert len(notes.lost) == (text is None)


def test_meanings_stand_above_answers_and_sentences_are_read_apart(tmp_path: Path) -> None:
    _write(tmp_path / "a.yaml", "3: {content: none}\n8: {content: none}\n")
    _write(tmp_path / "meaning.yaml", "3: {common_semantic: 'yes: no', certainty: 1}\n")
    top = _write(tmp_path / "top_sentences_last.yaml", "3:\n- [0.5, 17]\n- [1.5, 4]\n")
    notes = read_notes(tmp_path)
    assert [(one.latent, one.text) for one in notes.explanations] == [(3, "yes: no"), (8, None)]
    assert read_top_sentences(top) == {3: [(0.5, 17), (1.5, 4)]}
    kept = ATLAS_FORMATS.get("llama3")(ATLAS_FORMATS.get("llama3").Config(least_certainty=0.9)).read(tmp_path / "meaning.yaml")
    assert len(kept.explanations) == 1


@pytest.mark.parametrize(
    "content",
    [
        "3: !!python/object/apply:os.system ['true']",
        "3: {common_semantic: [a], certainty: 1}",
        "a: {b: c}",
        "&a [*a]",
        "3: [[1]]",
        "3: {common_semantic: x, certainty: 0x" + "f" * 300 + "}",
        "3: {<<: {common_semantic: x, certainty: 1}}",
        "3: {common_semantic: [&a0 [x], " + ", ".join(f"&a{i} [{f'*a{i - 1}, ' * 9}]" for i in range(1, 13)) + "], certainty: 1}",
    ],
)
def test_yaml_that_is_not_of_llama3_is_refused(tmp_path: Path, content: str) -> None:
    file = _write(tmp_path / "x.yaml", content)
    read: Callable[[Path], object] = read_top_sentences if content == "3: [[1]]" else read_notes
    with pytest.raises(ForeignError):
        read(file)


def test_yaml_is_not_read_below_a_depth(tmp_path: Path) -> None:
    with pytest.raises(ForeignError, match="50 deep"):
        read_notes(_write(tmp_path / "x.yaml", "3: " + "[" * 60 + "]" * 60))
