"""Let a model go on with a text, steered with latents or not, and see what latents do on each token.

    monoseme generate "Once upon a time" --model bundled
    monoseme generate "Once upon a time" --sae runs/demo/saes/topk --steer 17=2max --compare
    monoseme generate "The cat" --sae runs/demo --steer topk:17=2max,topk:301=-1max --method clamp --watch topk:17
    monoseme generate --file prompts.txt --sae runs/demo/saes/topk --steer 17=0.5norm --temperature 0.8 --seed 3 --json
    monoseme generate "The cat" --sae runs/demo/saes/topk --steer 17=2max --only generated --while-fires 40 --error-term off

A latent is a number, or SAE:NUMBER where there are several SAEs (as the atlas calls them: topk, tfa.novel, mlsae@resid_post.3).
Strengths are in multiples of the latent's largest activation (2max, from the atlas beside the SAE), shares of the mean norm at
the site (0.5norm) or plain (3raw). Several prompts, also from a file with one a line, are written as one batch. `--compare` sets
the text without steering beside it, with the same seed. The command that is printed in the end writes the same tokens again.
"""

import dataclasses
import shlex
from pathlib import Path

import tyro

from monoseme.cli._options import write
from monoseme.cli._verbs import document
from monoseme.cli._writing_flags import WritingFlags, read_flags, replay_words, session_config
from monoseme.cli._written_text import page_for, value_lines, written_facts
from monoseme.core.display import JsonDisplay, QuietDisplay, get_display
from monoseme.core.errors import ConfigError
from monoseme.pipeline import Session, Written, open_session


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerateFlags(WritingFlags):
    """What the command line says."""

    prompts: tyro.conf.Positional[tuple[str, ...]] = ()
    """Texts to go on with."""
    file: Path | None = None
    """A file with more of them, one a line; empty lines are left out."""


def main(words: list[str]) -> int:
    """Writes."""
    flags, steering = read_flags(GenerateFlags, words, verb="generate", summary=document("generate"))
    prompts, sampling = _prompts(flags), flags.sampling
    session = open_session(session_config(flags, steering))
    page = page_for(prompts, list(session.arms), most_tokens=sampling.max_new_tokens)
    written: dict[str, list[Written]] = {}
    for name, arm in session.arms.items():
        ids = [session.writer.prompt_ids(arm.prompted(prompt)) for prompt in prompts]
        with page.arm(name) as listener:
            written[name] = session.writer.write(ids, sampling, edits=arm.edits, watched=session.watched, listener=listener)
    replay = shlex.join(["monoseme", "generate", *replay_words(words, flags)])
    _tell(session, prompts, written, replay)
    return 0


def _prompts(flags: GenerateFlags) -> list[str]:
    """Raises ConfigError without any, and for a file that is no text."""
    lines: list[str] = []
    if flags.file is not None:
        try:
            lines = [line for line in flags.file.read_text(encoding="utf-8").split("\n") if line.strip()]
        except UnicodeDecodeError as error:
            raise ConfigError(f"{flags.file} is not UTF-8 text: {error}") from error
    prompts = [*flags.prompts, *(line.removesuffix("\r") for line in lines)]
    if not prompts:
        raise ConfigError('generate needs a text to go on with.\n  Type, for example:  monoseme generate "Once upon a time"')
    return prompts


def _tell(session: Session, prompts: list[str], written: dict[str, list[Written]], replay: str) -> None:
    display = get_display()
    if isinstance(display, JsonDisplay):
        rows = [
            {"prompt": prompt, **{name: written_facts(texts[i]) for name, texts in written.items()}}
            for i, prompt in enumerate(prompts)
        ]
        display.result({"texts": rows, "watched": [latent.name for latent in session.watched], "replay": replay})
        return
    for name, texts in written.items():
        for number, text in enumerate(texts, 1):
            lines = value_lines(text)
            if lines:
                write("\n".join(["", f"{name} [{number}]" if len(texts) > 1 else name, *lines]))
    if not isinstance(display, QuietDisplay):
        display.say(f"  again:  {replay}")
