"""The study of spelling: its words, its numbers by hand, and a whole run on a model that cannot spell."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from monoseme.core.errors import ArtifactDamagedError, ConfigError
from monoseme.core.files import read_json
from monoseme.models import LanguageModel
from monoseme.pipeline import RunFolder
from monoseme.spelling import Grade, Written, letters_of, task_named
from monoseme.splice import splice
from monoseme.studies import STUDIES, run_study
from monoseme.studies._intervals import of_share
from monoseme.studies._spelling.figures import accuracy_dots, answer_map, length_map, log_prob_dots, token_map
from monoseme.studies._spelling.findings import can_do, findings_of
from monoseme.studies._spelling.measure import MODEL, Answers, Examination, examine, read_answers, write_answers
from monoseme.studies._spelling.tables import accuracy_rows, chance_of, difference_row, grouped_rows, length_of, metrics_of
from monoseme.studies._spelling.words import WordChoice, chosen, words_there
from monoseme.studies._workbench import Workbench
from monoseme.studies.spelling import Spelling
from monoseme.testing.models import tiny_model
from monoseme.text import CorpusConfig

_FIRST = task_named("first_letter")


def _grade(word: str, *, right: bool, n_examples: int = 2, choice: str | None = None) -> Grade:
    answer, n = _FIRST.answer(word), 1
    likely = -0.5 if right else -4.0
    return Grade(word, f"{word}:", answer, answer if right else " X", right, likely, -0.25, n_examples, n, n, int(right), choice)


def _answers(right: dict[str, bool], *, subject: str = MODEL, n_examples: tuple[int, ...] = (0, 2)) -> Answers:
    grades = [
        _grade(w, right=r and n > 0, n_examples=n, choice=w.strip()[0].upper()) for n in n_examples for w, r in right.items()
    ]
    made = {word: Written(_FIRST.answer(word), i > 0, True) for i, word in enumerate(list(right)[:4])}
    return Answers(_FIRST, subject, grades, made if subject == MODEL else None)


def _words(n_letters: int, letters: str = "abcdefghij") -> list[str]:
    return [" " + letter + "x" * (n_letters - 1) for letter in letters]


def test_a_shares_interval_is_wilsons():
    """8 of 10: (0.8 + 1.96^2/20 +- 1.96 sqrt(0.16/10 + 1.96^2/400)) / (1 + 1.96^2/10), as in Brown, Cai and DasGupta 2001."""
    assert of_share(8, 10)[:3] == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    assert of_share(0, 10)[:3] == pytest.approx((0.0, 0.0, 0.2775), abs=1e-4)
    assert of_share(10, 10).high == 1.0
    assert of_share(0, 0).low is None


def test_words_of_a_file_get_their_space_and_come_once(tmp_path: Path):
    file = tmp_path / "words.txt"
    file.write_text("cat\nCat\na\nhouse\n")
    choice = WordChoice(str(file), leading_space=True, least_letters=2, least_count=None)
    assert words_there(tiny_model(), choice, ()) == [" cat", " house"]
    assert words_there(tiny_model(), choice._replace(leading_space=False), ()) == ["cat", "house"]
    assert words_there(tiny_model(), choice._replace(least_count=2), ["A house is a house. Cat."]) == [" house"]
    with pytest.raises(ConfigError, match=r"no word of .* is left"):
        words_there(tiny_model(), choice._replace(least_letters=9), ())


def test_words_of_the_vocabulary_have_different_letters():
    found = words_there(tiny_model(), WordChoice(None, leading_space=True, least_letters=2, least_count=None), ())
    assert {" cat", " mat"} <= set(found)
    assert len({letters_of(word) for word in found}) == len(found)


def test_words_are_chosen_evenly_over_lengths():
    words = [*_words(3), *_words(5)[:2], *_words(4)]
    made = chosen(words, _FIRST, n_words=8, seed=0)
    assert sorted(len(word) - 1 for word in made) == [3, 3, 3, 4, 4, 4, 5, 5]
    assert made == chosen(words, _FIRST, n_words=8, seed=0)
    assert set(chosen(words, task_named("nth_start_4"), n_words=99, seed=0)) == {*_words(5)[:2], *_words(4)}


def test_rows_are_the_numbers_by_hand():
    answers = _answers({" ab": True, " ac": False, " bcd": True, " def": True})
    first, last = accuracy_rows(answers)
    assert (first["icl_length"], first["accuracy"], first["choice_accuracy"], first["written_accuracy"]) == (0, 0.0, 1.0, None)
    assert (last["accuracy"], last["n_words"], last["chance"]) == (0.75, 4, 0.5)
    assert (last["written_accuracy"], last["written_cut_accuracy"]) == (0.75, 1.0)
    assert last["answer_log_prob"] == pytest.approx((3 * -0.5 - 4.0) / 4)
    assert last["prediction_log_prob"] == -0.25
    assert (last["accuracy_low"], last["accuracy_high"]) == of_share(3, 4)[1:3]
    assert chance_of(answers) == 0.5
    rows = grouped_rows(answers, "word_length", length_of)
    assert [(r["word_length"], r["icl_length"], r["accuracy"]) for r in rows] == [(2, 0, 0), (2, 2, 0.5), (3, 0, 0), (3, 2, 1)]
    values = {metric.name: metric.value for metric in metrics_of(answers)}
    assert (values["first_letter_accuracy"], values["first_letter_written_cut_accuracy"]) == (0.75, 1.0)


def test_what_an_sae_costs_is_paired_by_word():
    right = dict.fromkeys(_words(3), True)
    other = _answers(right | dict.fromkeys(list(right)[:5], False), subject="topk")
    row = difference_row(_answers(right), other, n_replicates=100, seed=0)
    assert row["accuracy_difference"] == -0.5
    assert row["accuracy_difference_low"] < -0.5 < row["accuracy_difference_high"] < 0
    assert row["log_prob_difference"] == pytest.approx(-1.75)
    none = difference_row(_answers(right), _answers(right, subject="topk"), n_replicates=100, seed=0)
    assert (none["accuracy_difference"], none["accuracy_difference_high"]) == (0.0, 0.0)


def test_findings_say_first_whether_the_model_can_do_the_task():
    words = _words(3) + _words(4)
    able = _answers(dict.fromkeys(words, True) | dict.fromkeys(_words(4)[:6], False))
    broken = _answers(dict.fromkeys(words, False), subject="topk")
    assert can_do(able)
    found = findings_of([able, broken], left_out=[], n_replicates=100, seed=0)
    assert [finding.verdict for finding in found] == ["reproduced", "reproduced", "reproduced", "not reproduced"]
    assert "first_letter: accuracy 0.7 [" in found[0].comparisons[0].numbers
    assert "It cannot do" not in found[0].claim
    always = _answers(dict.fromkeys(words, True), n_examples=(1, 2))
    found = findings_of([always], left_out=[], n_replicates=100, seed=0)
    assert [finding.verdict for finding in found[1:3]] == ["not measured"] * 2, "nothing is to be gained, and no word is hard"


def test_a_model_at_chance_is_said_to_be_unable_and_nothing_more_is_claimed():
    guesses = _answers({word: word.startswith(" a") for word in _words(3, "aaabcdefgh")})  # always "A": right in 3 of 10
    assert not can_do(guesses)
    found = findings_of([guesses], left_out=["mlsae is of 6 sites."], n_replicates=100, seed=0)
    assert "**It cannot do first_letter**" in found[0].claim
    assert [finding.verdict for finding in found] == ["not reproduced", *["not measured"] * 3]
    assert found[-1].why_missing.endswith("mlsae is of 6 sites.")


def test_figures_are_drawn_of_what_was_measured():
    model, sae = _answers(dict.fromkeys(_words(3) + _words(4), True)), _answers(dict.fromkeys(_words(3), True), subject="topk")
    accuracies = accuracy_rows(model) + accuracy_rows(sae)
    lengths, by_token = grouped_rows(model, "word_length", length_of), grouped_rows(model, "n_tokens", lambda g: g.n_tokens)
    by_answer = [row for each in (model, sae) for row in grouped_rows(each, "answer", lambda g: g.answer.strip())]
    made = [
        accuracy_dots(accuracies),
        log_prob_dots(accuracies),
        length_map(lengths, "first_letter"),
        answer_map(by_answer, _FIRST),
    ]
    assert all("<svg" in figure.render("svg") for figure in made)  # pyright: ignore
    assert token_map(by_token, "first_letter") is None, "all words are one token"


def test_answers_are_kept_whole(tmp_path: Path):
    answers = _answers({" ab": True, " bcd": False})
    write_answers(tmp_path / "a.json", answers)
    assert read_answers(tmp_path / "a.json", _FIRST, MODEL) == answers
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ArtifactDamagedError, match="Delete it"):
        read_answers(tmp_path / "a.json", _FIRST, MODEL)


def test_an_sae_in_place_changes_answers_and_with_its_error_none(studied_run: RunFolder):
    bench = Workbench(Spelling.Config(sae=(str(studied_run.path / "saes" / "topk"), str(studied_run.path / "saes" / "tfa"))))
    words = (" cat", " mat", " on", " big", " red")
    exam = Examination(_FIRST, words, (0, 1), 2, "everywhere", 0)
    plain = examine(bench.model, exam, MODEL, ())
    assert plain.written is not None
    assert len(plain.grades) == 10
    for subject in bench.subjects:
        exact = examine(bench.model, exam, "exact", [splice(subject.sae, subject.sites[0], error_term=True)])
        changed = examine(bench.model, exam, "changed", [splice(subject.sae, subject.sites[0])])
        for a, b, c in zip(plain.grades, exact.grades, changed.grades, strict=True):
            assert b.answer_log_prob == pytest.approx(a.answer_log_prob, abs=1e-4)
            assert c.answer_log_prob != pytest.approx(a.answer_log_prob, abs=1e-4)
        assert changed.written is not None, "an SAE of contexts that keeps a history follows what is written"


def test_the_study_of_a_model_that_cannot_spell_says_so_and_goes_no_further(studied_run: RunFolder, tmp_path: Path):
    STUDIES.get("spelling")  # gives it its name
    saes = tuple(str(studied_run.path / "saes" / name) for name in ("topk", "mlsae"))
    config = Spelling.Config(sae=saes, task=("last_letter", "spelling"), n_words=8, n_examples=(0, 1), n_written=2)
    with pytest.warns(UserWarning, match="so SAEs are not put in place"):
        report = run_study(Spelling(config), tmp_path / "out", command="monoseme study spelling")
    found = read_json(report / "report.json")
    assert "It cannot do last_letter, spelling" in found["findings"][0]["claim"]
    assert "mlsae is of " in (report / "index.md").read_text()
    rows = pq.read_table(report / "tables" / "grades.parquet").to_pylist()
    assert {row["subject"] for row in rows} == {MODEL}
    assert {"word", "answer", "prediction", "is_correct", "answer_log_prob", "prediction_log_prob"} <= set(rows[0])
    lengths = pq.read_table(report / "tables" / "by_length.parquet").to_pylist()
    assert {"word_length", "icl_length", "accuracy"} <= set(lengths[0])
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "work").rglob("*.json")}
    with pytest.warns(UserWarning, match="so SAEs are not put in place"):
        run_study(Spelling(config), tmp_path / "out", command="monoseme study spelling", resume=True)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "nothing is asked twice"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"task": ("frist",)}, 'no task "frist"'),
        ({"task": ("spelling", "spelling")}, "each once"),
        ({"n_words": 0}, "n_words is 0"),
        ({"n_examples": (-1,)}, "n_examples"),
        ({"ablate": (3,)}, "Name some with --sae"),
        ({"corpus": CorpusConfig(source="bundled")}, "least_count"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], told: str):
    with pytest.raises(ConfigError, match=told):
        Spelling.Config(**settings)  # pyright: ignore


def test_without_saes_the_model_alone_is_asked(model_folder: Path, tmp_path: Path):
    from monoseme.models import ModelConfig

    config = Spelling.Config(
        model=ModelConfig(model=str(model_folder)), task=("last_letter",), n_words=4, n_examples=(1,), n_written=0
    )
    found = Spelling(config).investigate(tmp_path)
    assert list(found.metrics) == [MODEL]
    assert found.inputs == {str(model_folder): LanguageModel.load(str(model_folder)).content_hash()}
