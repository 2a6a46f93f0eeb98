"""`Picture`: a figure of a report, shown in a notebook as a PNG that lies inside the cell."""

import base64
import html
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monoseme.api._html import framed
from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SCALE = 1.25
"""Pixels of a picture for one of the page: a notebook with five figures stays below 700 kB. Reports have them in full."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure with its title and caption."""

    name: str
    title: str
    caption: str
    png: bytes = field(repr=False)
    """On a light ground."""

    def __repr__(self) -> str:
        return f"{self.title}. {self.caption}"

    def _repr_html_(self) -> str:
        return framed("", self.body(), note=self.caption)

    def body(self) -> str:
        """The picture alone, as HTML that needs no file."""
        data = base64.b64encode(self.png).decode()
        width = round(int.from_bytes(self.png[16:20], "big") / _SCALE)
        return f'<img alt="{html.escape(self.title)}" style="max-width:100%" width="{width}" src="data:image/png;base64,{data}">'


def drawn(svg: Path, *, title: str, caption: str = "") -> Picture:
    """The figure in an SVG file of a report; its name is the file's."""
    import vl_convert

    png = vl_convert.svg_to_png(svg.read_text(encoding="utf-8"), scale=_SCALE)
    return Picture(name=svg.stem, title=title, caption=caption, png=packed(png))


def packed(png: bytes) -> bytes:
    """The same picture, pixel by pixel, in a half to a quarter of the bytes: vl-convert compresses for speed."""
    chunks: list[tuple[bytes, bytes]] = []
    place = len(_SIGNATURE)
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        chunks.append((png[place + 4 : place + 8], png[place + 8 : place + 8 + length]))
        place += 12 + length
    rows = zlib.compress(zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT")), level=9)
    begin, end = [c for c in chunks if c[0] not in (b"IDAT", b"IEND")], [c for c in chunks if c[0] == b"IEND"]
    made = [_SIGNATURE]
    for kind, data in [*begin, (b"IDAT", rows), *end]:
        made.append(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    return b"".join(made)


def known(name: str, names: Sequence[str], what: str) -> str:
    """The name. Raises ConfigError for one that is not among what there is."""
    if name not in names:
        raise ConfigError(f'there is no {what} "{name}" here.{suggest(name, names)}\n  There is: {", ".join(names)}')
    return name
