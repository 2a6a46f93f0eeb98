"""A store of activations for people: a few lines, and a table of its sites."""

from collections.abc import Mapping
from typing import Any

from monoseme.core.display import counted, size_text
from monoseme.reports.plain_tables import aligned_table, cell_text

_COLUMNS = {
    "site": "site",
    "width": "width",
    "mean norm": "mean_norm",
    "median": "median_norm",
    "1/rms norm": "unit_mean_square",
    "1/mean norm": "inverse_mean_norm",
    "sinks": "sinks",
    "sinks above": "sink_threshold",
    "not finite": "not_finite",
    "lost by storing (FVU)": "storage_fvu",
}


def store_text(record: Mapping[str, Any], *, where: str) -> str:
    """What `describe_store` or `describe_unfinished` found."""
    lines = _facts(record) if record["finished"] else _facts_so_far(record)
    width = max(map(len, lines))
    told = [where, *(f"  {name:<{width}}  {value}" for name, value in lines.items())]
    if record["finished"]:
        rows = [{title: site[key] for title, key in _COLUMNS.items()} for site in record["sites"]]
        told += ["", *(f"  {line}" for line in aligned_table(rows).splitlines())]
    else:
        told += [f"  {problem}" for problem in record["problems"]]
    return "\n".join(told)


def _facts(record: Mapping[str, Any]) -> dict[str, str]:
    split, seen = record["split"], record["tokens_to_train_on"]
    why = next((side["why_missing"] for side in split.values() if "why_missing" in side), None)
    return {
        "kind": f"activations{_made_in(record.get('environment', {}))}",
        **_made_from(record["config"]),
        "contexts": f"of {record['context_len']} tokens, {record['contexts_per_block']} in a block",
        **{name: _side(split[key]) for name, key in (("train", "train"), ("held out", "heldout"))},
        **({"not counted": why} if why else {}),
        "tokens": f"{record['tokens']:,}, of which {seen['masked']:,} for SAEs; {seen['sinks']:,} of these are attention sinks",
        "dtype": record["dtype"],
        "size": f"{_size(record)}, {counted(record['shards'], 'shards')}",
        "content": record["content_hash"],
    }


def _facts_so_far(record: Mapping[str, Any]) -> dict[str, str]:
    gaps = record["shards_missing_before_the_last"]
    missing = f"; missing before the last of them: {', '.join(map(str, gaps[:9]))}{' ...' if len(gaps) > 9 else ''}"
    told = {
        "kind": f"activations, NOT FINISHED: go on with  {record['go_on']}",
        **_made_from(record.get("config")),
        "finished": f"{counted(record['shards'], 'shards')}{missing if gaps else ''}",
        "contexts": f"{record['contexts']:,}",
        "tokens": f"{record['tokens']:,}",
        "size": _size(record),
    }
    return told


def _made_in(environment: Mapping[str, Any]) -> str:
    seconds = environment.get("seconds")
    return f", made in {seconds:,.0f} s" if isinstance(seconds, int | float) else ""


def _made_from(config: Any) -> dict[str, str]:
    """Model and text, as far as the config names them: what was imported may know of neither."""
    found = {"model": _named(config, "model", "model"), "text": _named(config, "corpus", "source")}
    return {name: value for name, value in found.items() if value}


def _named(config: Any, part: str, key: str) -> str:
    inner = config.get(part) if isinstance(config, Mapping) else None
    value = inner.get(key) if isinstance(inner, Mapping) else inner
    return "" if value is None else str(value)


def _side(side: Mapping[str, Any]) -> str:
    """What was counted of it."""
    return ", ".join(counted(side[unit], unit) for unit in ("tokens", "contexts", "documents") if side[unit] is not None)


def _size(record: Mapping[str, Any]) -> str:
    return f"{size_text(record['bytes'])}, {_count(record['bytes_per_token'])} bytes a token"


def _count(value: float | None) -> str:
    return cell_text(round(value) if isinstance(value, float) and value >= 100 else value)
