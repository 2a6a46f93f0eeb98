"""A language model: capture activations, run with edits, continue from a site, generate, unembed.

Two masks, both bool [n, S] and named as in a block of tokens, are never mixed up: `real` is what attention may see (False on
padding, None for no padding), `mask` is where edits may act (None for every real token that is not special).

Letters: n sequences, S positions, D model width, V vocabulary.
"""

import copy
import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from monoseme.core.errors import ModelError, SiteError
from monoseme.models._content import hash_folder, hash_modules
from monoseme.models._family import family_of
from monoseme.models._forward import Call, Forward
from monoseme.models._generate import Generation, GenerationRequest, Sampling, TokenEvent
from monoseme.models._generating import Generating, generate
from monoseme.models._loading import load, load_sizes
from monoseme.models._prefix import Prefix
from monoseme.models._tokens import TokenTexts, as_ids, special_ids, text_after
from monoseme.models._unembed import Unembedding
from monoseme.models.config import ModelConfig
from monoseme.models.edit import Edit, replacement
from monoseme.models.site import Site
from monoseme.models.spec import ModelSpec, spec_of
from monoseme.tensors.shapes import Bool, Float, Int, Tensor


class RunOutput(NamedTuple):
    """What a forward gave."""

    logits: Float[Tensor, "n S V"]
    captured: dict[Site, Tensor]
    """The tensors [n, S, width] at the sites asked for, after the edits there."""


class LanguageModel:
    """A causal language model of transformers with hooks. Not for training: its weights take no gradient."""

    def __init__(self, model: nn.Module, tokenizer: Any, config: ModelConfig, *, folder: Path | None = None) -> None:
        """Prefer `load` and `from_modules`. `folder` is where the files are; None for a model in memory."""
        self.config = config
        self.tokenizer = tokenizer
        self._model = model.eval().requires_grad_(False)
        self._folder = folder
        hf_config: Any = model.config
        text_config = hf_config.get_text_config()
        family = family_of(text_config.model_type)
        anatomy = family.anatomy(model, text_config)
        self.spec: ModelSpec = spec_of(anatomy, text_config, family=family.plugin_name, model_type=text_config.model_type)
        self.special_ids: frozenset[int] = special_ids(tokenizer, text_config)
        self.bos_id: int | None = next(iter(as_ids(tokenizer.bos_token_id) or as_ids(text_config.bos_token_id)), None)
        ends = as_ids(getattr(getattr(model, "generation_config", None), "eos_token_id", None))
        self.end_ids: frozenset[int] = frozenset((*ends, *as_ids(tokenizer.eos_token_id), *as_ids(text_config.eos_token_id)))
        # Hooks belong to the modules, so two threads in one model would see each other's edits.
        self._forward = Forward(model, anatomy, lock=threading.RLock())
        self._unembedding = Unembedding(model, anatomy)
        self._texts: TokenTexts | None = None
        self._hash: str | None = None

    @classmethod
    def load(cls, config: ModelConfig | str) -> "LanguageModel":
        """Loads from a folder or the hub. Raises ModelNotFoundError, GatedModelError, ExtraMissingError or ModelError."""
        config = ModelConfig(model=config) if isinstance(config, str) else config
        loaded = load(config)
        return cls(loaded.model, loaded.tokenizer, config, folder=loaded.folder)

    @classmethod
    def sizes(cls, config: ModelConfig) -> "LanguageModel":
        """The model of a config with its tokenizer, sites and shapes, but no weights: it cannot run.

        Raises ModelNotFoundError, GatedModelError, ExtraMissingError or ModelError.
        """
        loaded = load_sizes(config)
        return cls(loaded.model, loaded.tokenizer, config, folder=loaded.folder)

    @property
    def parameter_shapes(self) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Type and shape of each of its tensors of weights by name, those that are shared once."""
        return {name: (p.dtype, tuple(p.shape)) for name, p in self._model.named_parameters()}

    @property
    def block_names(self) -> tuple[str, ...]:
        """What the names of each block's parameters begin with, in order."""
        names = {id(module): name for name, module in self._model.named_modules()}
        return tuple(names[id(block)] + "." for block in self._forward.blocks)

    def in_float32(self) -> "LanguageModel":
        """The same model in float32 on the same device, as a second one: from its files, or converted if it came in memory.

        Raises ModelError for a quantised model and for one spread over devices.
        """
        if self.config.quantise is not None or self.config.device_map is not None:
            raise ModelError("a model that is quantised, or spread by device_map, has no second copy in float32")
        if self._folder is None:
            return LanguageModel(copy.deepcopy(self._model).float(), self.tokenizer, self.config)
        return LanguageModel.load(dataclasses.replace(self.config, dtype="float32"))

    @classmethod
    def from_modules(cls, model: nn.Module, tokenizer: Any, *, name: str = "in-memory") -> "LanguageModel":
        """Wraps a model and tokenizer of transformers that are in memory already."""
        return cls(model, tokenizer, ModelConfig(model=name))

    def __repr__(self) -> str:
        return f"LanguageModel({self.config.model!r}, {self.spec.family}, {self.spec.n_layers} layers, D={self.spec.d_model})"

    @property
    def device(self) -> torch.device:
        """Where token ids go."""
        return self._forward.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the activations."""
        return self._unembedding.dtype

    @torch.no_grad()
    def capture(
        self,
        tokens: Int[Tensor, "n S"],
        sites: Sequence[Site],
        *,
        real: Bool[Tensor, "n S"] | None = None,
        edits: Sequence[Edit] = (),
        mask: Bool[Tensor, "n S"] | None = None,
    ) -> dict[Site, Tensor]:
        """The tensors [n, S, width] at `sites`, without gradient; the forward stops after the deepest.

        With `edits`, as they are after the edits before and at them; those behind the deepest site do not act. Values at padding
        mean nothing. Tensors may share memory with one another: do not write into them.
        Raises SiteError for a site the model does not have, ModelError for contexts it is too short for.
        """
        if not sites:
            return {}
        self._check(tokens, [*sites, *(edit.site for edit in edits)])
        wanted = tuple(dict.fromkeys(sites))
        return self._forward.until(Call(tokens, real, self._mask(tokens, mask, real), tuple(edits)), wanted)

    def run(
        self,
        tokens: Int[Tensor, "n S"],
        *,
        edits: Sequence[Edit] = (),
        mask: Bool[Tensor, "n S"] | None = None,
        real: Bool[Tensor, "n S"] | None = None,
        capture: Sequence[Site] = (),
        grad: bool = False,
    ) -> RunOutput:
        """A whole forward with `edits`, which act in the order given where they share a site.

        With `grad`, the graph reaches from the logits back to the embeddings through all captured tensors.
        Raises SiteError and ModelError as `capture` does.
        """
        self._check(tokens, [*(edit.site for edit in edits), *capture])
        call = Call(tokens, real, self._mask(tokens, mask, real), tuple(edits), tuple(capture))
        with torch.set_grad_enabled(grad):
            return RunOutput(*self._forward.whole(call, grad=grad))

    def run_from(
        self,
        site: Site,
        x: Float[Tensor, "n S D"],
        *,
        tokens: Int[Tensor, "n S"],
        mask: Bool[Tensor, "n S"] | None = None,
        real: Bool[Tensor, "n S"] | None = None,
        edits: Sequence[Edit] = (),
    ) -> Float[Tensor, "n S V"]:
        """The logits when the tensor at `site` is `x`, at every position; gradients flow to `x` where it asks for them.

        From the residual stream the blocks before are skipped; from other sites they run on `tokens`.
        Raises SiteError when an edit lies before `site`, where it could not act, and as `capture` does.
        """
        self._check(tokens, [site, *(edit.site for edit in edits)])
        if x.shape != (*tokens.shape, self.spec.site_width(site)):
            expected = (*tokens.shape, self.spec.site_width(site))
            raise SiteError(f"x at {site} must have the shape {tuple(expected)} here, not {tuple(x.shape)}")
        for edit in edits:
            if edit.site.depth < site.depth:
                raise SiteError(f"the edit at {edit.site} lies before {site}, from where the model runs: it could not act")
        call = Call(tokens, real, self._mask(tokens, mask, real), (replacement(site, x), *edits))
        skipped = {"resid_pre": site.layer, "resid_post": site.layer + 1}.get(site.kind, 0)
        with torch.set_grad_enabled(torch.is_grad_enabled() and x.requires_grad), self._forward.skipping(skipped):
            return self._forward.whole(call, grad=False)[0]

    def prefix(
        self,
        tokens: Int[Tensor, "n P"],
        *,
        real: Bool[Tensor, "n P"] | None = None,
        edits: Sequence[Edit] = (),
        capture: Sequence[Site] = (),
    ) -> Prefix:
        """Reads the first tokens of rows once, for many runs of what follows them; `edits` act on them where runs' edits do by
        default. No gradient reaches them. Raises SiteError and ModelError as `capture` does, and ModelError for a model that
        keeps something else than keys and values.
        """
        self._check(tokens, [*(edit.site for edit in edits), *capture])
        return Prefix(self._forward, Call(tokens, real, None, tuple(edits), tuple(capture)), special=sorted(self.special_ids))

    def generate(
        self,
        prompts: Sequence[str] | Sequence[Sequence[int]] | Int[Tensor, "n S"],
        *,
        edits: Sequence[Edit] = (),
        max_new_tokens: int = 100,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        on_token: Callable[[TokenEvent], None] | None = None,
    ) -> list[Generation]:
        """Continues each prompt until an end token or `max_new_tokens`.

        Texts are encoded as the tokenizer does by default (with BOS where it adds one). `temperature` 0 takes the likeliest
        token; otherwise row i draws from its own stream of `seed`, so that its text does not hang on the other rows.
        Edits never act on padding and special tokens. `on_token` hears of every token as it comes; what it raises ends the
        generation. Raises ConfigError for settings out of range, ModelError for empty or too long prompts.
        """
        for edit in edits:
            self.spec.check(edit.site)
        ids = [self.encode(p) if isinstance(p, str) else [int(i) for i in p] for p in prompts]
        sampling = Sampling(max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed)
        return generate(self._forward, self, GenerationRequest(ids, sampling, tuple(edits), on_token))

    def generate_steered(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        sampling: Sampling,
        steer: Callable[[int, Float[Tensor, "V"]], Float[Tensor, "V"]] | None = None,
        edits: Sequence[Edit] = (),
        on_token: Callable[[TokenEvent], None] | None = None,
        reads_last: bool = False,
    ) -> list[Generation]:
        """As `generate`, but each choice is made from what `steer` makes of the prompt's number and its next logits.

        A token whose logit is -inf is never taken. The last new token is read by no forward, unless `reads_last` says so, for
        edits that are to see every token. Raises ModelError for empty or too long prompts, SiteError as `generate` does.
        """
        for edit in edits:
            self.spec.check(edit.site)
        ids = [[int(i) for i in prompt] for prompt in prompts]
        return generate(self._forward, self, GenerationRequest(ids, sampling, tuple(edits), on_token, steer, reads_last))

    def generating(self) -> Generating:
        """Texts of several requests that come and go, written together step by step."""
        return Generating(self._forward, self)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, with the special tokens that the tokenizer adds by default."""
        return list(self.tokenizer(text, verbose=False)["input_ids"])

    def decode_tokens(self, ids: Sequence[int] | Tensor) -> list[str]:
        """The display text of each token by itself; a byte that is no character alone is shown as `<0xE2>`."""
        if self._texts is None:
            self._texts = TokenTexts(self.tokenizer)
        return self._texts.of([int(i) for i in ids])

    def token_text(self, ids: Sequence[int] | Tensor, *, after: Sequence[int] = ()) -> str:
        """The text that the tokens make together, special tokens included.

        `after`: tokens before them, whose text is not part of it; a text that is put together of parts needs them, since some
        tokenizers (Llama's) take away the space at the beginning of all that they decode.
        """
        return text_after(self.tokenizer, after, [int(i) for i in ids], shows_special=True)

    @property
    def can_unembed(self) -> bool:
        """Whether `unembed` of the last `resid_post` gives the model's logits; else it raises."""
        return self._unembedding.is_there

    @torch.no_grad()
    def unembed(self, x: Float[Tensor, "*rows D"], *, normed: bool = True) -> Float[Tensor, "*rows V"]:
        """Logits of residual vectors: final norm (unless `normed` is False), unembedding, capping.

        Of the last `resid_post` these are the model's logits. Raises ModelError for models that end otherwise.
        """
        return self._unembedding.logits(x, normed=normed)

    def embedding(self) -> Float[Tensor, "V D"]:
        """W_E: the row of each token, which begins its residual stream (Gemma multiplies all by one number first)."""
        return self._unembedding.embedding()

    def unembedding(self) -> Float[Tensor, "D V"]:
        """W_U: logits are W_U applied to the normed residual (then capped, where `spec.logit_softcap` says so)."""
        return self._unembedding.matrix()

    def final_norm_scale(self) -> Float[Tensor, " D"]:
        """What the final norm multiplies each coordinate by, float32: its weight, 1 + weight for Gemma.

        With `spec.norm == "layer"` the mean over coordinates is taken away first.
        """
        return self._unembedding.scale()

    def content_hash(self) -> str:
        """`sha256:...` of weights, configuration and tokenizer; the same for a folder wherever it lies. Computed once."""
        if self._hash is None:
            folder = self._folder
            self._hash = hash_folder(folder) if folder else hash_modules(self._model, self.tokenizer)
        return self._hash

    def editable(self, tokens: Int[Tensor, "n S"], real: Bool[Tensor, "n S"] | None = None) -> Bool[Tensor, "n S"]:
        """Where edits act by default: real tokens that are not special."""
        special = torch.tensor(sorted(self.special_ids), device=tokens.device, dtype=tokens.dtype)
        plain = torch.isin(tokens, special, invert=True)
        return plain if real is None else plain & real.to(plain.device)

    def check_length(self, n_tokens: int) -> None:
        """Raises ModelError for contexts longer than the model was made for."""
        longest = self.spec.n_positions
        if longest is not None and n_tokens > longest:
            raise ModelError(
                f"{self.config.model} reads at most {longest:,} tokens at once, not {n_tokens:,}. Use shorter contexts."
            )

    def _mask(self, tokens: Tensor, mask: Tensor | None, real: Tensor | None) -> Tensor:
        return self.editable(tokens, real) if mask is None else mask

    def _check(self, tokens: Tensor, sites: Sequence[Site] | Mapping[Site, Any]) -> None:
        self.check_length(tokens.shape[1])
        for site in sites:
            self.spec.check(site)
