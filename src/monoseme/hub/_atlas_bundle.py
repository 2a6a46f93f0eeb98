"""The dataset that is sent beside SAEs: their whole atlas, and for multi-layer SAEs how latents spread over layers."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from monoseme.atlas import Annotation, Atlas
from monoseme.atlas.formats import export_atlas
from monoseme.hub._bundle import atlas_parts
from monoseme.hub._index import Index, is_sent_kind
from monoseme.hub._repos import Repo
from monoseme.hub._sendable import Sendable, link_or_copy
from monoseme.hub._text import front_matter, shown, table

_LAYERS = "mlsae"
"""The architecture and the format of distributions over layers."""


def fill_with_atlas(
    draft: Path, atlas: Atlas, keys: Mapping[str, Sequence[str]], held: Mapping[str, Sequence[Annotation]], sendable: Sendable
) -> Index:
    """The parts of an atlas that are about some SAEs; `keys` maps their names to what the atlas calls them."""
    wanted = {key for found in keys.values() for key in found}
    annotated = {annotation.artifact.path for found in held.values() for annotation in found}
    for part in atlas_parts(atlas.path):
        place = part.relative_to(atlas.path)
        is_annotation = place.parts[0] == "annotations"
        if place.parts[0] == "text" or (
            part in annotated if is_annotation else len(place.parts) > 1 and place.parts[1] in wanted
        ):
            sendable.write(part, draft / place)
    for name, found in keys.items():
        if len(found) > 1 and all("@" in key for key in found):
            _add_layers(draft, atlas, name)
    labels = sorted({one.label for found in held.values() for one in found if one.holds == "explanations"})
    return Index("atlas", {}, {}, tuple(labels), None, None, {})


def atlas_card(draft: Path, atlas: Atlas, saes: Repo, *, keys: Sequence[str], licence: str | None) -> str:
    """README.md of the dataset."""
    rows = [
        (
            f"<code>{shown(key)}</code>",
            f"{latents.n_latents:,}",
            f"{latents.artifact.config.get('n_tokens', 0):,}",
            shown(str(latents.site)),
        )
        for key in keys
        for latents in [atlas.latents(key)]
    ]
    configs = [
        {"config_name": f"latents.{key}", "data_files": f"latents/{key}/latents.parquet"} for key in keys
    ] + [
        {"config_name": f"layers.{path.parent.parent.name}", "data_files": path.relative_to(draft).as_posix()}
        for path in sorted(draft.glob("layers/*/dists/train.parquet"))
    ]  # fmt: skip
    head = front_matter({"license": licence, "tags": ["sparse-autoencoder", "interpretability", "monoseme"], "configs": configs})
    parts = [
        f"# Atlas of {shown(str(saes))}",
        f"What every latent of the SAEs in `{saes}` does over a text: counts, histograms, strongest and sampled examples, tokens "
        "whose logits it raises, how latents go together, explanations and their scores. The text itself is part of it: "
        "its own licence holds for that.",
        table(("SAE", "latents", "tokens scanned", "site"), rows),
        f"Licence: {shown(licence or 'not stated')}.",
        f"```sh\nmonoseme pull {saes} --out {saes.name} --atlas\nmonoseme serve {saes.name}\n```",
    ]
    if any(draft.glob("layers/*")):
        parts.append("`layers/NAME/` holds how often and how strongly each latent fires at each layer, as MLSAE publishes it.")
    return head + "\n" + "\n\n".join(parts) + "\n"


def _add_layers(draft: Path, atlas: Atlas, name: str) -> None:
    """Counts and sums over layers, and the examples, without the database that holds the same again."""
    with tempfile.TemporaryDirectory(dir=draft.parent) as temporary:
        out = Path(temporary) / "layers"
        export_atlas(atlas, name, out, format=_LAYERS)
        for file in sorted(p for p in out.rglob("*") if p.is_file() and is_sent_kind(p.name)):
            place = draft / "layers" / name / file.relative_to(out)
            place.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(file, place)
