"""The command that writes again what the steer page has written."""

import shlex
from collections.abc import Iterator

from monoseme.web.run_files import RunFiles
from monoseme.web.steer._saes import name_of
from monoseme.web.steer.asked import LatentAsked, SteerAsked, StrengthAsked


def replay(files: RunFiles, asked: SteerAsked, *, seed: int) -> str:
    """A `monoseme generate` or `monoseme chat` as one types it in a shell. A chat is said from its beginning."""
    return shlex.join(_words(files, asked, seed))


def word(latent: LatentAsked) -> str:
    """`topk:17`, as commands name it."""
    return f"{latent.sae}:{latent.latent}"


def steer_word(latent: StrengthAsked) -> str:
    """`topk:17=2.0max`."""
    return f"{word(latent)}={latent.strength!r}{latent.unit}"


def keys_asked(asked: SteerAsked) -> list[str]:
    """Names of the SAEs that a request needs; those of steering only where it steers."""
    named: list[LatentAsked] = [*asked.watch]
    if "steered" in asked.arms:
        named += [*asked.latents, *([asked.conditions.while_fires] if asked.conditions.while_fires else [])]
    return [latent.sae for latent in named]


def _words(files: RunFiles, asked: SteerAsked, seed: int) -> Iterator[str]:
    """Each flag with its value in one word, so that no value is taken for a flag."""
    paths = files.sae_paths()
    names = dict.fromkeys(name_of(files, key) for key in keys_asked(asked)) or dict.fromkeys([next(iter(paths))])
    yield from ("monoseme", "generate" if asked.chat is None else "chat")
    yield from (f"--sae={paths[name]}" for name in names)
    if files.other_model is not None:
        yield f"--model={files.other_model}"
    if "steered" in asked.arms:
        yield from _steering(asked)
    if asked.watch:
        yield f"--watch={','.join(map(word, asked.watch))}"
    sampling = asked.sampling
    yield from (f"--max_tokens={sampling.max_new_tokens}", f"--temperature={sampling.temperature!r}")
    yield from (f"--top_p={sampling.top_p!r}", f"--seed={seed}")
    yield from _said(asked)


def _steering(asked: SteerAsked) -> Iterator[str]:
    if asked.latents:
        yield f"--steer={','.join(map(steer_word, asked.latents))}"
    yield f"--method={asked.method}"
    for name, value in asked.options.items():
        if isinstance(value, bool):
            yield f"--method.{name}" if value else f"--method.no_{name}"
        else:
            yield f"--method.{name}={value}"
    conditions = asked.conditions
    if conditions.only != "all":
        yield f"--only={conditions.only}"
    if conditions.from_position is not None:
        yield f"--from_position={conditions.from_position}"
    if conditions.while_fires is not None:
        yield f"--while_fires={word(conditions.while_fires)}"
    if "default" in asked.arms:
        yield "--compare"


def _said(asked: SteerAsked) -> Iterator[str]:
    if asked.chat is not None:
        if asked.chat.system:
            yield f"--system={asked.chat.system}"
        yield from (f"--say={turn.content}" for turn in asked.chat.turns if turn.role == "user")
        return
    yield "--"
    yield from asked.prompts
