"""Progress of studies over a text: `max_tokens` bounds what is read, and mostly the text ends before."""

from pathlib import Path

from tests.progress_totals import Totals

from monoseme.core.display import use_display
from monoseme.pipeline import RunFolder
from monoseme.studies._dictionaries.codes import gather
from monoseme.studies._steering.facts import read_facts
from monoseme.studies._workbench import SaeStudyConfig, Workbench


def test_codes_and_facts_name_no_total_that_the_text_does_not_reach(studied_run: RunFolder, tmp_path: Path) -> None:
    bench, display = Workbench(SaeStudyConfig(sae=(str(studied_run.sae("topk")),))), Totals()
    (subject,) = bench.subjects
    with use_display(display):
        gather(bench, tmp_path, max_tokens=300_000)
        read_facts(bench, subject, [0], [], max_tokens=300_000, most_partners=1, least_correlation=0.5)
    assert all(0 < display.done[task] < 300_000 for task in ("codes", "facts of topk"))
    assert display.missed() == {}
