"""What shells complete: commands, flags, names of plug-ins, paths."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from monoseme.cli._verbs import names
from monoseme.cli.completion import SCRIPTS, script
from monoseme.cli.ls import KINDS
from monoseme.cli.main import main
from monoseme.core.errors import ConfigError

_TRIES = {
    "tr": ["train"],
    "train --train.l": ["--train.latent_shards", "--train.log_every", "--train.lr"],
    "train --sae top": ["topk"],
    "train --sae topk,matr": ["topk,matryoshka"],
    "train --sae.auxk_o": ["--sae.auxk_one_in"],
    "run --preset gemma": ["gemma_2_2b"],
    "train --model.dtype bf": ["bfloat16"],
    "plan train --plan.no": ["--plan.no_probe"],
    "plan capture --storage.d": ["--storage.dtype"],
    "study temp": ["temporal"],
    "study temporal --corpus.so": ["--corpus.source"],
    "explain runs/a --explainer off": ["offline"],
    "import x --format llama3_sae_s": ["llama3_sae_sentences"],
    "eval runs/a --over": ["--overwrite"],
    "ls stu": ["studies"],
    "completion fi": ["fish"],
    "eval runs/a --kernel num": ["numba"],
    "eval runs": [],
}
_SHELL_LINES = """
source "$1"
shift
for words in "$@"; do
  COMP_WORDS=(monoseme $words); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
  _monoseme
  echo "${COMPREPLY[*]}"
done
"""


def _run(shell: str, *words: str) -> str:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    return subprocess.run([program, *words], capture_output=True, text=True, check=True, timeout=60).stdout


def _script(shell: str, folder: Path) -> str:
    path = folder / f"monoseme.{shell}"
    path.write_text(script(shell))
    return str(path)


def test_bash_completes_what_was_begun(tmp_path: Path) -> None:
    told = _run("bash", "--norc", "-c", _SHELL_LINES, "bash", _script("bash", tmp_path), *_TRIES).split("\n")
    assert dict(zip(_TRIES, (line.split() for line in told), strict=False)) == _TRIES


def test_bash_completes_behind_an_equals_sign_as_it_splits_words(tmp_path: Path) -> None:
    told = _run(
        "bash", "--norc", "-c", _SHELL_LINES, "bash", _script("bash", tmp_path), "train --model.dtype = bf", "train --sae ="
    )
    assert told.splitlines()[0] == "bfloat16"
    assert set(told.splitlines()[1].split()) == set(KINDS["saes"].names())


def test_fish_completes_what_was_begun(tmp_path: Path) -> None:
    tries = {words: found for words, found in _TRIES.items() if found}
    lines = [f"source {_script('fish', tmp_path)}", *(f"complete -C 'monoseme {words}'; echo .." for words in tries)]
    told = _run("fish", "--no-config", "-c", "\n".join(lines)).split("..\n")
    assert {words: set(tries[words]) <= set(text.split()) for words, text in zip(tries, told, strict=False)} == dict.fromkeys(
        tries, True
    )


def test_zsh_reads_its_script_and_knows_the_words(tmp_path: Path) -> None:
    lines = (
        f"compdef() {{ :; }}; source {_script('zsh', tmp_path)}; _monoseme_values 'train --sae'; _monoseme_flags 'study temporal'"
    )
    told = _run("zsh", "-f", "-c", lines).split()
    assert set(KINDS["saes"].names()) <= set(told)
    assert "--corpus.source" in told


@pytest.mark.parametrize("shell", SCRIPTS)
def test_every_command_is_in_every_script(shell: str) -> None:
    text = script(shell)
    assert [verb for verb in names() if verb not in text] == []
    assert [gap for gap in ("@FLAGS@", "@FIRST@", "@VALUES@") if gap in text] == []


def test_printing_it_imports_nothing_heavy_and_a_key_costs_little(tmp_path: Path) -> None:
    code = (
        "import sys; from monoseme.cli.main import main; main(['completion', 'bash']);"
        "sys.stderr.write(' '.join(m for m in ('torch', 'transformers', 'tyro', 'pyarrow', 'numpy') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    start = os.times()
    _run("bash", "--norc", "-c", _SHELL_LINES, "bash", _script("bash", tmp_path), *["train --train.l"] * 20)
    end = os.times()
    spent = end.children_user + end.children_system - start.children_user - start.children_system
    assert spent / 20 < 0.15  # seconds of the processor, whoever else uses the machine; it takes about 0.005


def test_another_shell_is_refused_with_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bsh"]) == ConfigError.exit_code
    assert 'Did you mean "bash"' in capsys.readouterr().err
    assert main(["completion"]) == 0
    assert "zsh" in capsys.readouterr().out
