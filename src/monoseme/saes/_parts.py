"""Parts of a code by the words that users write: all, high, low, a group's number, predicted, novel.

Source: the high group is the first (coarsest) one, the low groups are all others (T-SAE,
arXiv:2511.05541; Matryoshka, arXiv:2503.17547); predicted and novel are those of TFA (arXiv:2511.01836).
"""

from collections.abc import Sequence

ALL = "all"
JOIN = "+"
"""Between the names of parts that are taken together: "group_1+group_2"."""
_NO_GROUPS = (ALL, "predicted", "novel")


def part_of(parts: Sequence[str], word: str) -> str | None:
    """The part that `word` means for an SAE whose parts are `parts`, as `Codes.part` takes it; None where it has no such part.

    `high` is the first group, `low` all others together, `2` the third group; any other word is a part's own name.
    """
    groups = [part for part in parts if part not in _NO_GROUPS]
    if word in parts:
        return word
    if word == "high" and groups:
        return groups[0]
    if word == "low" and len(groups) > 1:
        return JOIN.join(groups[1:])
    if word.isdecimal() and int(word) < len(groups):
        return groups[int(word)]
    return None
