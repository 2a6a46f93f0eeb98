"""Find what each latent responds to, in one pass over the text: the atlas.

    monoseme scan RUN

How much and what is kept (`--atlas.n_tokens`, `--atlas.scan.*`) is set when the run is made.
"""

from pathlib import Path

from monoseme.cli._run_words import read_words
from monoseme.core.display import get_display
from monoseme.core.files import typed
from monoseme.pipeline import RunFolder, scan_run


def main(words: list[str]) -> int:
    """Scans each run named."""
    said = read_words(words, verb="scan")
    if said is None:
        return 0
    for word in said.paths:
        scan_run(RunFolder(Path(word)))
        get_display().say(f"  explain it:  monoseme explain {typed(word)}")
    get_display().result({"atlases": [str(RunFolder(Path(word)).atlas) for word in said.paths]})
    return 0
