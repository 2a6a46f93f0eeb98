"""What a plan is told of its text."""

import dataclasses

from monoseme.core.display import use_display
from monoseme.pipeline import RunConfig
from monoseme.planning.outline import RunOutline
from tests.progress_totals import Totals


def test_a_text_shorter_than_its_bound_ends_the_progress_before_it(config: RunConfig) -> None:
    stream = dataclasses.replace(config.stream, max_tokens=10_000_000)
    whole = RunConfig.of(dataclasses.replace(config.settings, stream=stream), config.saes)
    with use_display(display := Totals()):
        facts = RunOutline(whole).text
    assert 0 < facts.n_tokens == display.done["tokenise"] < (display.totals["tokenise"] or 0)
    assert display.missed() == {}
