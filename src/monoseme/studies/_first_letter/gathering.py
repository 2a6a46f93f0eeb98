"""One pass of the model over all prompts: its answers, activations at the words, and the codes of every SAE there.

WORK/asked/answers.safetensors   is_correct [N], class_logits [N, C]
WORK/asked/site_<i>.safetensors  x [N, D] of the i-th site, float32
WORK/asked/codes_<i>.npz         SciPy's CSR [N, F] of the i-th subject, float32
WORK/asked/done.json             words, subjects and sites; written last

Letters: N words, n prompts of a batch, S positions, C classes, D width, F latents.
"""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from monoseme.core.display import get_display
from monoseme.core.errors import ResumeError
from monoseme.core.files import hash_json, read_json, write_atomic, write_json
from monoseme.evaluation._csr import as_csr
from monoseme.models import LanguageModel, Site
from monoseme.saes import Codes
from monoseme.spelling import PromptBatch
from monoseme.studies._kept_files import read_replicates, reading, write_replicates
from monoseme.studies._workbench import Subject
from monoseme.tensors.shapes import Bool, Float, Int, Tensor


class Answers(NamedTuple):
    """What the model itself says."""

    is_correct: Bool[Tensor, " N"]
    """Whether its most likely token is the first of the right answer."""
    class_logits: Float[Tensor, "N C"]
    """Logits of the first token of each answer, float32."""


class Asked(NamedTuple):
    """Everything about one run of the prompts."""

    batch: PromptBatch
    answer_tokens: Int[Tensor, " C"]
    """First token of each answer."""
    right: Int[Tensor, " N"]
    """First token of the right one."""
    names: Sequence[str]
    """What the prompts are of, so that files of others are told apart."""


class Gathered:
    """What `gather` left under a folder, read when asked for."""

    def __init__(self, folder: Path, subjects: Sequence[Subject], sites: Sequence[Site]) -> None:
        self._folder = folder
        self._subjects = [subject.name for subject in subjects]
        self._sites = list(sites)

    def answers(self) -> Answers:
        """Raises ArtifactDamagedError, as all here."""
        held = read_replicates(self._folder / "answers.safetensors")
        return Answers(held["is_correct"], held["class_logits"])

    def activations(self, site: Site) -> Float[Tensor, "N D"]:
        """At the last token of each word, float32."""
        return read_replicates(self._folder / f"site_{self._sites.index(site)}.safetensors")["x"]

    def codes(self, subject: Subject) -> sp.csr_array:
        """[N, F] float32."""
        path = self._folder / f"codes_{self._subjects.index(subject.name)}.npz"
        with reading(path):
            return sp.csr_array(sp.load_npz(path))


def gather(model: LanguageModel, asked: Asked, subjects: Sequence[Subject], folder: Path, *, batch_prompts: int) -> Gathered:
    """From the files of an earlier call, else from the model.

    Raises ResumeError where the earlier call was of other words, SAEs or sites: probes of it lie beside it.
    """
    sites = tuple(dict.fromkeys(site for subject in subjects for site in subject.sites))
    found = Gathered(folder, subjects, sites)
    key = {"asked": hash_json(list(asked.names)), "subjects": [s.name for s in subjects], "sites": [str(s) for s in sites]}
    done = folder / "done.json"
    if done.is_file():
        with reading(done):
            held = {name: read_json(done)[name] for name in key}
        if held != key:
            raise ResumeError(
                f"{folder} was measured with other {_differing(held, key)} than there are now.\n"
                "  Measure all again with --force, or give another --out."
            )
    else:
        _write(model, asked, subjects, sites, folder, batch_prompts=batch_prompts)
        write_json(done, key)
    return found


def _differing(held: Mapping[str, Any], key: Mapping[str, Any]) -> str:
    told = {"asked": "words", "subjects": "SAEs", "sites": "sites"}
    return " and ".join(told[name] for name in key if held[name] != key[name])


@torch.no_grad()
def _write(
    model: LanguageModel,
    asked: Asked,
    subjects: Sequence[Subject],
    sites: Sequence[Site],
    folder: Path,
    *,
    batch_prompts: int,
) -> None:
    lengths = asked.batch.real.sum(1)
    order = lengths.argsort(stable=True)  # rows of one length together: little padding
    parts: dict[str, list[Any]] = defaultdict(list)
    last = Site("resid_post", model.spec.n_layers - 1)
    with get_display().progress("words", total=len(order), unit="words") as progress:
        for rows in order.split(batch_prompts):
            tokens, real = (x[rows, : int(lengths[rows].max())].to(model.device) for x in asked.batch[:2])
            held = model.capture(tokens, [*sites, last], real=real)
            each = torch.arange(len(rows), device=model.device)
            word, asks = asked.batch.word_last[rows].to(model.device), asked.batch.answer_from[rows].to(model.device)
            logits = model.unembed(held[last][each, asks]).float().cpu()
            parts["is_correct"].append(logits.argmax(1) == asked.right[rows])
            parts["class_logits"].append(logits[:, asked.answer_tokens])
            for i, site in enumerate(sites):
                parts[f"site_{i}"].append(held[site][each, word].float().cpu())
            wanted = torch.zeros_like(real)
            wanted[each, word] = True
            for i, rows_of in enumerate(_coded(subjects, held, wanted, model.editable(tokens, real))):
                parts[f"codes_{i}"].append(rows_of)
            progress.advance(len(rows))
    back = order.argsort()
    answers = {name: torch.cat(parts[name])[back] for name in ("is_correct", "class_logits")}
    write_replicates(folder / "answers.safetensors", answers)
    for i in range(len(sites)):
        write_replicates(folder / f"site_{i}.safetensors", {"x": torch.cat(parts[f"site_{i}"])[back]})
    for i in range(len(subjects)):
        joined: Any = sp.vstack(parts[f"codes_{i}"], format="csr")
        file = io.BytesIO()
        sp.save_npz(file, joined[back.numpy()])
        write_atomic(folder / f"codes_{i}.npz", file.getvalue())


def _coded(
    subjects: Sequence[Subject], held: dict[Site, Tensor], wanted: Bool[Tensor, "n S"], seen: Bool[Tensor, "n S"]
) -> list[Any]:
    """Codes [n, F] of each subject at the wanted token of each row; each SAE encodes once. Those that read contexts see them."""
    made: dict[str, Codes] = {}
    for subject in subjects:
        if subject.sae_name not in made:
            if subject.sae.reads == "contexts":
                made[subject.sae_name] = subject.placed.encode(held, seen).select_rows(wanted[seen])
            else:
                made[subject.sae_name] = subject.placed.encode(held, wanted)
    return [as_csr(made[subject.sae_name].sparse(subject.part), dtype=np.float32) for subject in subjects]
