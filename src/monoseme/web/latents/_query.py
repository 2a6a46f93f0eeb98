"""What can be asked of the table of latents."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from monoseme.web.latents.answers import SearchBy

_BY = (
    "contains: explanation or a top token holds q, a number finds that index; words: BM25 of explanations; "
    "meaning: nearness of explanations; text: latents that fire where the phrase q stands"
)


class LatentFilter(BaseModel):
    """Which latents are meant."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    q: str = Field(default="", max_length=1000, description="what is searched for; empty: everything")
    by: SearchBy = Field(default="contains", description=_BY)
    where: str = Field(default="", max_length=2000, description='a statement, such as: density < 0.01 and explanation ~ "cat"')
    state: Literal["all", "alive", "dead", "explained"] = "all"
    role: str = Field(default="", max_length=40, description="density is then over the tokens of this role of a conversation")
    only: str = Field(
        default="", max_length=8000, pattern=r"^(\d{1,9}(,\d{1,9})*)?$", description="these indices, with commas between"
    )
    density_min: float | None = Field(default=None, ge=0, le=1)
    density_max: float | None = Field(default=None, ge=0, le=1)
    max_min: float | None = None
    max_max: float | None = None
    score_min: float | None = None
    score_max: float | None = None

    @property
    def ranks(self) -> bool:
        """Whether its search puts latents in an order, beside leaving some out."""
        return self.by != "contains" and bool(self.q.strip())


class LatentQuery(LatentFilter):
    """Which rows of the table of latents, in which order: the query of its URL."""

    sort: str = Field(
        default="index",
        max_length=100,
        description="index, explanation, score, score_low (max where nothing is scored), density, max, relevance, "
        "or a name of /latents/columns",
    )
    order: Literal["ascending", "descending"] = "ascending"
    show: str = Field(default="", max_length=1000, description="further columns, with commas between")
    offset: int = Field(default=0, ge=0, lt=2**31)
    limit: int = Field(default=50, ge=1, le=500)

    @property
    def filter(self) -> LatentFilter:
        """Which latents, whatever their order."""
        return LatentFilter(**{name: getattr(self, name) for name in LatentFilter.model_fields})

    @property
    def shown(self) -> tuple[str, ...]:
        """The further columns, each once."""
        return tuple(dict.fromkeys(name.strip() for name in self.show.split(",") if name.strip()))
