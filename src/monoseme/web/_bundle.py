"""Joins an ES module and all that it imports into one script, for pages that no server stands behind.

Each module becomes a function of its own, called once, whose result holds what it exports; the names of two modules cannot meet.
Our modules keep to a few forms (see `_modules`), and whatever is in another form is refused rather than guessed at.
"""

import re
from collections.abc import Callable

from monoseme.web._modules import IMPORT, imports_of, in_order

_EXPORT = re.compile(r"^export (?=(?:async )?function (\w+)|class (\w+)|const (\w+) =)", re.MULTILINE)
# Whatever else begins so: default exports, lists, stars, imports for effect, imports on demand, the module's own address.
_OTHER_FORM = re.compile(r"^(?:import|export)\b.*|\bimport\s*\(.*|\bimport\.meta\b.*", re.MULTILINE)


def bundle(entry: str, read: Callable[[str], str]) -> str:
    """One script that does what the module `entry` does; `read` gives the source of a module by its path.

    Raises ValueError for a form of import or export that is not ours, and for modules that import one another.
    """
    modules = in_order(entry, read)
    names = {path: f"module{n}" for n, path in enumerate(modules)}
    parts = (_function(path, source, names) for path, source in modules.items())
    # A literal end tag inside a script element would end it; in JavaScript "<\/" is the same text.
    return "\n".join(['"use strict";', *parts]).replace("</script", "<\\/script")


def _function(path: str, source: str, names: dict[str, str]) -> str:
    given = [f"  const {{ {one.names.replace(' as ', ': ')} }} = {names[one.path]};" for one in imports_of(path, source)]
    body = _EXPORT.sub("", IMPORT.sub("", source))
    if other := _OTHER_FORM.search(body):
        raise ValueError(f"{path} has an import or export in a form that cannot be joined: {other.group()[:80]}")
    told = ", ".join(next(filter(None, found)) for found in _EXPORT.findall(source))
    return "\n".join([f"const {names[path]} = (() => {{", *given, body.rstrip(), f"  return {{ {told} }};", "})();"])
