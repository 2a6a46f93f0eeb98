"""The docstrings under the fields of config classes, read from the source: for help texts and generated pages."""

import ast
import functools
import inspect
import textwrap


def field_docs(cls: type) -> dict[str, str]:
    """Field -> what stands under it, on one line; own fields win over inherited ones. A class without source has none."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found |= _own_docs(base)
    return found


@functools.cache
def _own_docs(cls: type) -> dict[str, str]:
    if "__annotations__" not in cls.__dict__:
        return {}
    try:
        source = textwrap.dedent(inspect.getsource(cls))
    except (OSError, TypeError):
        return {}
    body = ast.parse(source).body[0]
    if not isinstance(body, ast.ClassDef):
        return {}
    found: dict[str, str] = {}
    for field, following in zip(body.body, body.body[1:], strict=False):
        text = _text(following)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and text is not None:
            found[field.target.id] = " ".join(text.split())
    return found


def _text(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return None
