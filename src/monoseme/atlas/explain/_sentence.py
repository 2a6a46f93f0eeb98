"""Says the rules of an explanation in a sentence."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from monoseme.atlas.said import Rule

_MOST_NAMED = 6
_LEADS = {
    "token": "fires on {}",
    "word": "fires in the word {}",
    "shape": "fires on {}",
    "place": "fires on {}",
    "source": "fires on text from {}",
    "previous": "fires after {}",
    "pair": "fires at the end of {}",
    "triple": "fires at the end of {}",
    "recent": "fires within 8 tokens after {}",
}
_BEGUN = "fires in words that begin with {}"
_HABITS = {"previous": "mostly after {}", "source": "mostly in text from {}", "shape": "mostly on {}", "place": "mostly on {}"}


def sentence(rules: Sequence[Rule], habits: Sequence[Rule], *, begun: AbstractSet[int] = frozenset()) -> str:
    """One line, such as: fires on " cat", " dog" (82 % of its firings); mostly after " the".

    `begun`: codes of "word" of which only the beginning is read where the latent fires.
    """
    if not rules:
        return "no simple pattern found: no token, word or recent context tells its firings from other text"
    leads: dict[str, list[Rule]] = {}
    for rule in rules:
        is_begun = rule.condition.family == "word" and rule.condition.code in begun
        leads.setdefault(_BEGUN if is_begun else _LEADS[rule.condition.family], []).append(rule)
    # the rules of one lead match different firings by construction, so the shares they add are shares of the whole
    parts = [f"{lead.format(_names(group))} ({_percent(group)} of its firings)" for lead, group in leads.items()]
    parts += [_HABITS[habit.condition.family].format(habit.condition.text) for habit in habits]
    return "; ".join(parts)


def _names(rules: Sequence[Rule]) -> str:
    named = ", ".join(rule.condition.text for rule in rules[:_MOST_NAMED])
    return f"{named} and {len(rules) - _MOST_NAMED} more" if len(rules) > _MOST_NAMED else named


def _percent(rules: Sequence[Rule]) -> str:
    return f"{100 * sum(rule.adds for rule in rules):.0f} %"
