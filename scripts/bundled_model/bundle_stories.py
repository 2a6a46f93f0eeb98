"""Make the text that ships inside the package: a sample of the generated stories, as gzipped jsonl.

The last rows are the stories the bundled model never saw (texts.N_HELD_OUT_STORIES of them); the rest it was trained on.

    python scripts/bundled_model/bundle_stories.py --corpora CORPORA --out src/monoseme/bundled/stories.jsonl.gz
"""

import argparse
import gzip
import json
from pathlib import Path

import texts


def main() -> None:
    """Choose, write, say the size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n-trained", type=int, default=4000, help="stories that the model was trained on")
    args = parser.parse_args()

    stories = texts.read_generated_stories(args.corpora)
    step = len(stories.train) // args.n_trained
    chosen = stories.train[::step][: args.n_trained] + stories.held_out
    lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in chosen)
    # mtime=0 and no file name in the header: the same stories give the same bytes.
    args.out.write_bytes(gzip.compress(lines.encode("utf-8"), compresslevel=9, mtime=0))
    print(f"{len(chosen)} stories, {len(lines)} characters, {args.out.stat().st_size} bytes compressed")


if __name__ == "__main__":
    main()
