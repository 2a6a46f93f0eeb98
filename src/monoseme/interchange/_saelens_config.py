"""cfg.json of SAELens, of version 6 and of those before it, as one table.

Version 6 keeps what concerns the language model in `metadata`; before it, all keys lie side by side and some have other names:

    hook_point -> hook_name              hook_point_head_index -> hook_head_index        activation_fn_str -> activation_fn
    activation_fn "topk" with activation_fn_kwargs.k     the architecture topk with that k, whatever `architecture` says
    normalize_activations true, false, null              expected_average_only_in, none, none
    no architecture, no apply_b_dec_to_input             standard, true
    hook_z in the hook's name                            heads side by side (as monoseme has them)

Source: `handle_pre_6_0_config` and `LLM_METADATA_KEYS` of sae-lens 6.54.12.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.errors import ForeignError
from monoseme.core.foreign import as_list, as_number, as_object, as_text, read_json_object
from monoseme.interchange._places import SaidSite
from monoseme.models.hook_names import hook_site, module_site
from monoseme.models.site import Site

CONFIG, WEIGHTS, SPARSITY = "cfg.json", "sae_weights.safetensors", "sparsity.safetensors"
SCALER, WHITENING = "activation_scaler.json", "activation_whitening.safetensors"
TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
ARCHITECTURES = (
    *("standard", "gated", "topk", "abstopk", "jumprelu", "batchtopk", "matryoshka_batchtopk"),
    *(*TRANSCODERS, "matching_pursuit", "temporal"),
)
_NEW_NAMES = {"hook_point": "hook_name", "hook_point_head_index": "hook_head_index", "activation_fn_str": "activation_fn"}
_MOST = 2**31 - 1
_MOST_FACTS = 40
_DROPPED = frozenset({"model_name", "training_architecture_details", "model_from_pretrained_kwargs"})

MODELS = {
    "gpt2-small": "gpt2",
    **{name: f"google/{name}" for name in ("gemma-2b", "gemma-7b", "gemma-2-2b", "gemma-2-9b", "gemma-2-27b")},
    **{name: f"google/{name}" for name in ("gemma-2-2b-it", "gemma-2-9b-it", "gemma-2-27b-it")},
    **{f"pythia-{size}": f"EleutherAI/pythia-{size}" for size in ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")},
    **{f"pythia-{size}-deduped": f"EleutherAI/pythia-{size}-deduped" for size in ("70m", "160m", "410m", "1b", "1.4b", "2.8b")},
    "tiny-stories-33M": "roneneldan/TinyStories-33M",
    "mistral-7b": "mistralai/Mistral-7B-v0.1",
}
"""Short names of TransformerLens -> the hub's, where one name means one model."""


class Told(NamedTuple):
    """What a cfg.json says."""

    architecture: str
    d_in: int
    d_sae: int
    normalise: str
    """`normalize_activations`."""
    centred: bool
    """Whether b_dec is taken off what the encoder reads."""
    settings: Mapping[str, Any]
    """All of it, `metadata` and older names put where version 6 has them at the top."""
    where: str

    def flag(self, name: str, *, default: bool) -> bool:
        """A setting that is true or false. Raises ForeignError."""
        value = self.settings.get(name)
        if value is not None and not isinstance(value, bool):
            raise ForeignError(f"{self.where}: {name} should be true or false, but is {str(value)[:60]!r}")
        return default if value is None else value

    def count(self, name: str, *, default: int | None = None, most: int = _MOST) -> int:
        """A whole number of at least 1. Raises ForeignError."""
        value = self.settings.get(name)
        return default if value is None and default is not None else as_count(value, most=most, where=f"{self.where}: {name}")

    def number(self, name: str, *, default: float) -> float:
        """A finite number. Raises ForeignError."""
        value = self.settings.get(name)
        return default if value is None else as_number(value, where=f"{self.where}: {name}")

    def text(self, name: str) -> str | None:
        """A text, or None where there is none. Raises ForeignError."""
        value = self.settings.get(name)
        return None if value is None else as_text(value, where=f"{self.where}: {name}")

    @property
    def model(self) -> str | None:
        """The language model, under its name on the hub where that is certain."""
        name = self.text("model_name")
        return None if not name else MODELS.get(name, name)


def as_count(value: Any, *, most: int = _MOST, where: str) -> int:
    """A whole number from 1 to `most`. Raises ForeignError."""
    number = as_number(value, where=where)
    if number != int(number) or not 1 <= number <= most:
        raise ForeignError(f"{where} is {number:g}; it should be a whole number from 1 to {most:,}")
    return int(number)


def read_told(path: Path) -> Told:
    """Raises ForeignError for a file that is broken, or of an architecture that SAELens does not have."""
    settings, where = _flat(read_json_object(path), where=str(path)), str(path)
    architecture = as_text(settings.get("architecture", "standard"), where=f"{where}: architecture")
    if architecture not in ARCHITECTURES:
        raise ForeignError(f'{where}: no architecture "{architecture[:60]}" is known.\n  Known: {", ".join(ARCHITECTURES)}')
    d_in, d_sae = (as_count(settings.get(name), where=f"{where}: {name}") for name in ("d_in", "d_sae"))
    told = Told(architecture, d_in, d_sae, _normalise(settings, where), centred=True, settings=settings, where=where)
    return told._replace(centred=told.flag("apply_b_dec_to_input", default=architecture not in TRANSCODERS))


def site_of(told: Told) -> SaidSite:
    """Where it learned, two places for a transcoder, and a note where a hook's name is none of ours."""
    names = [told.text("hook_name")]
    if told.architecture in TRANSCODERS:
        names.append(told.text("hook_name_out"))
    if told.settings.get("hook_head_index") is not None:
        note = f"it reads one head of {names[0]}, which is no site here: give the site it is to read with --site"
        return SaidSite(None, (note,))
    sites = [_site(name, told) for name in names]
    if all(sites):
        return SaidSite(",".join(map(str, sites)))
    unknown = [name for name, site in zip(names, sites, strict=True) if name and not site]
    return SaidSite(None, tuple(f"{name} is the name of no site here: give the nearest with --site" for name in unknown))


def facts_of(told: Told) -> dict[str, Any]:
    """What the file says of the model, the data and the training, as far as it is one number, text or truth value each."""
    kept = {name: value for name, value in told.settings.items() if name not in _DROPPED and isinstance(name, str)}
    plain = {
        name[:100]: value[:1000] if isinstance(value, str) else value
        for name, value in kept.items()
        if isinstance(value, str | bool | int | float) and name not in ("d_in", "d_sae", "device")
    }
    return dict(sorted(plain.items())[:_MOST_FACTS])


def _flat(content: dict[str, Any], *, where: str) -> dict[str, Any]:
    metadata = content.pop("metadata", None)
    if metadata is not None:
        content = {**as_object(metadata, where=f"{where}: metadata"), **content}
    flat = {_NEW_NAMES.get(name, name): value for name, value in content.items()}
    activation = flat.get("activation_fn")
    if activation not in (None, "relu", "topk"):
        raise ForeignError(f"{where}: activation_fn is {str(activation)[:60]!r}; relu and topk can be read")
    if activation == "topk":
        inner = as_object(flat.get("activation_fn_kwargs"), where=f"{where}: activation_fn_kwargs")
        flat |= {"architecture": "topk", "k": inner.get("k", flat.get("k"))}
    return flat


def _normalise(settings: Mapping[str, Any], where: str) -> str:
    value = settings.get("normalize_activations")
    if value is None or isinstance(value, bool):
        return "expected_average_only_in" if value else "none"
    return as_text(value, where=f"{where}: normalize_activations")


def _site(name: str | None, told: Told) -> Site | None:
    if name is None:
        return None
    layer = told.settings.get("hook_layer", told.settings.get("hook_point_layer"))
    name = name.replace("{layer}", str(layer)) if isinstance(layer, int) else name
    return hook_site(name) or module_site(name)


def widths_of(told: Told) -> tuple[int, ...] | None:
    """Latents in each group of a Matryoshka SAE, from the cumulative widths; None where it is none. Raises ForeignError."""
    if told.architecture == "matryoshka_batchtopk":
        found = told.settings.get("matryoshka_widths")
    elif told.settings.get("training_architecture") == "matryoshka_batchtopk":  # of one that was saved for use, as jumprelu
        details = told.settings.get("training_architecture_details")
        found = details.get("matryoshka_widths") if isinstance(details, dict) else None
        if found is None:
            return None
    else:
        return None
    where = f"{told.where}: matryoshka_widths"
    ends = [as_count(end, most=told.d_sae, where=where) for end in as_list(found, where=where)]
    ends = ends if ends and ends[-1] == told.d_sae else [*ends, told.d_sae]
    sizes = tuple(end - begin for begin, end in zip([0, *ends], ends, strict=False))
    if min(sizes) < 1:
        raise ForeignError(f"{where} are {ends[:20]}; each should be larger than the one before")
    return sizes
