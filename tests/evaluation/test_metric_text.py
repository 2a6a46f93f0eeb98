"""What a metric says of itself."""

from monoseme.evaluation import Metric


def test_the_spread_that_is_shown_is_that_of_a_95_percent_interval() -> None:
    metric = Metric(
        name="fvu",
        value=0.25,
        unit="fraction",
        better="lower",
        n=4000,
        n_documents=31,
        standard_error=0.01,
        definition="Squared error / variance.",
    )
    assert str(metric) == "fvu: 0.25 ± 0.02 fraction (± is 1.96 standard errors)"
