"""A little Markdown as HTML: the paragraphs and lists that studies write about themselves. Everything is escaped first.

Knows paragraphs, headings, lists (one level), quotations, fenced code, `code`, **strong**, *emphasis*, links to http(s), and
characters with a backslash or as `&lt;`, as `plain_tables.markdown_text` writes them; all else stays text.
"""

import html
import re
from collections.abc import Iterator

from markupsafe import Markup, escape

_FENCE = "```"
_INLINE = (
    (re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"(?<![\w*])\*(?=\S)(.+?)(?<=\S)\*(?![\w*])"), r"<em>\1</em>"),
    (re.compile(r"\[([^\[\]]+)\]\((https?://[^\s()<>]+)\)"), r'<a href="\2" rel="noreferrer">\1</a>'),
)
_CODE = re.compile(r"`([^`]+)`")
_ITEM = re.compile(r"^[-*] +")
_QUOTED = re.compile(r"^> ?")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_PRIVATE = 0xE000
"""A character with a backslash waits here, out of reach of the patterns, until the line is made."""
_WAITING = re.compile(f"[{chr(_PRIVATE)}-{chr(_PRIVATE + 0x7F)}]")


def prose(text: str) -> Markup:
    """The text as HTML."""
    return Markup("\n").join(_block(block) for block in _blocks(text))


def inline(text: str) -> Markup:
    """One line of it: code, emphasis and links only."""
    waiting = _ESCAPED.sub(lambda found: chr(_PRIVATE + ord(found[1])), _WAITING.sub("\ufffd", html.unescape(text)))
    parts = _CODE.split(waiting)
    made = "".join(f"<code>{escape(part)}</code>" if i % 2 else _styled(part) for i, part in enumerate(parts))
    return Markup(_WAITING.sub(lambda found: str(escape(chr(ord(found[0]) - _PRIVATE))), made))


def _styled(text: str) -> str:
    made = str(escape(text))
    for pattern, form in _INLINE:
        made = pattern.sub(form, made)
    return made


def _blocks(text: str) -> Iterator[list[str]]:
    """Lines that belong together; a fenced block is whole, its empty lines included."""
    block: list[str] = []
    in_fence = False
    for line in text.strip().splitlines():
        if line.startswith(_FENCE):
            in_fence = not in_fence
        if not line.strip() and not in_fence:
            if block:
                yield block
            block = []
        else:
            block.append(line)
    if block:
        yield block


def _block(lines: list[str]) -> Markup:
    if lines[0].startswith(_FENCE):
        return Markup("<pre>{}</pre>").format("\n".join(line for line in lines[1:] if not line.startswith(_FENCE)))
    if lines[0].startswith("#"):
        return Markup("<h3>{}</h3>").format(inline(" ".join(lines).lstrip("# ")))
    if all(_QUOTED.match(line) for line in lines):
        quoted = Markup("<br>").join(inline(_QUOTED.sub("", line)) for line in lines)
        return Markup("<blockquote>{}</blockquote>").format(quoted)
    first = next((i for i, line in enumerate(lines) if _ITEM.match(line)), None)
    if first is None:
        return Markup("<p>{}</p>").format(inline(" ".join(lines)))
    before = Markup("<p>{}</p>").format(inline(" ".join(lines[:first]))) if first else Markup("")
    return before + _list(lines[first:])


def _list(lines: list[str]) -> Markup:
    items: list[str] = []
    for line in lines:
        if _ITEM.match(line):
            items.append(_ITEM.sub("", line))
        else:
            items[-1] += " " + line.strip()
    return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(inline(item)) for item in items))
