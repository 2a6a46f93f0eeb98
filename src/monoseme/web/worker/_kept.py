"""Language models in memory, the least recently used dropped first, each with what was made for it."""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

from monoseme.core.errors import MonosemeError
from monoseme.web.recent import Recent
from monoseme.web.run_files import UnavailableError
from monoseme.web.worker._slots import WorkerLimits

if TYPE_CHECKING:
    from monoseme.models import LanguageModel, ModelConfig

ModelLoader = Callable[["ModelConfig"], "LanguageModel"]
V = TypeVar("V")


class KeptModels:
    """Models by their configs. To be used by one thread."""

    def __init__(self, loader: ModelLoader | None, limits: WorkerLimits) -> None:
        """`loader` gives a language model; None is `LanguageModel.load`."""
        self._loader = loader
        self._models: Recent[ModelConfig, tuple[LanguageModel, Recent[Hashable, Any]]] = Recent(limits.most_models)
        self._limits = limits

    def model(self, config: "ModelConfig") -> "LanguageModel":
        """The model. Raises UnavailableError where it cannot be loaded."""
        return self._entry(config)[0]

    def made(self, model: "LanguageModel", key: Hashable, make: Callable[[], V]) -> V:
        """What `make` makes for a model, kept as long as the model is. Raises what it raises."""
        for known, made in self._models.values():
            if known is model:
                return made.get(key, make)
        return make()  # the model has made room for another one while it was at work

    def _entry(self, config: "ModelConfig") -> "tuple[LanguageModel, Recent[Hashable, Any]]":
        return self._models.get(config, lambda: (self._loaded(config), Recent(self._limits.most_made)))

    def _loaded(self, config: "ModelConfig") -> "LanguageModel":
        from monoseme.models import LanguageModel

        try:
            return (self._loader or LanguageModel.load)(config)
        except MonosemeError as error:
            first, _, rest = str(error).partition("\n")
            raise UnavailableError(f"the model {config.model} of this run cannot be loaded: {first}\n{rest}") from error
