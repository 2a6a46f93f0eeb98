"""Texts in which a latent shows what makes it differ, with the tokens on which it fires marked."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.evaluation._csr import Csr, as_csr
from monoseme.studies._alignment.sums import Sums, counted_tokens
from monoseme.studies._alignment.texts import Collected, Text
from monoseme.studies._base import Row
from monoseme.studies._texts import TextContexts
from monoseme.studies._workbench import Workbench

_MARK = "⟦", "⟧"
_BEFORE, _AFTER = 16, 24
"""Tokens shown around the strongest one."""
_N_TOKENS = 5
"""Tokens named of what a latent fires on."""
_WORTH_NAMING = 0.2
"""Share of the strongest token's activation below which a token is not named."""
_BREAK = "↵"


class Wanted(NamedTuple):
    """A latent of a subject, and the texts to show it in: the one or two of an example, first those of the group with more."""

    row: Row
    texts: list[list[int]]


class Firing(NamedTuple):
    """One latent in one text."""

    position: NDArray[np.int64]
    """[T] places of the tokens that count and fire, ascending."""
    value: NDArray[np.float64]
    """[T] of the site where it is largest, for an SAE with codes at several."""


class Examples(NamedTuple):
    """What there is to show."""

    rows: list[Row]
    """A row for each text of each example."""
    fires_on: Mapping[tuple[str, int], str]
    """(subject, latent) -> the tokens on which it fires most in these texts."""


def wanted(rows: Sequence[Row], collected: Collected, sums: Sums, *, n_examples: int) -> list[Wanted]:
    """For each row the pairs with the largest difference in its direction, or the texts of its group with the most."""
    made: list[Wanted] = []
    columns: dict[str, Csr] = {name: code.tocsc() for name, code in sums.codes.items()}
    texts = collected.texts
    for row in rows:
        values = columns[row["subject"]][:, [row["latent"]]].toarray()[:, 0]
        if collected.is_paired:
            sides = _sides(texts, more=collected.names.index(row["more_in"]))
            gain = np.array([values[a] - values[b] for a, b in sides])
            made.append(Wanted(row, [list(sides[i]) for i in np.argsort(-gain, kind="stable")[:n_examples] if gain[i] > 0]))
        else:
            own = [i for i, text in enumerate(texts) if collected.names[text.group] == row["more_in"]]
            best = sorted(own, key=lambda i: (-values[i], i))[:n_examples]
            made.append(Wanted(row, [[i] for i in best if values[i] > 0]))
    return made


def _sides(texts: Sequence[Text], *, more: int) -> list[tuple[int, int]]:
    by_pair = {(text.unit, text.group): i for i, text in enumerate(texts)}
    return [(by_pair[unit, more], by_pair[unit, 1 - more]) for unit in sorted({text.unit for text in texts})]


def examples(bench: Workbench, collected: Collected, wants: Sequence[Wanted], sums: Sums) -> Examples:
    """Runs the model over the texts of the examples once more, and shows them."""
    chosen = sorted({i for want in wants for example in want.texts for i in example})
    latents: dict[str, list[int]] = {}
    for want in wants:
        latents.setdefault(want.row["subject"], []).append(want.row["latent"])
    firings = _firings(bench, collected, chosen, latents)
    rows = [
        row
        for want in wants
        for number, example in enumerate(want.texts, start=1)
        for row in _rows(bench, collected, want.row, example, number, firings, sums)
    ]
    named = {(want.row["subject"], want.row["latent"]): _named(bench, collected, want, firings) for want in wants}
    return Examples(rows, named)


def _firings(
    bench: Workbench, collected: Collected, chosen: Sequence[int], latents: Mapping[str, Sequence[int]]
) -> dict[tuple[str, int, int], Firing]:
    """(subject, latent, text) -> where it fires; only what fires has an entry."""
    made: dict[tuple[str, int, int], Firing] = {}
    if not chosen:
        return made
    texts = [collected.texts[i] for i in chosen]
    contexts = TextContexts([text.ids for text in texts], collected.corpus, bench.materials.text.tokenizer)
    for coded in bench.coded(bench.of_contexts(contexts)):
        found = counted_tokens(coded, contexts, texts)
        for subject, wanted_latents in latents.items():
            code = coded.codes[subject]
            n_sites = code.n_rows // max(code.leading[0], 1)
            columns: Csr = as_csr(code).tocsc()
            for latent in wanted_latents:
                per_site = columns[:, [latent]].toarray().reshape(-1, n_sites)
                values = per_site[np.arange(len(per_site)), np.abs(per_site).argmax(axis=1)][found.row]
                for t in np.unique(found.text[values != 0]):
                    here = (found.text == t) & (values != 0)
                    made[subject, latent, chosen[t]] = Firing(found.position[here], values[here])
    return made


def _rows(
    bench: Workbench,
    collected: Collected,
    row: Row,
    example: Sequence[int],
    number: int,
    firings: Mapping[tuple[str, int, int], Firing],
    sums: Sums,
) -> list[Row]:
    made: list[Row] = []
    for i in example:
        text = collected.texts[i]
        firing = firings.get((row["subject"], row["latent"], i))
        made.append(
            {
                "subject": row["subject"],
                "latent": row["latent"],
                "more_in": row["more_in"],
                "example": number,
                "group": collected.names[text.group],
                "row": text.row + 1,
                "value": float(sums.codes[row["subject"]][i, row["latent"]]),
                "text": marked(bench, text, firing),
            }
        )
    return made


def marked(bench: Workbench, text: Text, firing: Firing | None) -> str:
    """A stretch about the strongest token, or from the first that counts where none fires; whoever shows it escapes it."""
    fires = set() if firing is None else set(firing.position.tolist())
    middle = int(firing.position[np.abs(firing.value).argmax()]) if firing is not None else int(text.counts.argmax()) + _BEFORE
    start, stop = max(0, middle - _BEFORE), min(len(text.ids), middle + _AFTER)
    said = ["… "] if start else []
    first = start
    while first < stop:
        last = first + 1
        while last < stop and (last in fires) == (first in fires):
            last += 1
        words = bench.model.token_text(text.ids[first:last].tolist(), after=text.ids[start:first].tolist())
        said.append(_between_marks(words) if first in fires else words)
        first = last
    return _one_line("".join(said)) + (" …" if stop < len(text.ids) else "")


def _between_marks(words: str) -> str:
    """The marks stand about the words, not the space before them."""
    bare = words.lstrip(" ")
    return words[: len(words) - len(bare)] + _MARK[0] + bare + _MARK[1]


def _one_line(text: str) -> str:
    return _BREAK.join(text.splitlines()) if text else text


def _visible(token: str) -> str:
    """Without the spaces about it, unless it is nothing else."""
    return (token.strip(" ") or token.replace(" ", "·")).replace("\n", _BREAK).replace("\t", "⇥")


def _named(bench: Workbench, collected: Collected, want: Wanted, firings: Mapping[tuple[str, int, int], Firing]) -> str:
    """The tokens with the largest activations in the texts shown, each once."""
    largest: dict[int, float] = {}
    for i in {i for example in want.texts for i in example}:
        firing = firings.get((want.row["subject"], want.row["latent"], i))
        if firing is not None:
            for position, value in zip(firing.position, firing.value, strict=True):
                token = int(collected.texts[i].ids[position])
                largest[token] = max(largest.get(token, 0.0), abs(float(value)))
    best = max(largest.values(), default=0.0)
    tokens = sorted((t for t in largest if largest[t] >= _WORTH_NAMING * best), key=lambda t: (-largest[t], t))
    words = dict.fromkeys(_visible(each) for each in bench.model.decode_tokens(tokens))
    return ", ".join(f"“{word}”" for word in list(words)[:_N_TOKENS])
