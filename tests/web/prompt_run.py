"""A run of SAEs that learned nothing, on a tiny random model: of one site, of several, of two parts; no atlas."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from starlette.testclient import TestClient

from monoseme.core.files import write_json
from monoseme.core.schema import SCHEMAS
from monoseme.kernels import choose_kernels
from monoseme.models import LanguageModel
from monoseme.saes import SAE, save_sae
from monoseme.saes.crosscoder import Crosscoder
from monoseme.saes.mlsae import MLSAE
from monoseme.saes.tfa import TFA
from monoseme.saes.topk import TopK
from monoseme.saes.tsae import TSAE
from monoseme.testing.models import tiny_model
from monoseme.web._app import app_over
from monoseme.web.run_files import RunFiles

TEXT = "the cat sat on a mat and saw one big red sun over two hills"
SITES = ("resid_post.0", "resid_post.1", "resid_post.2")
ONE = ("resid_post.1",)
D, F, K = 20, 37, 5


def prompt_saes() -> dict[str, SAE]:
    """The run's SAEs, ready for use."""
    with choose_kernels("reference"):  # nothing is compiled for so small a run
        saes = (
            TopK(TopK.Config(d_in=D, n_latents=F, k=K, sites=ONE)),
            MLSAE(MLSAE.Config(d_in=D, n_latents=F, k=K, n_sites=len(SITES), sites=SITES)),
            TSAE(TSAE.Config(d_in=D, n_latents=F, k=K, sites=ONE)),
            TFA(TFA.Config(d_in=D, n_latents=24, k=K, bottleneck=2, n_heads=2, sites=ONE)),
            Crosscoder(Crosscoder.Config(d_in=D, n_latents=F, k=K, n_sites=2, sites=SITES[:2])),
        )
        for sae in saes:  # a bias that is not zero, so that it counts where it should not
            sae.b_dec.data.copy_(torch.linspace(-1, 1, len(sae.b_dec)))
        return {sae.plugin_name: sae.export() for sae in saes}


class PromptRun:
    """The run, its model and its SAEs in memory, and a client of the app over it."""

    def __init__(self, folder: Path) -> None:
        self.model: LanguageModel = tiny_model("llama")
        self.saes = prompt_saes()
        self.n_calls = 0
        worker = SimpleNamespace(call=self._call, read=self._read, sae=lambda path, _: self.saes[path.name])
        self.files = RunFiles(_written(folder, self.saes), id="tiny", worker=cast(Any, worker))
        self._client = TestClient(app_over([self.files]), base_url="http://127.0.0.1")

    async def _call(self, _: object, work: Callable[[LanguageModel], Any]) -> Any:
        self.n_calls += 1
        return work(self.model)

    async def _read(self, _: object, ask: Callable[[LanguageModel], Any], work: Callable[[Any, Any], Any]) -> Any:
        self.n_calls += 1
        asked = ask(self.model)
        return work(asked, self.model.capture(torch.tensor([asked.ids]), asked.sites))

    def ask(self, sae: str, view: str = "", **query: Any) -> Any:
        """The answer of one view of TEXT, or of another text."""
        found = self.refused(sae, view, **query)
        assert found.status_code == 200, found.text
        return found.json()

    def refused(self, sae: str, view: str = "", **query: Any) -> Any:
        """The response, whatever it is."""
        return self._client.get(f"/api/runs/tiny/saes/{sae}/prompt{view}", params={"text": TEXT, **query})


def _written(folder: Path, saes: dict[str, SAE]) -> Path:
    for name, sae in saes.items():
        save_sae(sae, folder / "saes" / name, extra_config={"site": ",".join(sae.config.sites)})
    config = {"model": {"model": "tiny"}, "corpus": {"bos": "always"}}
    artifacts = {"saes": {name: f"saes/{name}" for name in saes}}
    write_json(
        folder / "run.json", {"kind": "run", "schema": SCHEMAS["run"], "config": config, "jobs": {}, "artifacts": artifacts}
    )
    return folder
