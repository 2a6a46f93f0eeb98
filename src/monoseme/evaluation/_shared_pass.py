"""Several subjects on one pass over their source, and what results say of it."""

from collections.abc import Iterator, Sequence
from typing import Any

from monoseme.core.config import to_dict
from monoseme.core.display import AtMost, get_display
from monoseme.core.errors import ConfigError
from monoseme.evaluation._base import EvalSubject, Evaluation
from monoseme.evaluation._chunks import Chunk, chunks


def check_shared(subjects: Sequence[EvalSubject], *, evaluation: str) -> None:
    """Raises ConfigError for subjects of several sources or models, and for two of one name."""
    first = subjects[0]
    if any(s.source is not first.source or s.model is not first.model for s in subjects):
        raise ConfigError(f"{evaluation} measures SAEs together only on one source and one model; run it for each separately")
    if len({s.name for s in subjects}) < len(subjects):
        raise ConfigError(f"two SAEs have one name: {', '.join(s.name for s in subjects)}")


def shared_pass(subjects: Sequence[EvalSubject], task: str, *, n_contexts: int, max_tokens: int | None) -> Iterator[Chunk]:
    """Chunks with the activations of every subject's sites, while the display shows the task."""
    sites = sorted({site for subject in subjects for site in subject.sites})
    with get_display().progress(task, total=AtMost.of(max_tokens), unit="tokens") as progress:
        for chunk in chunks(subjects[0].source, sites, n_contexts=n_contexts, max_tokens=max_tokens):
            yield chunk
            progress.advance(int(chunk.text.mask.sum()))


def subject_facts(subject: EvalSubject, config: Evaluation.Config, *, n_tokens: int, n_documents: int) -> dict[str, Any]:
    """What a result says of what was measured, and on what."""
    placed = subject.placed
    return {
        "site": str(subject.site),
        "inputs": [str(site) for site in placed.inputs],
        "outputs": [str(site) for site in placed.outputs],
        "part": subject.part,
        "n_tokens": n_tokens,
        "n_documents": n_documents,
        "n_latents": subject.sae.n_latents,
        "config": to_dict(config),
    }
