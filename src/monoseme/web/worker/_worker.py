"""Loads language models and SAEs when they are first needed, keeps them, and runs one piece of work at a time."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from starlette.concurrency import run_in_threadpool

from monoseme.core.errors import ArtifactMissingError, MonosemeError
from monoseme.web.run_files import UnavailableError

if TYPE_CHECKING:
    from monoseme.models import LanguageModel, ModelConfig
    from monoseme.saes import SAE

ModelLoader = Callable[["ModelConfig"], "LanguageModel"]
T = TypeVar("T")


class ModelWorker:
    """Runs models for every run that is served."""

    def __init__(self, loader: ModelLoader | None = None) -> None:
        """`loader` gives a language model; None is `LanguageModel.load`."""
        self._loader = loader
        self._lock = threading.Lock()
        self._models: dict[ModelConfig, LanguageModel] = {}
        self._saes: dict[Path, SAE] = {}

    async def call(self, config: "ModelConfig", work: "Callable[[LanguageModel], T]") -> T:
        """What `work` makes of the model. Raises UnavailableError where the model cannot be loaded, and what `work` raises."""
        return await run_in_threadpool(self._run, config, work)

    def sae(self, path: Path, model: "LanguageModel") -> "SAE":
        """The SAE at `path`, ready on the model's device; for work that the worker runs. Raises UnavailableError."""
        from monoseme.saes import load_sae

        try:
            if path not in self._saes:
                self._saes[path] = load_sae(path).export().to(model.device).eval()
        except ArtifactMissingError as error:
            raise UnavailableError(str(error)) from error
        return self._saes[path]

    def _run(self, config: "ModelConfig", work: "Callable[[LanguageModel], T]") -> T:
        with self._lock:
            return work(self._model(config))

    def _model(self, config: "ModelConfig") -> "LanguageModel":
        from monoseme.models import LanguageModel

        try:
            if config not in self._models:
                self._models[config] = (self._loader or LanguageModel.load)(config)
        except MonosemeError as error:
            first, _, rest = str(error).partition("\n")
            raise UnavailableError(f"the model {config.model} of this run cannot be loaded: {first}\n{rest}") from error
        return self._models[config]
