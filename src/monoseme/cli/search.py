"""Find latents in an atlas: by their explanations, by the text on which they fire, or by their numbers.

    monoseme search RUN "days of the week"                  explanations with these words, the best first (BM25)
    monoseme search RUN "time" --model FOLDER               explanations near in meaning, by a local sentence model
    monoseme search RUN --text "once upon a time"           places of a phrase, and the latents that fire there
    monoseme search RUN --where "density < 0.01 and max > 3 and explanation is not missing"
    monoseme search RUN "cat" --where "detection_balanced_accuracy > 0.8" --sort density --descending

RUN is a run or the folder of an atlas. --sae NAME keeps to one of its SAEs (of several, with commas), --n to so many hits (20) of
each; --label NAME to the explanations of that label. --roles user,assistant and --match-case go with --text, --sort and
--descending with --where. A statement compares columns of the table of latents; a wrong name lists them.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monoseme.atlas import Annotation, Atlas
from monoseme.atlas.annotations import read_explanations
from monoseme.atlas.roles import RoleFilter
from monoseme.atlas.search import find_phrase, latents_there, search_by_meaning, search_explanations
from monoseme.atlas.sentence_model import SentenceModel
from monoseme.cli._declared import HandFlag
from monoseme.cli._options import write
from monoseme.cli._run_words import RunWords, read_words
from monoseme.core.display import JsonDisplay, get_display
from monoseme.core.errors import ConfigError
from monoseme.pipeline import atlas_at

_FLAGS = (
    HandFlag("--sae", "SAEs of the atlas, with commas."),
    HandFlag("--n", "Hits of each SAE at most (20)."),
    HandFlag("--label", "Label of the explanations."),
    HandFlag("--model", "FOLDER of a local sentence model: search by meaning."),
    HandFlag("--text", "A phrase: places of it, and the latents that fire there."),
    HandFlag("--roles", "With --text: only what these speakers say, with commas."),
    HandFlag("--match-case", "With --text: capitals count.", is_switch=True),
    HandFlag("--where", "A statement about columns of the table of latents."),
    HandFlag("--sort", "With --where: the column to sort by."),
    HandFlag("--descending", "With --sort: the largest first.", is_switch=True),
)
_GOES_WITH = {"--roles": "--text", "--match-case": "--text", "--sort": "--where", "--descending": "--where"}
_SHOWN_COLUMNS = ("latent", "density", "max", "explanation")
_WORDS = ("text", "explanation")
_NOTHING = "  no latent found: try fewer or other words, or --where with numbers"
_N_PLACES = 5
"""Places of a phrase that are shown (count)."""
_AROUND = 12
"""Tokens shown before and after a place (count)."""


def main(words: list[str]) -> int:
    """Searches one atlas."""
    said = read_words(words, verb="search", flags=_FLAGS)
    if said is None:
        return 0
    _check(said)
    atlas = atlas_at(Path(said.paths[0]))
    saes = said.options["--sae"].split(",") if "--sae" in said.options else atlas.saes()
    query = " ".join(said.paths[1:])
    if "--where" in said.options:
        found = {sae: _by_numbers(atlas, sae, query, said) for sae in saes}
    elif "--text" in said.options:
        found = {sae: _by_text(atlas, sae, said) for sae in saes}
    else:
        found = {sae: _by_explanation(atlas, sae, query, said) for sae in saes}
    if isinstance(get_display(), JsonDisplay):
        get_display().result({"atlas": str(atlas.path), "found": found})
    else:
        nothing = _NOTHING if "--text" in said.options else f"{_NOTHING}{_by_text_instead(said.paths[0], query)}"
        write("\n".join(line for sae, hits in found.items() for line in (sae, *_lines(hits, nothing))))
    return 0


def _by_text_instead(run: str, query: str) -> str:
    """Words are looked for in explanations alone: what to type for those of the texts. Nothing where no words were given."""
    if not query:
        return ""
    phrase = f'"{query}"' if query.replace(" ", "").isalnum() else shlex.quote(query)
    typed = f"monoseme search {shlex.quote(run)} --text {phrase}"
    return f"\n  Only explanations were searched. Latents that fire where the text says so are found with:  {typed}"


def _check(said: RunWords) -> None:
    given = {*said.switches, *said.options}
    for flag, needed in _GOES_WITH.items():
        if flag in given and needed not in given:
            raise ConfigError(f"{flag} goes with {needed} only.\n  See:  monoseme search --help")
    if "--text" in given and ("--where" in given or len(said.paths) > 1):
        raise ConfigError("--text searches for a phrase alone.\n  Leave out --where and other words.")
    if len(said.paths) == 1 and not given & {"--text", "--where"}:
        raise ConfigError('search needs words, --text or --where.\n  Type, for example:  monoseme search runs/demo "cats"')


def _most(said: RunWords) -> int:
    most = said.number("--n")
    return 20 if most is None else most


def _explanations(atlas: Atlas, sae: str, label: str | None) -> list[Annotation]:
    """Those of the label, or all (the newest first) where none is said. Raises ConfigError for a label that there is not."""
    parts = [part for part in atlas.annotations(sae) if part.holds == "explanations"]
    if label is not None and label not in [part.label for part in parts]:
        held = ", ".join(part.label for part in parts) or "none"
        raise ConfigError(f'{sae} has no explanations "{label}".\n  It has: {held}')
    return [part for part in parts if label in (None, part.label)]


def _by_explanation(atlas: Atlas, sae: str, query: str, said: RunWords) -> dict[str, Any]:
    label = said.options.get("--label")
    told = [one for part in _explanations(atlas, sae, label) for one in read_explanations(part)]
    if "--model" in said.options:
        hits = search_by_meaning(told, query, SentenceModel(said.options["--model"]), n=_most(said))
    else:
        hits = search_explanations(told, query, n=_most(said))
    return {"n_searched": len(told), "hits": [hit.facts() for hit in hits]}


def _by_numbers(atlas: Atlas, sae: str, query: str, said: RunWords) -> dict[str, Any]:
    where = said.options["--where"]
    table = atlas.table(
        sae,
        where=where,
        search=query,
        sort=said.options.get("--sort", "latent"),
        descending="--descending" in said.switches,
        limit=_most(said),
    )
    asked = [name for name in table.columns if name in where or name == said.options.get("--sort")]
    shown = dict.fromkeys([*_SHOWN_COLUMNS[:-1], *asked, _SHOWN_COLUMNS[-1]])
    rows = [{name: row[name] for name in shown} for row in table.rows]
    return {"n_matching": table.n_matching, "hits": rows}


def _by_text(atlas: Atlas, sae: str, said: RunWords) -> dict[str, Any]:
    roles = said.options.get("--roles")
    only = RoleFilter(roles=None if roles is None else tuple(roles.split(",")))
    if not only.lets_all and atlas.text.roles is None:
        raise ConfigError("this atlas is of plain text, in which nobody speaks.\n  Leave out --roles.")
    matches = find_phrase(atlas.text, said.options["--text"], match_case="--match-case" in said.switches, only=only)
    there = latents_there(atlas.latents(sae), atlas.text, matches, n=_most(said))
    places = zip(matches.document[:_N_PLACES].tolist(), matches.position[:_N_PLACES].tolist(), strict=True)
    shown = [{"document": one, "position": at, "text": _around(atlas, one, at)} for one, at in places]
    counts = {"n_matches": there.n_matches, "n_with_codes": there.n_with_codes, "why_missing": there.why_missing}
    newest = _explanations(atlas, sae, said.options.get("--label"))[:1]
    told = {one.latent: one.text for part in newest for one in read_explanations(part)}
    return {**counts, "places": shown, "hits": [one._asdict() | {"explanation": told.get(one.latent)} for one in there.latents]}


def _around(atlas: Atlas, document: int, position: int) -> str:
    window = atlas.text.window(document, position, left=_AROUND, right=_AROUND)
    return "".join(atlas.text.token_text(token) for token in window.tokens.tolist())


def _lines(found: Mapping[str, Any], nothing: str) -> Sequence[str]:
    """Facts and places, a line each; then the hits as a table, what is said of a latent last; `nothing` where there is no hit."""
    facts = {name: value for name, value in found.items() if name not in ("places", "hits") and value is not None}
    lines = ["  " + ", ".join(f"{name} {_told(value)}" for name, value in facts.items())]
    lines += [f"  document {one['document']}, {one['position']}: {_told(one['text'])}" for one in found.get("places", ())]
    if not found["hits"]:
        return [*lines, nothing]
    numbers = [name for name in found["hits"][0] if name not in _WORDS]
    words = [name for name in found["hits"][0] if name in _WORDS]
    rows = [[*numbers, *words], *([_told(hit[name]) for name in (*numbers, *words)] for hit in found["hits"])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(numbers))]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  " + "  ".join([*cells, *row[len(numbers) :]]).rstrip())
    return lines


def _told(value: Any) -> str:
    """A value on one line; what is no printable character is written as Python writes it, since text is not to be trusted."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if value is None:
        return "-"
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(value))
