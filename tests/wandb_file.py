"""What an offline run of Weights & Biases holds, read from its own file."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def wandb_records(path: Path) -> Iterator[Any]:
    """Yield the records of a `.wandb` file: LevelDB's log format behind seven bytes of its own."""
    from wandb.proto import wandb_internal_pb2

    data, block, at, parts = path.read_bytes(), 32768, 7, b""
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if block - at % block < 7:  # too little is left for a header
            at += block - at % block
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in {1, 4}:  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def decoded(path: Path) -> dict[str, Any]:
    """Read what an offline run would send."""
    kept: dict[str, Any] = {
        "config": {},
        "history": set(),
        "summary": {},
        "files": set(),
        "environment": [],
        "raw": "",
    }
    for record in wandb_records(path):
        for item in [*record.run.config.update, *record.config.update]:
            kept["config"][item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        kept["history"] |= {item.key or "/".join(item.nested_key) for item in record.history.item}
        for item in record.summary.update:
            kept["summary"][item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        kept["files"] |= {item.path for item in record.files.files}
        if record.HasField("environment"):
            kept["environment"] += [str(value) for _, value in record.environment.ListFields()]
        kept["raw"] += str(record)
    kept["config"].pop("_wandb", None)
    return kept
