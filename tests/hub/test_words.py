"""How repositories are named, and what of a machine is taken out of texts."""

from pathlib import Path

import pytest

from monoseme.core.elsewhere import last_part
from monoseme.core.errors import ConfigError
from monoseme.hub import parse_repo
from monoseme.hub._repos import check_revision, without_revision
from monoseme.hub._scrub import Scrubber, kept_environment


@pytest.mark.parametrize(
    ("word", "repo", "revision", "root"),
    [
        ("me/tiny", "me/tiny", None, None),
        ("hf://me/tiny@v1.0", "me/tiny", "v1.0", None),
        ("me/tiny@" + "a" * 40, "me/tiny", "a" * 40, None),
        ("./shared/me/tiny", "me/tiny", None, "shared"),
        ("/data/hub/me/tiny@main", "me/tiny", "main", "/data/hub"),
        ("/data/a@b/me/tiny", "me/tiny", None, "/data/a@b"),
        ("../me/tiny", "me/tiny", None, ".."),
    ],
)
def test_a_word_names_a_repository(word: str, repo: str, revision: str | None, root: str | None) -> None:
    found = parse_repo(word, environment={})
    assert (str(found.repo), found.revision, found.root) == (repo, revision, None if root is None else Path(root))


def test_a_folder_can_stand_in_for_the_hub() -> None:
    assert parse_repo("me/tiny", environment={"MONOSEME_HUB": "/data/hub"}).root == Path("/data/hub")
    assert str(parse_repo("me/tiny").repo.atlas) == "me/tiny-atlas"


@pytest.mark.parametrize(
    "word", ["tiny", "", "me/", "/tiny", "a/b/c", "me/ti ny", "me/..", "../..", "me/x@../y", "me/x@", "-a/b", "a/b.git", "a/b--c"]
)
def test_what_names_none_is_told(word: str) -> None:
    with pytest.raises(ConfigError, match="names no"):
        parse_repo(word, environment={})


@pytest.mark.parametrize(
    ("word", "flag", "meant"), [("a/b", None, None), ("a/b@v1", None, "v1"), ("a/b", "v1", "v1"), ("a/b@v1", "v1", "v1")]
)
def test_a_revision_is_named_once(word: str, flag: str | None, meant: str | None) -> None:
    assert parse_repo(word, environment={}).revision_or(flag) == meant


@pytest.mark.parametrize(("flag", "told"), [("v2", "two revisions are named, @v1 and --revision v2"), ("../x", "two revisions")])
def test_two_revisions_are_refused(flag: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_repo("a/b@v1", environment={}).revision_or(flag)


@pytest.mark.parametrize("flag", ["../../x", "/etc/hostname", "a" * 300, "a\nb", ""])
def test_a_flag_that_names_no_revision_is_refused(flag: str) -> None:
    with pytest.raises(ConfigError, match="neither a branch, a tag nor the id"):
        parse_repo("a/b", environment={}).revision_or(flag)


def test_a_branch_is_not_called_like_a_revision() -> None:
    assert check_revision("ab" * 19) == "ab" * 19
    with pytest.raises(ConfigError, match="cannot name a revision"):
        check_revision("a..b")
    with pytest.raises(ConfigError, match="Name a branch that moves"):
        check_revision("ab" * 20)


def test_a_home_of_nobody_is_a_folder_like_others() -> None:
    assert parse_repo("~no-such-user/me/tiny", environment={}).root == Path("~no-such-user")
    assert parse_repo("~/me/tiny", environment={}).root == Path.home()


@pytest.mark.parametrize(
    ("word", "plain"), [("me/tiny@v1", "me/tiny"), ("./a@b/me/tiny@v1", "./a@b/me/tiny"), ("/a@b/me/tiny", "/a@b/me/tiny")]
)
def test_a_word_without_its_revision(word: str, plain: str) -> None:
    assert without_revision(word) == plain


SCRUBBER = Scrubber(("/home/ada/work", "/home/ada"), "labmachine7", "ada-l", (("/models/pythia", "EleutherAI/pythia-70m"),))


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("/models/pythia", "pythia"),
        ("/data/models/gpt", "gpt"),
        ("~/texts.jsonl", "texts.jsonl"),
        ("../shared/m", "m"),
        (r"C:\Users\ada\m", "m"),
        (r"\\server\share\m", "m"),
        ("file:///data/x.jsonl", "x.jsonl"),
        ("read from /home/ada/work/a.txt today", "read from a.txt today"),
        ("ada-l@labmachine7 said", "user@host said"),
        ("on labmachine7.", "on host."),
        ("EleutherAI/pythia-70m", "EleutherAI/pythia-70m"),
        ("https://example.org/home/x", "https://example.org/home/x"),
        ("s3://bucket/a", "s3://bucket/a"),
        ("a/b and c/d", "a/b and c/d"),
        ("/", "/"),
        ("labmachine77", "labmachine77"),
    ],
)
def test_paths_and_names_of_a_machine_go(text: str, cleaned: str) -> None:
    assert SCRUBBER.text(text) == cleaned
    assert SCRUBBER.clean({"a": [text, {"b": (text, 3, None)}]}) == {"a": [cleaned, {"b": [cleaned, 3, None]}]}


@pytest.mark.parametrize(
    ("model", "cleaned"),
    [("/models/pythia", "EleutherAI/pythia-70m"), ("/data/gpt2", "./gpt2"), ("./gpt2", "./gpt2"), ("gpt2", "gpt2")],
)
def test_a_model_is_named_as_such_and_nothing_else_is(model: str, cleaned: str) -> None:
    assert SCRUBBER.clean({"model": {"model": model}, "saes": [{"model": model}]}) == {
        "model": {"model": cleaned},
        "saes": [{"model": cleaned}],
    }


@pytest.mark.parametrize("folder", ["model", "topk"])
def test_a_model_called_like_a_setting_leaves_the_setting(folder: str) -> None:
    said = {"model": {"model": folder}, "architecture": "topk", "topk": 3}
    assert Scrubber((), None, None).clean(said) == said
    named = Scrubber((), None, None, ((folder, "me/tiny"),)).clean(said)
    assert named == {"model": {"model": "me/tiny"}, "architecture": "topk", "topk": 3}


def test_of_an_environment_only_what_tells_no_machine_stays() -> None:
    said = {
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": 1.5,
        "python": "3.11.7",
        "host": "x",
        "platform": "Linux",
        "gpu": "H100",
    }
    assert kept_environment(said) == {"started": "2026-01-02T03:04:05+00:00", "seconds": 1.5, "python": "3.11.7"}
    assert kept_environment({"started": "on host /home/ada"}) == {}
    assert last_part("/") == "/"


def _machine(monkeypatch: pytest.MonkeyPatch, *, host: str, user: str, cwd: str) -> Scrubber:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    monkeypatch.setattr("getpass.getuser", lambda: user)
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/scratch/of-ada")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada-l"))
    monkeypatch.setattr(Path, "cwd", lambda: Path(cwd))
    return Scrubber.of_this_machine({"/models/pythia": "EleutherAI/pythia-70m"})


def test_what_is_looked_for_is_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _machine(monkeypatch, host="lab7", user="ada-l", cwd="/home/ada-l/work")
    assert found == Scrubber(
        ("/home/ada-l/work", "/scratch/of-ada", "/home/ada-l"),
        "lab7",
        "ada-l",
        (("/models/pythia", "EleutherAI/pythia-70m"),),
    )
    assert found.text("kept in /scratch/of-ada/x/y.bin, on lab7") == "kept in y.bin, on host"


@pytest.mark.parametrize("name", ["ada", "root", "user", "localhost"])
def test_names_that_are_also_words_stay(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found = _machine(monkeypatch, host=name, user=name, cwd="/")
    assert (found.folders, found.host, found.user) == (("/scratch/of-ada", "/home/ada-l"), None, None)


def test_keys_of_tables_are_cleaned_too() -> None:
    assert SCRUBBER.clean({"/home/ada/work/a.txt": {"on labmachine7": 1}}) == {"a.txt": {"on host": 1}}


def test_an_environment_keeps_numbers_and_words_of_versions_alone() -> None:
    assert kept_environment({"seconds": 2, "python": "3.11.7 of ada", "n_tokens": 5, "started": ["/home/ada"]}) == {
        "seconds": 2,
        "n_tokens": 5,
    }
