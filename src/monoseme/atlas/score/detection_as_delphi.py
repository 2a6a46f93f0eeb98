"""Detection as delphi does it by default, for comparison with its numbers: windows, batches, answers and metrics to the letter.

Source: delphi at 3c2e139, scorers/classifier/detection.py (see `_as_delphi.py` for its mistakes, which are kept). Differs: the
words of the prompt are ours, the text is the kept contexts of the atlas, windows are as the default `center_examples=True`
gives them (the contexts cut into windows end to end: its switch is inverted), and windows without a firing are drawn by our
generator.
"""

from monoseme.atlas.score._delphi_scorer import DelphiScorer, Shown, Windows
from monoseme.atlas.score._kept_grid import KeptGrid, Window


class DetectionAsDelphi(DelphiScorer):
    """Balanced accuracy, F1 and AUROC of detection, as delphi counts them for one latent."""

    def show(self, windows: Windows, grid: KeptGrid) -> list[Shown]:
        """Plain text: the silent windows, then the test ones."""
        tested = list(zip(windows.test, windows.quantiles, strict=True))
        return [_shown(window, grid, None) for window in windows.silent] + [_shown(w, grid, quantile) for w, quantile in tested]

    def system(self) -> str:
        """Yes or no for each of five texts."""
        return (
            "You get the explanation of a latent of a language model: a pattern in text, such as a word, a kind of phrase or a"
            " topic. Then you get texts, numbered from 0. For each, say 1 if the pattern is in it and 0 if it is not. Be strict."
            " Answer with a list of 0s and 1s in the order of the texts, such as [1,0,0,1,0], and nothing else."
        )


def _shown(window: Window, grid: KeptGrid, quantile: int | None) -> Shown:
    document, position = int(grid.document[window.row, window.first]), int(grid.position[window.row, window.first])
    return Shown("".join(grid.texts(window.tokens)), quantile is not None, quantile, document, position)
