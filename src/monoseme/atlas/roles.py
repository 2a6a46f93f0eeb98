"""Who speaks in a conversation: which roles and turns are wanted, and of which role and turn a token is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.text.document import ROLES


class Speaker(NamedTuple):
    """Whose token it is."""

    role: str
    """One of `monoseme.text.ROLES`."""
    turn: int
    """Turn of the conversation, from 0."""


@dataclass(frozen=True, kw_only=True)
class RoleFilter:
    """Lets through tokens by who speaks them and when. By default it lets all through; plain text is role "text", turn 0."""

    roles: tuple[str, ...] | None = None
    """Roles whose tokens are let through, such as user, assistant (None: all)."""
    first_turn: int = 0
    """First turn let through, from 0."""
    last_turn: int | None = None
    """Last turn let through (None: to the end)."""

    def __post_init__(self) -> None:
        """Raises ConfigError for a role there is not, and for turns that nothing passes."""
        for role in self.roles or ():
            if role not in ROLES:
                raise ConfigError(f'there is no role "{role}".{suggest(role, ROLES)}\n  Allowed: {", ".join(ROLES)}')
        if self.roles == ():
            raise ConfigError("roles is empty, so nothing passes. Leave it out to let all roles through.")
        if self.first_turn < 0 or (self.last_turn is not None and self.last_turn < self.first_turn):
            raise ConfigError(f"turns {self.first_turn} to {self.last_turn}: nothing passes. Turns count from 0.")

    @classmethod
    def of_config(cls, config: Mapping[str, Any] | None) -> "RoleFilter":
        """The filter a manifest tells of; None, for one written before there were filters, lets all through."""
        config = config or {}
        roles = config.get("roles")
        kept = {name: config[name] for name in ("first_turn", "last_turn") if name in config}
        return cls(roles=None if roles is None else tuple(roles), **kept)

    @property
    def lets_all(self) -> bool:
        """Whether nothing is left out."""
        return self.roles is None and self.first_turn == 0 and self.last_turn is None

    @property
    def told(self) -> str:
        """What is added to "no token is left"; empty where the filter is not the reason."""
        if self.lets_all:
            return ""
        whose = "any role" if self.roles is None else " or ".join(self.roles)
        end = "the last" if self.last_turn is None else str(self.last_turn)
        return f", or no token is of {whose} in turns {self.first_turn} to {end}"

    def passes(self, role: str | None, turn: int | None) -> bool:
        """Whether one token passes; None and None: plain text."""
        number = turn or 0
        is_turn = number >= self.first_turn and (self.last_turn is None or number <= self.last_turn)
        return is_turn and (self.roles is None or (role or ROLES[0]) in self.roles)

    def passed(self, roles: NDArray[np.int8] | None, turns: NDArray[np.int16] | None, *, like: NDArray) -> NDArray[np.bool_]:
        """Which tokens pass, in the shape of `like`; roles and turns that are None are those of plain text."""
        passed = np.ones(like.shape, dtype=bool)
        if self.roles is not None:
            codes = [ROLES.index(role) for role in self.roles]
            passed &= np.isin(np.zeros(like.shape, np.int8) if roles is None else roles, codes)
        turns = np.zeros(like.shape, np.int16) if turns is None else turns
        if self.first_turn:
            passed &= turns >= self.first_turn
        if self.last_turn is not None:
            passed &= turns <= self.last_turn
        return passed
