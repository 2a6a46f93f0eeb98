"""sparsify (EleutherAI): a folder for each hook point, with `cfg.json` and `sae.safetensors`; TopK, GroupMax, transcoders.

    encoder.weight [F, D]    encoder.bias [F]    W_dec [F, D]    b_dec [D]    W_skip [D, D], where there is a skip

    SAE         f = topk(relu((x - b_dec) encoder.weight^T + encoder.bias)),  x_hat = f W_dec + b_dec
    transcoder  f = topk(relu(x encoder.weight^T + encoder.bias)),  y_hat = f W_dec + b_dec (+ x W_skip^T)

GroupMax keeps the best latent of each of k runs of F / k neighbours. `num_latents` 0 means D times `expansion_factor`; a missing
`activation` is topk; the older `signed` keeps the largest in absolute value. A run is a folder of hook points, each of one SAE or
of `seed0`, `seed1`, ...; the `config.json` at its root names the model. A hook point is a module by its name in transformers,
whose output an SAE reads; a transcoder reads its input. An SAE with a skip becomes a transcoder from a place to itself.

Source: github.com/EleutherAI/sparsify 1.3.3, `sparse_coder.py`, `fused_encoder.py`, `config.py`.
Letters: D model width, F latents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.interchange._assembled import assembled, matrix, taken
from monoseme.interchange._base import ForeignSae, SaeFormat, WholeSae
from monoseme.interchange._places import SaidSite, with_site
from monoseme.interchange._plain_encoders import NO_SCALE, Place, PlainEncoder, transcoder_of
from monoseme.interchange._sparsify_folder import CFG, WEIGHTS, Cfg, Hook, hooks_below, is_hook, read_cfg, run_facts
from monoseme.interchange._sparsify_writing import write_hook
from monoseme.saes import SAE
from monoseme.saes.topk import TopK
from monoseme.tensors.foreign_file import load_table
from monoseme.tensors.shapes import Tensor


class Sparsify(SaeFormat):
    """See the module's docstring."""

    looks_for = f"{CFG} with {WEIGHTS}, in folders named by hook points"

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeFormat.Config):
        """What the files may say wrongly or not at all."""

        k: int | None = None
        """Latents kept per token (count). None: as cfg.json says."""
        transcode: bool | None = None
        """Whether it predicts a module's output from its input. None: as cfg.json says, else the run's config.json, else not."""

    config: Config

    def recognises(self, path: Path) -> bool:
        """By the two names of files, here or in folders below."""
        return bool(_found(path))

    def read(self, path: Path) -> Sequence[ForeignSae]:
        """The SAEs of a hook point or a run."""
        hooks = _found(path)
        if not hooks:
            raise ForeignError(f"{path} should be, or hold folders that hold, {CFG} and {WEIGHTS}")
        if len(hooks) > 1 and self.config.site is not None:
            raise ConfigError(f"{path} holds {len(hooks)} SAEs, and --site is of one. Name the folder of one of them")
        run = run_facts(path if path.is_dir() else path.parent)
        return [self._one(hook, run) for hook in hooks]

    def write(self, whole: WholeSae, folder: Path, config: SaeFormat.WriteConfig) -> tuple[str, ...]:
        """`HOOKPOINT/cfg.json` and `sae.safetensors`, and `config.json` beside the hook point where the model is known."""
        return write_hook(whole, folder, config)

    def _one(self, hook: Hook, run: dict[str, Any]) -> ForeignSae:
        where = str(hook.folder / WEIGHTS)
        cfg = read_cfg(hook.folder / CFG, run, k=self.config.k, transcode=self.config.transcode)
        found = _tensors(cfg, hook)
        model = run.get("model")
        known, assumed = _place(hook, cfg, model)
        notes = [*assumed, *_doubts(cfg, run)]
        sae = _sae(cfg, found, place=Place(self.config.site, known), where=where)
        facts = {"hookpoint": hook.hookpoint, "multi_topk": cfg.multi_topk, "run": {k: v for k, v in run.items() if k != "sae"}}
        return ForeignSae(name=hook.name, sae=sae, model=model, facts=facts, notes=tuple(notes))


def _found(path: Path) -> list[Hook]:
    if path.is_file():
        path = path.parent if path.name in (WEIGHTS, CFG) else path
    return [Hook.of(path)] if is_hook(path) else hooks_below(path)


def _tensors(cfg: Cfg, hook: Hook) -> dict[str, Tensor]:
    """Raises ForeignError for tensors that are not those of its cfg.json."""
    where, table = str(hook.folder / WEIGHTS), load_table(hook.folder / WEIGHTS)
    if "encoder.weight" in table and "W_dec" not in table:
        raise ForeignError(f"{where} has no W_dec: it was saved without its decoder, and its codes mean nothing without one")
    n_latents, d_in = matrix(table, "encoder.weight", n_axes=2, where=where).shape
    if (n_latents, d_in) != (cfg.n_latents, cfg.d_in):
        raise ForeignError(
            f"{where}: encoder.weight has the shape {[n_latents, d_in]}, but {CFG} says {[cfg.n_latents, cfg.d_in]}"
        )
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.weight": (n_latents, d_in),
        "encoder.bias": (n_latents,),
        "W_dec": (n_latents, d_in),
        "b_dec": (d_in,),
    }
    if cfg.skip != ("W_skip" in table):
        raise ForeignError(f"{where}: W_skip is {'missing' if cfg.skip else 'there'}, but skip_connection is {cfg.skip} in {CFG}")
    return taken(table, {**shapes, **({"W_skip": (d_in, d_in)} if cfg.skip else {})}, where=where)


def _sae(cfg: Cfg, found: dict[str, Tensor], *, place: Place, where: str) -> SAE:
    W_enc, b_enc, W_dec, b_dec = found["encoder.weight"].t(), found["encoder.bias"], found["W_dec"], found["b_dec"]
    if not cfg.transcode and not cfg.skip:
        config = TopK.Config(
            d_in=cfg.d_in, n_latents=cfg.n_latents, k=cfg.k, signed=cfg.signed, groups=cfg.groups, normalise=NO_SCALE
        )
        state = {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec.contiguous(), "b_dec": b_dec}
        return assembled(with_site(config, *place), state, where=where)
    if cfg.groups or cfg.signed:
        kind = "groupmax" if cfg.groups else "signed"
        raise ForeignError(f"{where}: no architecture here has {kind} codes and a transcoder's place or skip")
    plain = PlainEncoder(W_enc, b_enc, W_dec, b_dec)
    if cfg.skip:
        plain = plain._replace(W_skip=found["W_skip"].t())
    if not cfg.transcode:  # its encoder reads x - b_dec
        plain = plain._replace(b_enc=(b_enc.double() - b_dec.double() @ W_enc.double()).float())
    return transcoder_of(plain, "topk", k=cfg.k, place=place, where=where)


def _place(hook: Hook, cfg: Cfg, model: str | None) -> SaidSite:
    """Where it learned, as far as the hook point says."""
    site = hook.site(model)
    if site is None:
        return SaidSite(None)
    note = f"the hook point {hook.hookpoint} is read as {site}, the output of that module"
    if not cfg.transcode:
        return SaidSite(f"{site},{site}" if cfg.skip else str(site), (note,))
    before = {"mlp_out": "mlp_in", "attn_out": "attn_in", "resid_post": "resid_pre"}[site.kind]
    return SaidSite(f"{before}.{site.layer},{site}", (f"{note}; its input is {before}.{site.layer}",))


def _doubts(cfg: Cfg, run: dict[str, Any]) -> list[str]:
    notes: list[str] = []
    final = run.get("sae", {}).get("k") if isinstance(run.get("sae"), dict) else None
    if isinstance(final, int) and final != cfg.k:
        notes.append(f"k is {cfg.k} here and {final} in the run's config.json: saved while k was still coming down")
    if cfg.skip and not cfg.transcode:
        notes.append("an autoencoder with a skip connection: kept as a transcoder from a place to itself")
    return notes
