"""A command that asks, to be killed: `python asking.py '{"judge": ..., "config": ..., "desk": ..., "folder": ..., "n": ...}'`."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.judges.judge_fakes import FolderBatchJudge, FolderJudge, ask

from monoseme.core.config import from_dict
from monoseme.judges import JUDGES, JudgeSettings, desk_of


def main() -> None:
    """Asks n questions by the settings given, and writes the answers when all are there."""
    told = json.loads(sys.argv[1])
    JUDGES.add("folder", FolderJudge)
    JUDGES.add("folder_batch", FolderBatchJudge)
    folder, n = Path(told.pop("folder")), told.pop("n")
    desk = desk_of(from_dict(JudgeSettings, told), folder)
    texts = [str(answer.text) for answer in desk.answers(ask(i) for i in range(n))]
    folder.with_name("answers").write_text("\n".join(texts))


main()
