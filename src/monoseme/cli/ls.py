"""List what can be plugged in: saes, evaluations, families, explainers, scorers, trackers, presets, studies and more.

    monoseme ls            the kinds
    monoseme ls saes       one kind, a line each; --json gives [{name, summary, source}]

Docstrings are read from the source; no plug-in is imported.
"""

from monoseme.cli._options import wants_help, write
from monoseme.cli._verbs import document
from monoseme.core.display import JsonDisplay, get_display
from monoseme.plugin_kinds import KINDS, registry_of


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
    infos = registry_of(words[0]).infos()
    width = max((len(info.name) for info in infos), default=0)
    if isinstance(display, JsonDisplay):
        display.rows([info._asdict() for info in infos])
    else:
        write("\n".join(f"{info.name:<{width}}  {info.summary}" for info in infos))
    return 0
