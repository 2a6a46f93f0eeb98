"""Gemma Scope: JumpReLU SAEs and transcoders in `params.npz`; Gemma Scope 2 in `params.safetensors` with `config.json`.

    W_enc [D, F]    W_dec [F, D]    b_enc [F]    b_dec [D]    threshold [F]    affine_skip_connection [D, D] (Scope 2)

    pre = x W_enc + b_enc,   f = relu(pre) 1[pre > threshold],   y_hat = f W_dec + b_dec (+ x affine_skip_connection)

Names are in lower case in Scope 2. Files do not say where they belong; their path in the repository does:
`gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82/params.npz` is resid_post.12 of gemma-2-2b. `mlp` is what the MLP adds
after its post-norm, `att` the heads side by side before W_O, `transcoders` from mlp_in to mlp_out. SAEs under `embedding` learned
from embeddings before Gemma multiplies them by sqrt(D): W_enc is divided by it, W_dec and b_dec are multiplied, so that they read
and write resid_pre.0 with the same codes.

Source: Lieberum et al. 2024, arXiv:2408.05147; the repositories `google/gemma-scope-*`. Layout of Scope 2 and hook points as
SAELens 6 reads them. Its cross-layer transcoders are not read.
Letters: D model width, F latents.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.foreign import read_json_object
from monoseme.interchange._assembled import matrix, taken
from monoseme.interchange._base import ForeignSae, SaeFormat
from monoseme.interchange._npz_table import load_npz, npz_names
from monoseme.interchange._plain_encoders import Place, PlainEncoder, sae_of, transcoder_of
from monoseme.interchange._table_keys import keys_of
from monoseme.tensors.foreign_file import load_table
from monoseme.tensors.shapes import Tensor

_NPZ, _SAFE, _CONFIG = "params.npz", "params.safetensors", "config.json"
_NAMES = ("w_enc", "w_dec", "b_enc", "b_dec", "threshold")
_SKIP = "affine_skip_connection"
_REPOSITORY = re.compile(r"gemma-scope-(2b|9b|27b)-(pt|it)-(res|mlp|att|transcoders)(?![a-z])")
_REPOSITORY_2 = re.compile(r"gemma-scope-2-(270m|1b|4b|12b|27b)-(pt|it)")
_KINDS = {"res": "resid_post", "mlp": "mlp_out", "att": "head_out"}
_KINDS_2 = {"resid_post": "resid_post", "mlp_out": "mlp_out", "attn_out": "head_out"}
_DEEPEST = 4


class _Where(NamedTuple):
    """What a path says."""

    site: str | None
    model: str | None
    transcodes: bool
    embedding: bool
    notes: tuple[str, ...]


class GemmaScope(SaeFormat):
    """See the module's docstring."""

    looks_for = f"{_NPZ} (or {_SAFE} with {_CONFIG}) with W_enc, W_dec, b_enc, b_dec and threshold"
    writes = False

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeFormat.Config):
        """Two sites, an input and an output, make it a transcoder."""

    config: Config

    def recognises(self, path: Path) -> bool:
        """By the names of the arrays in the files."""
        return bool(_files(path))

    def read(self, path: Path) -> Sequence[ForeignSae]:
        """The SAE of a file or folder, or those of a repository's folders."""
        files = _files(path) or _named(path)
        if not files:
            raise ForeignError(f"{path} should be, or hold, {_NPZ} or {_SAFE}")
        if len(files) > 1 and self.config.site is not None:
            raise ConfigError(f"{path} holds {len(files)} SAEs, and --site is of one. Name the folder of one of them")
        top = path if path.is_dir() else path.parent
        return [self._one(file, top, alone=len(files) == 1) for file in files]

    def _one(self, file: Path, top: Path, *, alone: bool) -> ForeignSae:
        found = _tensors(file)
        said = _said(file)
        plain, notes = _plain(found, embedding=said.embedding)
        asked = self.config.site
        transcodes = said.transcodes if asked is None else asked.count(",") == 1
        if "affine_skip_connection" in found and not transcodes:
            raise ConfigError(f"{file} is a transcoder with a skip. Give both its places:  --site mlp_in.12,mlp_out.12")
        made = transcoder_of if transcodes else sae_of
        sae = made(plain, "threshold", place=Place(asked, said.site), where=str(file))
        parts = file.parent.parts[-3:] if alone else file.parent.relative_to(top).parts
        name = re.sub(r"[^\w.-]", "_", "-".join(part for part in parts if part != "/"), flags=re.ASCII)[-200:]
        return ForeignSae(
            name=name or "sae", sae=sae, model=said.model, facts={"path": "/".join(parts)}, notes=(*said.notes, *notes)
        )


def _is_one(file: Path) -> bool:
    """Whether a file holds these arrays."""
    if file.suffix == ".npz":
        names = npz_names(file)
    elif file.name == _SAFE and (file.parent / _CONFIG).is_file():
        names = keys_of(file)
    else:
        return False
    return set(_NAMES) <= {name.lower() for name in names}


def _named(path: Path) -> list[Path]:
    """Files of the right names at or below a path; links to files are followed, as hub caches have them, links to folders not."""
    if path.is_file():
        return [path]
    found: list[Path] = []
    level = [path]
    for _ in range(_DEEPEST + 1):
        for folder in level:
            found += [folder / name for name in (_NPZ, _SAFE) if (folder / name).is_file()]
        try:
            level = [p for folder in level for p in sorted(folder.iterdir()) if p.is_dir() and not p.is_symlink()][:5000]
        except OSError:
            break
    return found


def _files(path: Path) -> list[Path]:
    try:
        return [file for file in _named(path) if _is_one(file)]
    except (OSError, ValueError):
        return []


def _tensors(file: Path) -> dict[str, Tensor]:
    """Raises ForeignError."""
    where = str(file)
    raw = load_npz(file) if file.suffix == ".npz" else load_table(file)
    table = {name.lower(): value for name, value in raw.items()}
    d_in, n_latents = matrix(table, "w_enc", n_axes=2, where=where).shape
    shapes: dict[str, tuple[int, ...]] = {
        "w_enc": (d_in, n_latents),
        "w_dec": (n_latents, d_in),
        "b_enc": (n_latents,),
        "b_dec": (d_in,),
        "threshold": (n_latents,),
    }
    if _SKIP in table:
        shapes[_SKIP] = (d_in, d_in)
    if "scaling_factor" in table and not bool((table["scaling_factor"] == 1).all()):
        raise ForeignError(f"{where} has a scaling_factor other than 1, which no published file has and no rule is known for")
    return taken(table, shapes, where=where)


class _Plain(NamedTuple):
    """An SAE or transcoder without scales."""

    encoder: PlainEncoder
    notes: tuple[str, ...]


def _plain(found: dict[str, Tensor], *, embedding: bool) -> _Plain:
    W_enc, W_dec, b_dec = found["w_enc"], found["w_dec"], found["b_dec"]
    notes: tuple[str, ...] = ()
    if embedding:
        scale = math.sqrt(W_enc.shape[0])
        W_enc, W_dec, b_dec = W_enc / scale, W_dec * scale, b_dec * scale
        notes = ("it learned embeddings before they are multiplied by sqrt(D), which was folded into W_enc, W_dec and b_dec",)
    below = int((found["threshold"] < 0).sum())
    if below:
        notes += (f"{below} thresholds are below 0, where a ReLU cuts: taken as 0",)
    return _Plain(PlainEncoder(W_enc, found["b_enc"], W_dec, b_dec, found["threshold"], found.get(_SKIP)), notes)


def _said(file: Path) -> _Where:
    """By the file's path, as it is written: links are not followed, as a hub cache keeps files under other names."""
    text = "/".join(file.absolute().parts)
    layers = re.findall(r"layer_(\d{1,4})", text)
    layer = int(layers[-1]) if layers else None
    if file.name == _SAFE:
        return _said_2(file, text, layer)
    known = _REPOSITORY.findall(text)
    if not known:
        return _Where(None, None, False, False, ("the path does not say where it learned: it names no gemma-scope repository",))
    size, tuned, kind = known[-1]
    model = f"google/gemma-2-{size}{'-it' if tuned == 'it' else ''}"
    embedding = "embedding" in file.absolute().parts and kind == "res"
    if kind == "transcoders":
        note = (
            "the input is taken to be mlp_in, the norm's output with its weight; SAELens feeds ln2.hook_normalized, which is "
            "before that weight in a model whose norms are not folded: look at the FVU"
        )
        site = None if layer is None else f"mlp_in.{layer},mlp_out.{layer}"
        return _Where(site, model, True, False, ("its places are read from the path", note))
    site = "resid_pre.0" if embedding else None if layer is None else f"{_KINDS[kind]}.{layer}"
    return _Where(site, model, False, embedding, (f"its place, {site}, is read from the path",))


def _said_2(file: Path, text: str, layer: int | None) -> _Where:
    told: dict[str, Any] = read_json_object(file.parent / _CONFIG)
    if told.get("architecture") != "jump_relu":
        raise ForeignError(f"{file.parent / _CONFIG}: architecture is {str(told.get('architecture'))[:60]!r}, not jump_relu")
    known = _REPOSITORY_2.findall(text)
    named = told.get("model_name")
    model = "google/" + named.removeprefix("google/").replace("-v3", "-3") if isinstance(named, str) else None
    if model is None and known:
        model = f"google/gemma-3-{'-'.join(known[-1])}"
    hooks = [_hook_2(told.get(name)) for name in ("hf_hook_point_in", "hf_hook_point_out")]
    if told.get("hf_hook_point_out") is not None:
        site = f"{hooks[0]},{hooks[1]}" if all(hooks) else None
        return _Where(site, model, True, False, ("its places are those of config.json",))
    site = hooks[0]
    if site is None and layer is not None:
        site = next((f"{ours}.{layer}" for theirs, ours in _KINDS_2.items() if f"/{theirs}" in text), None)
    return _Where(site, model, False, False, (f"its place is {site}, as config.json and the path say",))


def _hook_2(name: Any) -> str | None:
    """A place by its module in transformers; Gemma 3 has norms before and after the MLP."""
    match = re.fullmatch(r"model\.layers\.(\d{1,4})\.(.+)", name) if isinstance(name, str) else None
    kinds = {
        "output": "resid_post",
        "self_attn.o_proj.input": "head_out",
        "pre_feedforward_layernorm.output": "mlp_in",
        "post_feedforward_layernorm.output": "mlp_out",
    }
    kind = kinds.get(match[2]) if match else None
    return f"{kind}.{match[1]}" if match and kind else None
