"""The offline explainer and its detection score on planted rules."""

from pathlib import Path

import numpy as np
import pytest
from atlas_fakes import SITE, FakeSAE, planted_atlas, planted_model, planted_source

from monoseme.atlas import EXPLAINERS, SCORERS, Atlas, Explanation, Target, explain_latents, open_atlas, scan, score_explanations
from monoseme.atlas.explain._features import FAMILIES, N_COLUMNS, SignReader
from monoseme.atlas.explain._rules import BackgroundIndex, Sign, choose_signs
from monoseme.atlas.explain._sentence import sentence
from monoseme.atlas.explain.offline import Offline, _begun, _new_habits
from monoseme.atlas.said import Condition, Rule
from monoseme.atlas.score.detection import Detection, auroc
from monoseme.atlas.split import is_heldout
from monoseme.core.errors import ConfigError, UnknownPluginError


def _scores(atlas: Atlas, latent: int) -> dict[str, float | None]:
    return {score.name: score.value for score in atlas.latent("topk", latent).scores}


@pytest.mark.parametrize(
    ("latent", "text"), [(0, 'fires on " cat" (100 % of its firings)'), (1, 'fires after " the" (100 % of its firings)')]
)
def test_a_planted_rule_is_found_and_told(planted: Atlas, latent: int, text: str) -> None:
    said = planted.latent("topk", latent).explanations[0]
    assert said.text == text
    assert said.source == "offline"
    rule = said.rules[0]
    assert (rule.recall, rule.adds, rule.false_rate) == (1.0, 1.0, 0.0)
    assert rule.precision > 0.97
    assert said.n_firings > 20
    assert said.n_background > 300


@pytest.mark.parametrize("latent", [0, 1])
def test_a_planted_rule_scores_one_and_its_controls_a_half(planted: Atlas, latent: int) -> None:
    scores = _scores(planted, latent)
    assert scores["balanced_accuracy"] == scores["auroc"] == scores["hit_rate"] == 1.0
    assert scores["false_alarm_rate"] == 0.0
    assert scores["balanced_accuracy_empty"] == 0.5
    # a rule of an independent latent: its standard error from some 50 firings is about 0.035
    assert scores["balanced_accuracy_other"] == pytest.approx(0.5, abs=0.11)


def test_a_latent_that_fires_at_random_scores_a_half(planted: Atlas) -> None:
    for latent in (3, 4):
        assert _scores(planted, latent)["balanced_accuracy"] == pytest.approx(0.5, abs=0.11)


def test_a_dead_latent_is_unexplained_and_unscored_with_the_reason(planted: Atlas) -> None:
    page = planted.latent("topk", 2)
    assert page.explanations[0].text is None
    assert page.explanations[0].why_missing == "never fired in 1,232 tokens"
    assert [score.name for score in page.scores] == list(Detection.definitions)
    assert all(score.value is None and "never fired" in str(score.why_missing) for score in page.scores)


def test_explaining_and_scoring_see_different_documents(planted: Atlas) -> None:
    evidence = planted.evidence("topk")
    for latent in (0, 3):
        train, test = (set(evidence.firings(latent, heldout=heldout).document.tolist()) for heldout in (False, True))
        assert train
        assert test
        assert not train & test
    train, test = (set(evidence.background(heldout=heldout).document.tolist()) for heldout in (False, True))
    assert not train & test


def test_about_half_of_the_documents_are_held_out() -> None:
    # standard deviation 0.5 / sqrt(10,000) = 0.005; five of them
    assert is_heldout(np.arange(10_000)).mean() == pytest.approx(0.5, abs=0.025)


def test_the_background_rows_on_which_a_latent_fires_are_known(planted: Atlas) -> None:
    evidence = planted.evidence("topk")
    for heldout in (False, True):
        places = evidence.background(heldout=heldout)
        tokens = planted.text.gather(places.document, places.position, [0])[:, 0]
        assert evidence.fires_in_background(0, heldout=heldout).tolist() == np.nonzero(tokens == 2)[0].tolist()


def test_detection_equals_a_slow_count(planted: Atlas) -> None:
    evidence, said = planted.evidence("topk"), planted.latent("topk", 1).explanations[0]
    reader = SignReader(planted.text)
    columns = {family.name: family.columns for family in FAMILIES}

    def fires(codes: np.ndarray) -> list[bool]:
        return [any(rule.condition.code in row[columns[rule.condition.family]] for rule in said.rules) for row in codes]

    hits = fires(reader.codes(evidence.firings(4, heldout=True)))
    alarms = np.array(fires(reader.codes(evidence.background(heldout=True))))
    silent = np.delete(np.arange(len(alarms)), evidence.fires_in_background(4, heldout=True))
    expected = (np.mean(hits) + 1 - alarms[silent].mean()) / 2
    moved = Explanation(latent=4, text=said.text, rules=said.rules)
    found = {score.name: score.value for score in Detection().score(evidence, [moved])}
    assert found["balanced_accuracy"] == pytest.approx(expected)
    assert found["balanced_accuracy_other"] is None


def test_an_empty_explanation_scores_exactly_a_half(planted: Atlas) -> None:
    found = Detection().score(planted.evidence("topk"), [Explanation(latent=0, text="nothing", n_firings=9)])
    assert [score.value for score in found if score.name in ("balanced_accuracy", "auroc")] == [0.5, 0.5]


def test_auroc_counts_pairs_and_halves_ties() -> None:
    assert auroc(np.array([2.0, 1.0]), np.array([1.0, 0.0, 3.0])) == (2 + 1.5) / 6


def test_noise_is_not_explained() -> None:
    rng = np.random.default_rng(0)
    n_explained = 0
    for _ in range(40):
        codes = rng.integers(0, 30, (2053, FAMILIES[-1].columns.stop))
        chosen = choose_signs(codes[:53], BackgroundIndex(codes[53:]), np.empty(0, dtype=np.int64), most=5)
        n_explained += bool(chosen)
    # 9 families of 30 codes are 270 signs, each chosen by chance once in 10,000: about 1 latent of 40
    assert n_explained <= 4


def test_words_are_read_back_to_their_beginning_and_without_case(tmp_path: Path) -> None:
    words = ["<bos>", " The", " c", "at", "CAT", " cat", "."]
    source = planted_source()
    for block in source.given:
        block.tokens.fill_(6)
        block.tokens[:, 1:8] = block.tokens.new_tensor([1, 2, 3, 6, 4, 5, 6])
    model = planted_model()
    model.decode_tokens = lambda ids: [words[i] if i < len(words) else "?" for i in ids]  # type: ignore[method-assign]
    scan(source, [Target("a", FakeSAE(5), (SITE,))], tmp_path, model=model)
    atlas = open_atlas(tmp_path)
    reader = SignReader(atlas.text)
    from monoseme.atlas.evidence import Places

    codes = reader.codes(Places(np.zeros(7, dtype=np.int64), np.arange(7)))[:, 1]
    told = [reader.describe("word", int(code)) for code in codes]
    assert told == ['"the"', '"c"', '"cat"', '"."', '"cat"', '"cat"', '"."']
    assert codes[2] == codes[4] == codes[5]


def test_control_characters_and_quotes_are_spelt_out(planted: Atlas) -> None:
    reader = SignReader(planted.text)
    assert [reader.describe("token", token) for token in (6, 8, 9, 7)] == ['"\\n"', '" \\""', '"\\u0007"', '"<script>"']


def test_explanations_are_the_same_each_time(tmp_path: Path, planted: Atlas) -> None:
    planted_atlas(tmp_path)
    again = open_atlas(tmp_path)
    for latent in range(5):
        assert again.latent("topk", latent) == planted.latent("topk", latent)


def test_chosen_latents_are_explained_in_the_order_asked_for(planted: Atlas) -> None:
    found = list(Offline().explain(planted.evidence("topk"), [3, 0]))
    assert [said.latent for said in found] == [3, 0]


def test_plug_ins_are_found_by_name() -> None:
    assert EXPLAINERS.get("offline") is Offline
    assert SCORERS.get("detection") is Detection
    with pytest.raises(UnknownPluginError, match='Did you mean "offline"'):
        EXPLAINERS.get("ofline")


def test_scores_of_scores_are_refused(tmp_path: Path) -> None:
    planted_atlas(tmp_path)
    atlas = open_atlas(tmp_path)
    with pytest.raises(ConfigError, match="holds scores"):
        score_explanations(atlas, "topk", explanations="detection.offline", label="x")
    with pytest.raises(ConfigError, match='Did you mean "offline"'):
        score_explanations(atlas, "topk", explanations="offlin", label="x")
    with pytest.raises(ConfigError, match="no latent 9"):
        explain_latents(atlas, "topk", latents=[9], label="y")


@pytest.mark.parametrize("bad", [{"most_rules": 0}, {"fewest_firings": 1}])
def test_explainer_settings_out_of_range_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        Offline.Config(**bad)


def _cut_words(path: Path) -> Atlas:
    """Texts in which " pict" is always followed by "ure" and " dog" never by a piece; latents are those of the planted model."""
    words = ["<bos>", " a", " pict", "ure", " dog", "."]
    rng = np.random.default_rng(0)
    source = planted_source()
    for block in source.given:
        block.tokens.fill_(0)
        n_contexts, n_tokens = block.tokens.shape
        for row in range(n_contexts):
            told: list[int] = []
            while len(told) < n_tokens:
                told += [(1,), (2, 3), (4,), (5,)][rng.integers(4)]
            block.tokens[row, 1:] = block.tokens.new_tensor(told[: n_tokens - 1])
    model = planted_model()
    model.decode_tokens = lambda ids: [words[i] if i < len(words) else "?" for i in ids]  # type: ignore[method-assign]
    scan(source, [Target("a", FakeSAE(5), (SITE,))], path, model=model)
    return open_atlas(path)


def test_the_beginning_of_a_word_is_not_called_a_word(tmp_path: Path) -> None:
    atlas = _cut_words(tmp_path)
    reader = SignReader(atlas.text)
    evidence = atlas.evidence("a")
    places = evidence.background(heldout=False)
    codes, goes_on = reader.codes(places), reader.goes_on(places)
    token = atlas.text.gather(places.document, places.position, [0])[:, 0]
    inside = atlas.text.gather(places.document, places.position, [1])[:, 0] >= 0
    assert goes_on[inside].tolist() == (token[inside] == 2).tolist()
    assert not goes_on[~inside].any()
    words = {reader.describe("word", code): Sign("word", code, 0.5, 0.5, 0.0) for code in np.unique(codes[:, 1]).tolist()}
    signs = [words['"pict"'], words['"dog"'], words['"picture"']]
    begun = _begun(signs, codes, goes_on)
    assert begun == {words['"pict"'].code}
    rules = [
        Rule(
            condition=Condition(family="word", code=s.code, text=reader.describe("word", s.code)),
            recall=0.5,
            adds=0.2,
            false_rate=0.0,
            precision=1.0,
        )
        for s in signs
    ]
    assert sentence(rules, (), begun=begun) == (
        'fires in words that begin with "pict" (20 % of its firings); fires in the word "dog", "picture" (40 % of its firings)'
    )


def test_what_follows_from_a_sign_is_not_told_again() -> None:
    """Columns: token, word, shape, place, source, previous, pair, triple, recent."""
    n = 400
    background = np.full((n, N_COLUMNS), -1, dtype=np.int64)
    background[:, 0] = np.arange(n) % 20
    background[:, 2] = np.where(background[:, 0] < 2, 3, 6)
    firings = np.full((60, N_COLUMNS), -1, dtype=np.int64)
    firings[:, 2] = 3
    index = BackgroundIndex(background)

    def told(n_of_sign: int) -> list[str]:
        codes = firings.copy()
        codes[:, 0] = [0] * n_of_sign + [1] * (60 - n_of_sign)
        return [habit.family for habit in _new_habits(codes, index, [Sign("token", 0, n_of_sign / 60, n_of_sign / 60, 0.0)])]

    assert told(60) == told(55) == []
    assert told(40) == ["shape"]  # a third of its firings are on other punctuation
    # the same sign with and without the habit implies nothing
    index = BackgroundIndex(np.concatenate([background, [[0, -1, 6, *[-1] * (N_COLUMNS - 3)]]]))
    assert told(60) == ["shape"]
