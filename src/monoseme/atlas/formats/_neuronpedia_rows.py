"""The rows of Neuronpedia's tables, with its names for the columns.

A column that is named takes what the row says, null too; one that is not takes the table's default. Columns without a default
must be there: layers and neurons of a model are 0 where they are not known, as in Neuronpedia's own converter. Top examples
have binMin -1, by which its pages know them, and no binContains: its Python client refuses SAEDashboard's -1.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from monoseme.atlas.formats._dashboard import activation_rows, feature_fields, shortened
from monoseme.atlas.formats._part import ExportedLatent, ExportPart
from monoseme.atlas.said import Explanation
from monoseme.models.hook_names import site_hook

_ID_LENGTH = 25


class Named(NamedTuple):
    """Names, creator and date of one source."""

    model_id: str
    set_name: str
    source_id: str
    """LAYER-SET"""
    release: str
    creator: str
    creator_id: str
    created_at: str

    def made(self) -> dict[str, str]:
        """What every row says of who made it, and when."""
        return {"creatorId": self.creator_id, "createdAt": self.created_at}


def release_rows(named: Named, part: ExportPart, n_latents: int) -> dict[str, dict[str, Any]]:
    """The rows of release, model, source set and source, by the name of their file."""
    text = part.scanned_text()
    source = {"id": named.source_id, "modelId": named.model_id, "setName": named.set_name, "visibility": "PUBLIC"}
    told = {"num_prompts": text.n_contexts, "num_tokens_in_prompt": text.context_len, "dataset": text.corpus}
    notes = f"{n_latents:,} latents of {part.key} at {part.site}, scanned over {part.latents.n_tokens:,} tokens by monoseme"
    return {
        "release": {
            "name": named.release,
            "description": named.release,
            "descriptionShort": named.release,
            "creatorName": named.creator,
            "creatorNameShort": named.creator,
            "visibility": "PUBLIC",
            "urls": [],
            **named.made(),
        },
        "model": {
            "id": named.model_id,
            "displayName": named.model_id,
            "displayNameShort": named.model_id,
            "instruct": named.model_id.endswith("-it"),
            "layers": 0,
            "neuronsPerLayer": 0,
            "owner": "",
            "visibility": "PUBLIC",
            "updatedAt": named.created_at,
            **named.made(),
        },
        "sourceset": {
            "modelId": named.model_id,
            "name": named.set_name,
            "description": named.set_name,
            "creatorName": named.creator,
            "releaseName": named.release,
            "urls": [],
            "visibility": "PUBLIC",
            "hasDashboards": True,
            **named.made(),
        },
        "source": {**source, "hasDashboards": True, "inferenceEnabled": False, **told, "notes": notes, **named.made()},
    }


def feature_row(page: ExportedLatent, part: ExportPart, named: Named) -> dict[str, Any]:
    """The row of a latent."""
    fields = feature_fields(page, part)
    has_vector = bool(fields["vector"])
    related = part.relations.of(page.latent)["cosine_rank"] if part.relations else ()
    alike = [one for one in related if one.cosine is not None]
    return {
        "modelId": named.model_id,
        "layer": named.source_id,
        "index": str(page.latent),
        "sourceSetName": named.set_name,
        "maxActApprox": page.stats.max,
        "hasVector": has_vector,
        "vectorLabel": None,
        "vectorDefaultSteerStrength": page.stats.max if has_vector else None,
        "hookName": site_hook(part.site) if has_vector else None,
        "topkCosSimIndices": [one.other for one in alike],
        "topkCosSimValues": shortened([one.cosine or 0.0 for one in alike]),
        **fields,
        **named.made(),
    }


def activation_rows_of(page: ExportedLatent, named: Named) -> Iterator[dict[str, Any]]:
    """The rows of a latent's examples."""
    for number, row in enumerate(activation_rows(page)):
        yield {
            "id": _id(named, "activation", page.latent, number),
            "tokens": row.tokens,
            "index": str(page.latent),
            "layer": named.source_id,
            "modelId": named.model_id,
            "maxValue": max(row.values),
            "maxValueTokenIndex": row.values.index(max(row.values)),
            "minValue": min(row.values),
            "values": row.values,
            "dfaValues": [],
            "dfaTargetIndex": None,
            "dfaMaxValue": None,
            "lossValues": [],
            "logitContributions": None,
            "binMin": row.bin_min,
            "binMax": row.bin_max,
            "binContains": row.bin_contains if row.bin_min >= 0 else None,
            "qualifyingTokenIndex": row.focus,
            "dataIndex": None,
            "dataSource": None,
            **named.made(),
        }


def explanation_row(said: Explanation, named: Named, *, method: str | None, model: str | None) -> dict[str, Any]:
    """The row of an explanation."""
    return {
        "id": _id(named, "explanation", said.latent, 0),
        "modelId": named.model_id,
        "layer": named.source_id,
        "index": str(said.latent),
        "authorId": named.creator_id,
        "description": said.text,
        "embedding": None,
        "typeName": method,
        "explanationModelName": model,
    }


def _id(named: Named, kind: str, latent: int, number: int) -> str:
    """An id of the length of Neuronpedia's, which follows from what it names."""
    said = "\0".join((named.model_id, named.source_id, named.created_at, kind, str(latent), str(number)))
    return "c" + hashlib.sha256(said.encode()).hexdigest()[: _ID_LENGTH - 1]
