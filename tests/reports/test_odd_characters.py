"""Texts of a corpus may hold any character; a figure that shows them is drawn all the same."""

import altair as alt

from monoseme.reports.figures import Figure


def test_a_figure_of_texts_with_characters_that_xml_forbids_is_drawn() -> None:
    rows = [{"x": 1, "text": "nul\x00 bell\x07 \ufffe"}, {"x": 2, "text": "<script> & 🎉 \u202eback"}]
    chart = alt.Chart(alt.Data(values=rows)).mark_point().encode(x="x:Q", y="text:N", tooltip="text:N")
    made = Figure(name="odd", title="Odd\x01", caption="", chart=chart).pictures(("svg", "png", "pdf"))
    assert all(made.values())
    assert b"\x00" not in made["svg"]
    assert b"<script>" not in made["svg"]
