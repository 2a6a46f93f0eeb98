"""Sentences above the card: what in its numbers forbids to read it as one would."""

from collections.abc import Iterator, Sequence

from monoseme.studies._absorption.dictionaries import ALIKE
from monoseme.studies._card.controls import is_control, n_on_by_name
from monoseme.studies._card.lines import Line, Value

_MANY_DEAD = 0.5
_MANY_DENSE = 0.1
_NOT_TO_BEAT = ("l0", "dead_fraction", "dense_fraction")
"""Controls have no dead or dense latents by their making, and the L0 that they were given."""
_AT_ANY_L0 = "top_"
"""How the names of metrics begin that do not hang on it: sparse probes see as many entries of a code as of the other."""
JUDGED = (
    "Explanations of latents are not scored here: that needs a judge (`monoseme explain`). Read such scores beside a floor: even "
    "latents of SAEs on models with random weights get good ones (Heap et al. 2025, arXiv:2501.17727)."
)


def warnings_of(lines: Sequence[Line], names: Sequence[str]) -> list[str]:
    """What should be known of these SAEs."""
    return [*_too_many(lines, names), *_at_the_floor(lines, names), *_not_held_against(lines, names)]


def _too_many(lines: Sequence[Line], names: Sequence[str]) -> Iterator[str]:
    by_key = {line.key: line for line in lines}
    for name in names:
        for key, most, told in (
            ("dead_fraction", _MANY_DEAD, "of the latents of {name} never fired: it is narrower than it says"),
            ("dense_fraction", _MANY_DENSE, "of the latents of {name} fire on more than a tenth of the tokens"),
        ):
            held = by_key[key].values.get(name) if key in by_key else None
            if held is not None and held.value is not None and held.value > most:
                yield f"{held.value:.0%} {told.format(name=name)}."


def _at_the_floor(lines: Sequence[Line], names: Sequence[str]) -> Iterator[str]:
    """Lines in which SAEs are not better than a control of like L0 that learned nothing."""
    for line in lines:
        rivals = {control: value for control, value in line.values.items() if is_control(control)}
        for control, value in rivals.items() if line.key not in _NOT_TO_BEAT else ():
            like = names if line.key.startswith(_AT_ANY_L0) else [name for name in names if _is_like(name, control, lines, names)]
            weak = [name for name in like if name in line.values and not _is_better(line.values[name], value, line.better)]
            if weak:
                what = line.label[0].upper() + line.label[1:]
                yield f"{what}: {', '.join(weak)} {'is' if len(weak) == 1 else 'are'} not clearly better than {control}."


def _not_held_against(lines: Sequence[Line], names: Sequence[str]) -> Iterator[str]:
    """Which SAEs have no control of like L0, so that the sentences on controls leave them out."""
    held = [line for line in lines if line.key not in _NOT_TO_BEAT and not line.key.startswith(_AT_ANY_L0)]
    controls = [name for name in dict.fromkeys(name for line in held for name in line.values) if is_control(name)]
    alone = [name for name in names if not any(_is_like(name, control, lines, names) for control in controls)]
    if not controls or not alone:
        return
    if len(known := {name: found for name in (*alone, *controls) if (found := _l0(name, lines)) is not None}) < 2:
        yield f"Whether the controls are of the L0 of {', '.join(alone)} is not known here: measure fidelity too."
        return
    told = ", ".join(f"{name} {l0:.3g}" for name, l0 in known.items())
    yield (
        f"No control has an L0 near that of {', '.join(alone)}, so none is said to be as good (L0: {told}). "
        "A card of SAEs of like L0 has controls of theirs."
    )


def _is_like(name: str, control: str, lines: Sequence[Line], names: Sequence[str]) -> bool:
    """Whether the L0 of one is at most `ALIKE` times that of the other. One SAE alone has controls that were made for it."""
    own, theirs = _l0(name, lines), _l0(control, lines)
    if own is None or theirs is None:
        return len(names) == 1
    return max(own, theirs) <= ALIKE * min(own, theirs)


def _l0(name: str, lines: Sequence[Line]) -> float | None:
    """As the card's line says it, or a control's own name."""
    for line in lines:
        if line.key == "l0" and name in line.values:
            return line.values[name].value
    return n_on_by_name(name)


def _is_better(own: Value, rival: Value, better: str) -> bool:
    """Whether the SAE is on the good side, intervals apart where there are any; True where that cannot be asked."""
    if better == "neither" or own.value is None or rival.value is None:
        return True
    if better == "higher":
        return (own.value if own.low is None else own.low) > (rival.value if rival.high is None else rival.high)
    return (own.value if own.high is None else own.high) < (rival.value if rival.low is None else rival.low)
