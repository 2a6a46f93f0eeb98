"""Which plug-in reads a foreign file or folder: the one that was named, or the only one that knows it again."""

from pathlib import Path
from typing import Any, ClassVar, Protocol

from monoseme.core.errors import ForeignError
from monoseme.core.registry import Registry


class Recogniser(Protocol):
    """A format of other tools."""

    looks_for: ClassVar[Any]  # a text; Any, because a class attribute of a protocol would have to be of exactly its type

    def recognises(self, path: Path) -> bool:
        """Whether this is what it reads; looks at as little as will do."""
        ...


def recognised(registry: Registry[Any], path: Path, name: str | None, *, unknown: str) -> str:
    """The name of the format of a path: `name`, checked, or the one format that recognises it.

    `unknown` says what the path does not do if none does: "holds no store of activations of a known format". Raises ForeignError
    when none does or several do, UnknownPluginError for a name that there is not.
    """
    if name is not None:
        registry.source(name)
        return name
    kinds: dict[str, type[Recogniser]] = {known: registry.get(known) for known in registry.names()}
    found = [known for known, kind in kinds.items() if kind().recognises(path)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ForeignError(f"{path} could be {' or '.join(found)}.\n  Say which with --format {found[0]}")
    looked = "\n".join(f"    {known:<20} {kind.looks_for}" for known, kind in kinds.items())
    raise ForeignError(f"{path} {unknown}. Looked for:\n{looked}\n  Say which with --format NAME")
