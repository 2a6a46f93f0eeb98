"""Fuzzing as delphi does it by default, for comparison with its numbers: windows, marks, batches and metrics to the letter.

Source: delphi at 3c2e139, scorers/classifier/fuzz.py (see `_as_delphi.py` for its mistakes, which are kept: every window
without a firing is marked in the same places). Differs as `detection_as_delphi.py`.
"""

from collections.abc import Sequence

from monoseme.atlas.score import _as_delphi as peer
from monoseme.atlas.score._delphi_scorer import DelphiScorer, Shown, Windows
from monoseme.atlas.score._kept_grid import KeptGrid, Window


class FuzzingAsDelphi(DelphiScorer):
    """Balanced accuracy, F1 and AUROC of fuzzing, as delphi counts them for one latent."""

    def show(self, windows: Windows, grid: KeptGrid) -> list[Shown]:
        """Marked text: the silent windows with the same places marked in each, then the test ones with their active tokens."""
        n_marked = peer.n_wrong([window.values for window in windows.test])
        silent = [_shown(window, grid, peer.wrong_marks(window.values, n_marked), None) for window in windows.silent]
        tested = zip(windows.test, windows.quantiles, strict=True)
        return silent + [_shown(window, grid, peer.right_marks(window.values), quantile) for window, quantile in tested]

    def system(self) -> str:
        """Yes or no for each of five marked texts."""
        return (
            "You get the explanation of a latent of a language model: a pattern in text, such as a word, a kind of phrase or a"
            " topic. Then you get texts, numbered from 0, in each of which some tokens stand between << and >>. For each, say 1"
            " if the marked tokens are the ones that the pattern is about and 0 if they are not. Be strict. Answer with a list of"
            " 0s and 1s in the order of the texts, such as [1,0,0,1,0], and nothing else."
        )


def _shown(window: Window, grid: KeptGrid, marks: Sequence[int], quantile: int | None) -> Shown:
    document, position = int(grid.document[window.row, window.first]), int(grid.position[window.row, window.first])
    return Shown(peer.marked(grid.texts(window.tokens), marks), quantile is not None, quantile, document, position)
