"""`generate` and `chat`: what is written, what is told to programs, and that the printed command writes it again."""

import io
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from monoseme.cli._writing_flags import WritingFlags, read_flags, replay_words
from monoseme.cli._written_text import ColumnsPage, StreamPage, clean, page_for, value_lines
from monoseme.cli.main import main
from monoseme.core.errors import ConfigError
from monoseme.kernels import choose_kernels
from monoseme.models import Generation, TokenEvent
from monoseme.pipeline import Written
from monoseme.saes import save_sae
from monoseme.saes.topk import TopK
from monoseme.testing.subject import subject_of


@pytest.fixture(scope="module")
def sae(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An SAE outside of any run, for the tiny model."""
    path = tmp_path_factory.mktemp("saes") / "topk"
    made = subject_of(TopK, small=TopK.Config(d_in=20, n_latents=11, k=3)).build().export()
    save_sae(made, path, extra_config={"site": "resid_post.1"})
    return str(path)


def _json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def _flags(*words: str):
    return read_flags(WritingFlags, words, verb="generate", summary="")


def test_the_printed_command_writes_the_same_tokens_again(
    sae: str, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", "the cat's", "--sae", sae, "--model", str(model_folder), "--steer", "3=40raw,5=-9raw", "--compare"]
    told = _json(capsys, *words, "--watch", "3", "--max-tokens", "5", "--temperature", "1.2")
    (text,) = told["texts"]
    assert text["prompt"] == "the cat's"
    assert text["default"]["token_ids"] != text["steered"]["token_ids"]
    assert len(text["steered"]["values"]["topk:3"]) == text["steered"]["n_prompt_tokens"] + len(text["steered"]["token_ids"])
    command = shlex.split(told["replay"])
    assert command[0] == "monoseme"
    assert _json(capsys, *command[1:]) == told
    assert "--seed 0" in told["replay"]


def test_prompts_of_a_file_are_one_batch(model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("the cat\r\n\n a mat\u2028here\n", encoding="utf-8")
    told = _json(capsys, "generate", "one", "--file", str(file), "--model", str(model_folder), "--max-tokens", "2")
    assert [text["prompt"] for text in told["texts"]] == ["one", "the cat", " a mat\u2028here"]
    assert main(["generate", "one", "two", "--model", str(model_folder), "--max-tokens", "2"]) == 0
    out = capsys.readouterr().out
    assert "[1] one" in out
    assert "[2] two" in out
    file.write_bytes(b"\xff\xfe")
    assert main(["generate", "--file", str(file), "--model", str(model_folder)]) == 2
    assert "not UTF-8" in capsys.readouterr().err


def test_a_text_is_streamed_with_its_values_behind_it(sae: str, model_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "the cat", "--sae", sae, "--model", str(model_folder), "--watch", "3", "--max-tokens", "3"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("the cat") for line in lines)
    assert any(line.split() == ["token", "topk:3"] for line in lines)
    assert lines[-1].strip().startswith("again:  monoseme generate 'the cat'")


def test_a_conversation_is_repeated_by_the_printed_command(
    sae: str, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "chat.jinja"
    template.write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:")
    start = ["chat", "--model", str(model_folder), "--template", str(template), "--max-tokens", "4", "--temperature", "1"]
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\n/reset\n/what\n--dash\nthe sun\n"))
    assert main([*start, "--sae", sae, "--steer", "3=30raw", "--compare"]) == 0
    out = capsys.readouterr().out
    commands = [line.split("again:")[1] for line in out.splitlines() if "again:" in line]
    assert [command.count("--say=") for command in commands] == [1, 2]
    assert "/reset begins anew" in out
    told = _json(capsys, *shlex.split(commands[1])[1:])
    assert [turn["user"] for turn in told["turns"]] == ["--dash", "the sun"]
    assert main(shlex.split(commands[1])[1:]) == 0
    spoken = out.split("/quit ends\n")[1].split("  again:")[0]
    assert capsys.readouterr().out.replace("you: --dash\n", "").replace("you: the sun\n", "").split("\n", 1)[1].startswith(spoken)
    assert _json(capsys, *shlex.split(told["replay"])[1:]) == told


def test_a_model_without_a_template_is_told_of(model_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "--model", str(model_folder), "--say", "hello", "--max-tokens", "2"]) == 0
    assert "no chat template" in capsys.readouterr().err
    assert main(["chat", "--model", str(model_folder), "--json"]) == 2
    assert "--say" in capsys.readouterr().err


def test_the_method_and_its_settings_are_flags() -> None:
    _, steering = _flags("--method", "clamp", "--error-term", "off", "--only", "generated", "--while-fires", "3,4")
    assert (steering.method, steering.method_config, steering.only) == ("clamp", {"error_term": False}, "generated")
    assert steering.while_fires == ("3", "4")
    assert _flags("--method", "clamp", "--error-term=on")[1].method_config == {"error_term": True}
    assert _flags()[1].method == "additive"
    with pytest.raises(ConfigError, match="Allowed: on, off"):
        _flags("--error-term", "maybe")
    with pytest.raises(ConfigError, match="error_term"):
        _flags("--error-term", "off")  # addition knows no codes
    with pytest.raises(ConfigError, match="temperature"):
        _ = _flags("--temperature", "-1")[0].sampling


def test_the_replay_says_what_was_not_said() -> None:
    flags, _ = _flags("--seed=7", "--max-tokens", "9")
    with choose_kernels("reference"):
        words = replay_words(["--seed=7", "--max-tokens", "9"], flags)
    assert words == ["--seed=7", "--max-tokens", "9", "--temperature", "0.0", "--top_p", "1.0", "--kernel", "reference"]


def test_generated_text_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert clean("a\x1b[2J\u202eb\n\tc") == "a\\x1b[2J\\u202eb\n\tc"
    with StreamPage("\x1b", named=False).arm("default") as listener:
        assert listener.on_token is not None
        listener.on_token(TokenEvent(0, 0, 5, "x\x07y"))
    assert capsys.readouterr().out == "\\x1bx\\x07y\n"


def test_arms_stand_side_by_side_on_a_terminal() -> None:
    from rich.console import Console

    out = io.StringIO()
    page = ColumnsPage(["the cat"], ["default", "steered"], console=Console(file=out, width=80, force_terminal=True))
    for name, text in (("default", " sat"), ("steered", " [bold]ran\x1b")):
        with page.arm(name) as listener:
            assert listener.on_token is not None
            listener.on_token(TokenEvent(0, 0, 5, text))
    last = next(line for line in reversed(out.getvalue().splitlines()) if "the cat" in line)
    assert "the cat sat" in last
    assert "the cat [bold]ran\\x1b" in last
    assert isinstance(page_for(["the cat"], ["default", "steered"], most_tokens=3), StreamPage)  # no terminal here


def test_values_stand_beside_their_tokens() -> None:
    written = Written(Generation("", [7], [5, 6], False), ("<s>", "a\n", "b"), {"topk:3": (None, 0.0, 1.25)})
    assert [line.split() for line in value_lines(written)] == [["token", "topk:3"], ["<s>"], ["a\\n", "."], ["b", "1.25"]]
    assert value_lines(written._replace(values={})) == []
