"""What each of two processes does that share a scan: `python _two_scans.py RANK MEETING FOLDER` (gloo)."""

import sys
from datetime import timedelta
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from test_resume import CONFIG, make_source, make_targets

from monoseme.atlas import PassOptions, scan
from monoseme.atlas.scanning import feed
from monoseme.atlas.sentences import rank_sentences
from monoseme.tensors.processes import Group, everyone


def scan_together(folder: Path, processes: Group, *, dies_at: int | None = None) -> None:
    """One process's share."""
    options = PassOptions((rank_sentences(),), processes=processes, resume=True, checkpoint_seconds=0)
    scan(make_source(dies_at), make_targets(), folder, config=CONFIG, options=options)


if __name__ == "__main__":
    rank, meeting, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(1)
    feed._ENTRIES_PER_CHUNK = 150
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    try:
        scan_together(folder, everyone())
    finally:
        torch.distributed.destroy_process_group()
