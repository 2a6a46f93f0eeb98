"""List what can be plugged in: saes, evaluations, families, explainers, scorers, trackers, presets, studies and more.

    monoseme ls            the kinds
    monoseme ls saes       one kind, a line each; --json gives [{name, summary, source}]

Docstrings are read from the source; no plug-in is imported.
"""

from typing import Any

from monoseme.activations.formats import ACTIVATION_FORMATS
from monoseme.atlas.explain import EXPLAINERS
from monoseme.atlas.formats import ATLAS_FORMATS
from monoseme.atlas.score import SCORERS
from monoseme.cli._options import wants_help, write
from monoseme.cli._verbs import document
from monoseme.core.config import suggest
from monoseme.core.display import JsonDisplay, get_display
from monoseme.core.errors import ConfigError
from monoseme.core.registry import Registry
from monoseme.evaluation import EVALUATIONS
from monoseme.interchange import SAE_FORMATS
from monoseme.judges import JUDGES
from monoseme.models import FAMILIES
from monoseme.presets import PRESETS
from monoseme.saes import SAES
from monoseme.steering import STEERING
from monoseme.studies import STUDIES
from monoseme.training.trackers import TRACKERS

_ALL = (
    SAES,
    EVALUATIONS,
    FAMILIES,
    SAE_FORMATS,
    ACTIVATION_FORMATS,
    EXPLAINERS,
    SCORERS,
    ATLAS_FORMATS,
    JUDGES,
    STEERING,
    TRACKERS,
    PRESETS,
    STUDIES,
)
KINDS: dict[str, Registry[Any]] = {registry.kind: registry for registry in _ALL}


def main(words: list[str]) -> int:
    """Lists the kinds, or the plug-ins of one."""
    if wants_help(words):
        write(document("ls"))
        return 0
    display = get_display()
    if not words and isinstance(display, JsonDisplay):
        display.result({kind: registry.names() for kind, registry in KINDS.items()})
        return 0
    if not words:
        width = max(map(len, KINDS))
        write("\n".join(f"{kind:<{width}}  {len(registry.names())}" for kind, registry in KINDS.items()))
        return 0
    kind = words[0]
    if kind not in KINDS:
        raise ConfigError(f'there is no kind "{kind}".{suggest(kind, KINDS)}\n  Allowed: {", ".join(KINDS)}')
    infos = KINDS[kind].infos()
    width = max((len(info.name) for info in infos), default=0)
    if isinstance(display, JsonDisplay):
        display.rows([info._asdict() for info in infos])
    else:
        write("\n".join(f"{info.name:<{width}}  {info.summary}" for info in infos))
    return 0
