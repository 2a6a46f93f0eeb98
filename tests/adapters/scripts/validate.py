"""Result files of ours, validated by SAEBench's own pydantic classes: prints the kinds."""

import json
import sys
from pathlib import Path

from pydantic import TypeAdapter
from sae_bench.evals.core.eval_output import CoreEvalOutput

kinds = []
for path in sorted(Path(sys.argv[1]).glob("*.json")):
    kinds.append(TypeAdapter(CoreEvalOutput).validate_json(path.read_text()).eval_type_id)
sys.stdout.write(json.dumps(kinds))
