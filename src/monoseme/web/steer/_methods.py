"""The methods of steering as the page offers them: from their classes' own words."""

import dataclasses
import typing
from typing import Any, Literal

from monoseme.core.field_docs import field_docs
from monoseme.web.steer.answers import MethodOption, SteerMethod

_TYPES: dict[Any, Literal["switch", "integer", "number"]] = {bool: "switch", int: "integer", float: "number"}


def steer_methods() -> list[SteerMethod]:
    """All of them, by name; imports torch."""
    from monoseme.steering import STEERING, SteeringMethod

    made: list[SteerMethod] = []
    for info in STEERING.infos():
        method = STEERING.get(info.name)
        needs_latents = method.prompted is SteeringMethod.prompted
        made.append(
            SteerMethod(
                name=info.name,
                summary=info.summary,
                formula=method.formula,
                needs_latents=needs_latents,
                units=list(method.units) if needs_latents else [],
                options=_options(method.Config),
            )
        )
    return made


def _options(config: type) -> list[MethodOption]:
    help_of, types = field_docs(config), typing.get_type_hints(config)
    return [
        MethodOption(
            name=field.name,
            type="choice" if (choices := _choices(types[field.name])) else _TYPES.get(types[field.name], "text"),
            default=None if field.default is dataclasses.MISSING else field.default,
            choices=choices,
            help=help_of.get(field.name, ""),
        )
        for field in dataclasses.fields(config)
    ]


def _choices(kind: Any) -> list[str]:
    return [str(choice) for choice in typing.get_args(kind)] if typing.get_origin(kind) is Literal else []
