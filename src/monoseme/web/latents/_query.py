"""What can be asked of the table of latents."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


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
