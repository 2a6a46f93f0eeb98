"""`check`: the checksums of what lies in a place."""

from monoseme.api._places import Place, word_of
from monoseme.pipeline import check_place


def check(place: Place) -> dict[str, list[str]]:
    """Verifies every checksum of an artifact, a run, or a folder or an address that holds some: path -> what is wrong there.

    An empty list is sound. Raises ArtifactMissingError where there is nothing.
    """
    return check_place(word_of(place))
