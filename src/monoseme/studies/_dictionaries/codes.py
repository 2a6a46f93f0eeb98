"""The codes of every dictionary over one text, gathered in one pass of the model and kept for a resume.

WORK/codes/<i>.npz    scipy's compressed sparse columns [T, F] of the i-th subject
WORK/codes/tokens.npy the T token ids
WORK/codes/done.json  names of the subjects, in order; written last
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from monoseme.core.display import AtMost, get_display
from monoseme.core.files import read_json, write_atomic, write_json
from monoseme.evaluation import CodeColumns, CodeGatherer, columns_of
from monoseme.studies._kept_files import reading
from monoseme.studies._workbench import Workbench


class GatheredCodes(NamedTuple):
    """What all subjects make of the same T tokens."""

    codes: Mapping[str, CodeColumns]
    """Subject -> [T, F] of all latents of the SAE."""
    tokens: np.ndarray
    """[T] token ids."""


def gather(bench: Workbench, work: Path, *, max_tokens: int) -> GatheredCodes:
    """From the files of an earlier call with the same subjects, else from the model; the same bits."""
    names, folder = [subject.name for subject in bench.subjects], work / "codes"
    done = folder / "done.json"
    if not (done.is_file() and read_json(done) == names):
        _write(bench, folder, max_tokens=max_tokens)
        write_json(done, names)
    with reading(folder):
        codes = {name: columns_of(sparse.csc_array(sparse.load_npz(folder / f"{i}.npz"))) for i, name in enumerate(names)}
        return GatheredCodes(codes, np.load(folder / "tokens.npy", allow_pickle=False))


def _write(bench: Workbench, folder: Path, *, max_tokens: int) -> None:
    gatherers = {subject.name: CodeGatherer(subject.sae.n_latents) for subject in bench.subjects}
    tokens: list[np.ndarray] = []
    with get_display().progress("codes", total=AtMost(max_tokens), unit="tokens") as progress:
        for coded in bench.coded(bench.source, max_tokens=max_tokens):
            text = coded.chunk.text
            tokens.append(text.tokens[text.mask].cpu().numpy().astype(np.int64))
            for name, codes in coded.codes.items():
                gatherers[name].add(codes)
            progress.advance(len(tokens[-1]))
    for i, gatherer in enumerate(gatherers.values()):
        write_atomic(folder / f"{i}.npz", _bytes_of_sparse(gatherer.codes()))
    write_atomic(folder / "tokens.npy", _bytes_of(np.concatenate([np.zeros(0, np.int64), *tokens])))


def _bytes_of_sparse(codes: Any) -> bytes:
    file = io.BytesIO()
    sparse.save_npz(file, codes)
    return file.getvalue()


def _bytes_of(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()
