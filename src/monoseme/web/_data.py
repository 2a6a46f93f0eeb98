"""What the web app needs to know about a run, as two protocols: one reads artifacts, one runs the model.

The API only talks to these. `_run.py` reads a run folder; `_prompt.py` runs its model. Tests give their own.
"""

from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from monoseme.core.errors import MonosemeError
from monoseme.web import _schema as schema


class NotFoundError(MonosemeError):
    """No run, SAE, latent or chart of this name; the API answers 404."""


class UnavailableError(MonosemeError):
    """What was asked for exists only with something that is not there, such as the model; the API answers 409."""


class LatentQuery(BaseModel):
    """Which rows of the table of latents, in which order: the query of its URL."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sort: Literal["index", "density", "max", "score", "explanation"] = "index"
    order: Literal["ascending", "descending"] = "ascending"
    q: str = Field("", max_length=200, description="kept: explanation or a top token holds this; a number finds that index")
    state: Literal["all", "alive", "dead", "explained"] = "all"
    density_min: float | None = Field(None, ge=0, le=1)
    density_max: float | None = Field(None, ge=0, le=1)
    score_min: float | None = None
    offset: int = Field(0, ge=0)
    limit: int = Field(50, ge=1, le=500)


class RunReader(Protocol):
    """Reads one run. Every method raises NotFoundError for a name it does not know, MonosemeError for a damaged artifact."""

    id: str

    def summary(self) -> schema.RunSummary: ...

    def overview(self) -> schema.RunOverview: ...

    def chart(self, name: str) -> dict[str, Any]:
        """A Vega-Lite specification with its data inside."""
        ...

    def latents(self, sae: str, query: LatentQuery) -> schema.LatentTable: ...

    def latent(self, sae: str, index: int) -> schema.LatentDetail: ...

    def latent_chart(self, sae: str, index: int) -> dict[str, Any]:
        """The histogram of a latent's activations, as a Vega-Lite specification."""
        ...

    def card(self, sae: str, index: int) -> schema.LatentCard: ...

    def random_latent(self, sae: str) -> int:
        """The index of a latent that fires, chosen anew at each call."""
        ...

    def read_prompt(self, sae: str, text: str) -> schema.PromptReading:
        """Runs the model on `text`. Raises UnavailableError with the reason when the model is not at hand."""
        ...
