"""The model's loss with an SAE in it, measured now and then while it trains."""

from collections.abc import Mapping

from monoseme.core.display import SilentDisplay, use_display
from monoseme.evaluation import EvalSubject
from monoseme.evaluation.fidelity import Fidelity
from monoseme.models import Site
from monoseme.pipeline._materials import Materials
from monoseme.saes import SAE

_TOLD = ("ce_recovered", "kl")


class SplicedLoss:
    """Validation numbers that need the model: `ce_increase`, `ce_recovered` and `kl` on the first held-out contexts."""

    def __init__(self, materials: Materials, sites: Mapping[str, tuple[Site, ...]], *, n_tokens: int) -> None:
        """`sites`: where each SAE learns; `n_tokens`: held-out tokens measured, always the same ones."""
        self._materials = materials
        self._sites = sites
        self._fidelity = Fidelity(Fidelity.Config(max_tokens=n_tokens, n_replicates=2))

    def measure(self, name: str, sae: SAE) -> Mapping[str, float]:
        """The numbers of one SAE; those that are not defined are left out."""
        subject = EvalSubject(
            name=name, sae=sae, sites=self._sites[name], source=self._materials.held_out, model=self._materials.model
        )
        with use_display(SilentDisplay()):  # the training bar is on the screen
            result = self._fidelity.run(subject)
        numbers = {name: value for name in _TOLD if (value := result[name].value) is not None}
        original, spliced = result["ce_original"].value, result["ce_spliced"].value
        if original is not None and spliced is not None:
            numbers["ce_increase"] = spliced - original
        return numbers
