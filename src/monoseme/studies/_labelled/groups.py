"""The eight labelled data sets of SAEBench: where they lie on the hub, and which classes of them are probed.

Facts only, from SAEBench 0.6 (`sae_bench_utils/dataset_info.py` and `dataset_utils.py`); arXiv:2503.09532, appendix on sparse
probing. A group has at most five classes, which is why the biographies are three groups.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

_PROFESSIONS = (
    "accountant",
    "architect",
    "attorney",
    "chiropractor",
    "comedian",
    "composer",
    "dentist",
    "dietitian",
    "dj",
    "filmmaker",
    "interior_designer",
    "journalist",
    "model",
    "nurse",
    "painter",
    "paralegal",
    "pastor",
    "personal_trainer",
    "photographer",
    "physician",
    "poet",
    "professor",
    "psychologist",
    "rapper",
    "software_engineer",
    "surgeon",
    "teacher",
    "yoga_teacher",
)
_CATEGORIES = {"1": "Toys_and_Games", "2": "Cell_Phones", "3": "Industrial", "5": "Musical_Instruments", "6": "Electronics"}
_RATINGS = {"1.0": "one star", "5.0": "five stars"}
_REVIEWS = "canrager/amazon_reviews_mcauley_1and5"
_TOPICS = {"0": "World", "1": "Sports", "2": "Business", "3": "Sci/Tech"}
_LANGUAGES = {"en": "en-fr", "fr": "fr-it", "de": "de-en", "es": "es-fr", "nl": "nl-pt"}
_CODE_ENDINGS = {
    "C": (".c", ".h"),
    "Python": (".py",),
    "HTML": (".html",),
    "Java": (".java",),
    "PHP": (".php", ".php3", ".php4", ".php5", ".phps", ".phpt"),
}


@dataclass(frozen=True, kw_only=True)
class LabelGroup:
    """A data set and the classes of it that are probed."""

    name: str
    """As SAEBench writes it."""
    hub_id: str
    text: str
    """Column of the text."""
    label: str
    """Column of the class."""
    classes: Mapping[str, str]
    """Value in the data set -> name of the class."""
    second: str | None = None
    """Column of a second label, over which each class is balanced."""
    second_classes: Mapping[str, str] = field(default_factory=dict[str, str])
    layout: Literal["splits", "languages", "code"] = "splits"
    """splits: columns of a train and a test split; languages: one subset of `subsets` for each class, a text for each language in
    a row; code: files of code, whose ending tells their class."""
    subsets: Mapping[str, str] = field(default_factory=dict[str, str])
    endings: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


def _biographies(number: int, *professions: int) -> LabelGroup:
    return LabelGroup(
        name=f"LabHC/bias_in_bios_class_set{number}",
        hub_id="LabHC/bias_in_bios",
        text="hard_text",
        label="profession",
        classes={str(i): _PROFESSIONS[i] for i in professions},
        second="gender",
        second_classes={"0": "male", "1": "female"},
    )


_GROUPS = (
    _biographies(1, 0, 1, 2, 6, 9),
    _biographies(2, 11, 13, 14, 18, 19),
    _biographies(3, 20, 21, 22, 25, 26),
    LabelGroup(
        name=_REVIEWS,
        hub_id=_REVIEWS,
        text="text",
        label="category",
        classes=_CATEGORIES,
        second="rating",
        second_classes=_RATINGS,
    ),
    LabelGroup(name=f"{_REVIEWS}_sentiment", hub_id=_REVIEWS, text="text", label="rating", classes=_RATINGS),
    LabelGroup(
        name="codeparrot/github-code",
        hub_id="codeparrot/github-code",
        text="code",
        label="language",
        classes={name: name for name in _CODE_ENDINGS},
        layout="code",
        endings=_CODE_ENDINGS,
    ),
    LabelGroup(name="fancyzhx/ag_news", hub_id="fancyzhx/ag_news", text="text", label="label", classes=_TOPICS),
    LabelGroup(
        name="Helsinki-NLP/europarl",
        hub_id="Helsinki-NLP/europarl",
        text="translation",
        label="language",
        classes={name: name for name in _LANGUAGES},
        layout="languages",
        subsets=_LANGUAGES,
    ),
)
SAEBENCH_GROUPS: Mapping[str, LabelGroup] = {group.name: group for group in _GROUPS}
"""By the names that SAEBench gives them."""
