"""A scan that was killed goes on to the same bits, wherever it was; two scans do not meet."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from atlas_fakes import SITE, FakeBlock, FakeContextSAE, FakeLayersSAE, FakeSAE, FakeSource, random_source
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monoseme.atlas import PassOptions, ScanConfig, StateConfig, Target, open_atlas, scan
from monoseme.atlas.scanning import feed, one_pass, scratch
from monoseme.atlas.scanning.grid_log import GridLog, read_grids
from monoseme.atlas.sentences import rank_sentences
from monoseme.atlas.text_store import TokenGrid
from monoseme.core.artifact import MANIFEST, open_artifact
from monoseme.core.errors import ArtifactDamagedError, ArtifactExistsError, Interrupted
from monoseme.models.site import Site

F, N_BLOCKS = 7, 11
OTHER = Site.parse("mlp_in.1")
CONFIG = ScanConfig(keep=StateConfig(n_top=3, n_sampled=5, n_background=13, left=3, right=2), n_kept_tokens=100, n_per_decile=1)


class KilledError(BaseException):
    """Stands for a process that ends here."""


@dataclass
class _Mortal(FakeSource):
    """Ends the pass where block `dies_at` should come."""

    dies_at: int | None = None

    def blocks(self, start: int = 0) -> Iterator[FakeBlock]:
        for i in range(start, len(self.given)):
            if i == self.dies_at:
                raise KilledError
            yield self.given[i]


def make_source(dies_at: int | None = None) -> FakeSource:
    blocks = random_source(n_blocks=N_BLOCKS, n_contexts=3, seq_len=13, n_latents=F, n_documents=17, seed=5).given
    both = [
        block._replace(activations={SITE: block.activations[SITE], OTHER: block.activations[SITE].roll(1, -1)})
        for block in blocks
    ]
    return _Mortal(both, (SITE, OTHER), dies_at=dies_at)


def make_targets() -> list[Target]:
    return [
        Target("a", FakeSAE(F), (SITE,)),
        Target("layers", FakeLayersSAE(F), (SITE, OTHER)),
        Target("contexts", FakeContextSAE(F), (OTHER,)),
    ]


def _scan(folder: Path, *, dies_at: int | None = None, resume: bool = True, seconds: float = 0.0) -> None:
    gatherers = (rank_sentences(),)
    options = PassOptions(gatherers, resume=resume, checkpoint_seconds=seconds)
    scan(make_source(dies_at), make_targets(), folder, config=CONFIG, options=options)


def _hashes(folder: Path) -> dict[str, str]:
    assert not list(folder.glob(".scan*"))
    manifests = sorted(folder.rglob(MANIFEST))
    return {str(path.parent.relative_to(folder)): open_artifact(path.parent).content_hash for path in manifests}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk is of some blocks of about 80 entries, of others for each SAE; a checkpoint comes after every block."""
    monkeypatch.setattr(feed, "_ENTRIES_PER_CHUNK", 150)
    monkeypatch.setattr(scratch, "_MOST_OF_THE_PASS", 1e9)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Content hashes of all that an unbroken scan writes."""
    folder = tmp_path_factory.mktemp("unbroken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed, "_ENTRIES_PER_CHUNK", 150)
        _scan(folder, resume=False, seconds=1e9)
    found = _hashes(folder)
    assert len(found) == 1 + 2 * 4
    return found


@given(st.lists(st.integers(1, N_BLOCKS - 1), min_size=1, max_size=3))
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_scan_killed_anywhere_goes_on_to_the_same_bits(
    unbroken: dict[str, str], tmp_path_factory: pytest.TempPathFactory, deaths: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("killed")
    for dies_at in sorted(deaths):  # one that is over before the last chunk of the one before cannot die again
        with contextlib.suppress(KilledError):
            _scan(folder, dies_at=dies_at)
        assert not (folder / "text").exists()
    _scan(folder)
    assert _hashes(folder) == unbroken


def test_what_was_put_down_is_not_passed_again(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        _scan(tmp_path, dies_at=N_BLOCKS - 1)
    seen: list[int] = []
    source = make_source()
    blocks = source.blocks

    def noted(start: int = 0) -> Iterator[FakeBlock]:
        seen.append(start)
        return blocks(start)

    source.blocks = noted  # type: ignore[method-assign]
    options = PassOptions((rank_sentences(),), resume=True, checkpoint_seconds=0)
    scan(source, make_targets(), tmp_path, config=CONFIG, options=options)
    assert seen[0] == 0  # a look at the first block, for the length of a context
    assert seen[1] >= N_BLOCKS - 4


def test_a_scan_killed_while_it_puts_down_goes_on_from_the_one_before(
    unbroken: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = iter(range(100))
    write = one_pass.write_checkpoint

    def dies(*args: object) -> None:
        if next(count) == 5:
            raise KilledError
        write(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(one_pass, "write_checkpoint", dies)
        _scan(tmp_path)
    _scan(tmp_path)
    assert _hashes(tmp_path) == unbroken


def test_a_scan_killed_while_it_writes_keeps_what_is_complete(
    unbroken: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(
            "monoseme.atlas.scanning.latent_gatherer.write_latents", lambda *_, **__: (_ for _ in ()).throw(KilledError)
        )
        _scan(tmp_path)
    before = (tmp_path / "text" / MANIFEST).stat().st_mtime_ns
    _scan(tmp_path, dies_at=1)  # nothing is passed again
    assert _hashes(tmp_path) == unbroken
    assert (tmp_path / "text" / MANIFEST).stat().st_mtime_ns == before


def test_a_stopped_scan_says_how_to_go_on_and_is_not_thrown_away(tmp_path: Path) -> None:
    def stopped(start: int = 0) -> Iterator[FakeBlock]:
        for i, block in enumerate(blocks(start), start):
            if i == 4:
                os.kill(os.getpid(), signal.SIGINT)
            yield block

    source = make_source()
    blocks, source.blocks = source.blocks, stopped  # type: ignore[method-assign]
    options = PassOptions(resume_command="monoseme scan here --resume")
    with pytest.raises(Interrupted, match="Go on with:  monoseme scan here --resume"):
        scan(source, make_targets(), tmp_path, config=CONFIG, options=options)
    with pytest.raises(ArtifactExistsError, match=r"stopped before its end\. Go on with:  monoseme scan here --resume"):
        scan(make_source(), make_targets(), tmp_path, config=CONFIG, options=options)
    scan(make_source(), make_targets(), tmp_path, config=CONFIG, options=options._replace(resume=True))
    assert open_atlas(tmp_path).saes() == ["a", "contexts", "layers@mlp_in.1", "layers@resid_post.1"]


def test_another_scan_does_not_meet_a_stopped_one(unbroken: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        _scan(tmp_path, dies_at=7)
    scan(make_source(), [Target("b", FakeSAE(F), (SITE,))], tmp_path, config=CONFIG, options=PassOptions(resume=True))
    assert open_atlas(tmp_path).saes() == ["b"]
    _scan(tmp_path)
    found = _hashes(tmp_path)
    assert {name: found[name] for name in unbroken} == unbroken


def test_a_finished_scan_is_not_passed_again(tmp_path: Path) -> None:
    _scan(tmp_path)
    before = _hashes(tmp_path)
    _scan(tmp_path, dies_at=0)  # a pass would die at its first block
    assert _hashes(tmp_path) == before


def test_a_log_gives_back_its_grids_in_order(tmp_path: Path) -> None:
    def grid(i: int, *, wide: bool = False) -> TokenGrid:
        tokens = torch.arange(6).reshape(2, 3).numpy() + i
        return TokenGrid(tokens, tokens > 2, tokens + (1 << 40 if wide else 0), tokens, tokens, None, None)

    files = [tmp_path / "0", tmp_path / "1"]
    for rank, path in enumerate(files):
        log = GridLog(path)
        for block in range(rank, 5, 2):
            log.append(grid(block, wide=block == 3))
        log.close()
    found = list(read_grids(files, 5))
    assert [int(one.tokens[0, 0]) for one in found] == [0, 1, 2, 3, 4]
    assert int(found[3].documents[0, 0]) == 3 + (1 << 40)
    assert all(one.roles is None and one.tokens.dtype == one.documents.dtype == "int64" for one in found)
    with pytest.raises(ArtifactDamagedError, match="cut short"):
        GridLog(files[0], length=10**6)


@pytest.mark.slow  # ten processes that import torch
def test_a_scan_killed_by_the_system_ten_times_goes_on_to_the_same_bits(unbroken: dict[str, str], tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; here = Path(sys.argv[1]); sys.path[:0] = [str(here), str(here.parent)]\n"
        "import test_resume as t\n"
        "t.feed._ENTRIES_PER_CHUNK = 150; t.scratch._MOST_OF_THE_PASS = 1e9; add = t.one_pass.OnePass._add\n"
        "def slow(self, *args, **given): time.sleep(0.05); add(self, *args, **given)\n"
        "t.one_pass.OnePass._add = slow; print('begins', flush=True); t._scan(Path(sys.argv[2]))"
    )
    folder, draw = tmp_path / "atlas", torch.Generator().manual_seed(3)
    for _ in range(10):
        process = subprocess.Popen([sys.executable, "-c", code, Path(__file__).parent, folder], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(float(torch.rand((), generator=draw)) * 0.4)
        process.kill()
        process.communicate()
    _scan(folder)
    assert _hashes(folder) == unbroken
