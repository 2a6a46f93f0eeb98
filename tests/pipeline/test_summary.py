"""A training run ends with one table."""

from monoseme.pipeline._summary import training_table

_ROWS = [
    {"event": "validation", "sae": "topk", "step": 1, "fvu": 0.9, "l0": 4.0},
    {"event": "validation", "sae": "topk", "step": 2, "fvu": 0.123456, "l0": 4.0},
    {"sae": "topk", "step": 3, "fvu": 0.5},
    {"event": "validation", "sae": "a.longer.name", "step": 2, "fvu": 0.25, "l0": None},
]


def test_the_last_validation_of_each_sae_is_a_line() -> None:
    assert training_table(_ROWS, ["topk", "a.longer.name"]).splitlines() == [
        "SAE               FVU  L0",
        "topk           0.1235   4",
        "a.longer.name    0.25   –",
    ]


def test_without_a_validation_there_is_no_table() -> None:
    assert training_table([{"sae": "topk", "fvu": 0.5}], ["topk"]) == ""
