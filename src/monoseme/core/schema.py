"""The kinds of artifact and the version of the layout that this release writes and reads."""

from typing import Final

SCHEMAS: Final[dict[str, int]] = {"activations": 1, "sae": 1, "atlas": 1, "report": 1, "run": 1}
"""Kind -> newest layout this release knows. Raise a number when an older release would misread what a newer one wrote."""
