"""Which language model, and how it is loaded."""

from dataclasses import dataclass
from typing import Literal

from monoseme.core.errors import ConfigError

Dtype = Literal["float32", "bfloat16", "float16", "auto"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A language model in Hugging Face layout."""

    model: str = "bundled"
    """Folder or hub id (owner/name); "bundled" is the small model that ships with monoseme."""
    revision: str | None = None
    """Branch, tag or commit of a hub model; None is its main branch."""
    dtype: Dtype = "float32"
    """Type of the weights and activations; "auto" takes the one the weights were saved in."""
    device: str = "cpu"
    """Where the model runs: cpu, cuda, cuda:1, mps. Not used with device_map."""
    device_map: str | None = None
    """How accelerate spreads the blocks over devices: auto, balanced, sequential; None keeps the model on `device`."""
    quantise: Literal["8bit", "4bit"] | None = None
    """Bits of the weights (bitsandbytes); None keeps them as they are."""
    attention: str | None = None
    """Attention implementation: eager, sdpa, flash_attention_2; None lets transformers choose."""
    trust_remote_code: bool = False
    """Whether Python code that came with the model may run. Only for authors you trust."""

    def __post_init__(self) -> None:
        """Raises ConfigError for settings that exclude each other."""
        if not self.model.strip():
            raise ConfigError('model is empty: give a folder, a hub id such as gpt2, or "bundled"')
        if self.device_map is not None and self.device != "cpu":
            raise ConfigError(
                f"device={self.device!r} and device_map={self.device_map!r} exclude each other: "
                "device_map decides where each block goes. Leave one out."
            )
