"""Read the files of offline W&B runs, which are LevelDB logs of protocol buffers."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK, _HEADER = 32768, 7
_FULL, _FIRST, _LAST = 1, 2, 4


class WandbFiles:
    """The W&B files in the folder of a run, in the order of their start."""

    def __init__(self, root: Path) -> None:
        self.files = sorted(root.glob("wandb/offline-run-*/run-*.wandb"))
        self.records = [(file, record) for file in self.files for record in _records(file)]

    @property
    def ids(self) -> set[str]:
        return {record.run.run_id for _, record in self.records if record.HasField("run")}

    def history(self, file: Path) -> list[dict[str, Any]]:
        """Return the logged rows of a file."""
        return [_values(r.history.item) for of, r in self.records if of == file and r.HasField("history")]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for file in self.files for row in self.history(file)]

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = {}
        for _, record in self.records:
            config |= _values(record.run.config.update) | _values(record.config.update)
        return config

    @property
    def artifacts(self) -> list[Any]:
        return [record.artifact for _, record in self.records if record.HasField("artifact")]

    @property
    def saved(self) -> dict[str, Path]:
        """The files that W&B would upload, by name."""
        return {i.path: file.parent / "files" / i.path for file, record in self.records for i in record.files.files}

    def media(self, key: str) -> Path:
        """Return the file of the last picture or page under a key."""
        for file in reversed(self.files):
            for row in reversed(self.history(file)):
                for path in row.get(f"{key}/filenames", [row.get(f"{key}/path")]):
                    if path is not None:
                        return file.parent / "files" / path
        raise KeyError(key)

    def table(self, key: str) -> tuple[list[str], list[list[Any]]]:
        """Return columns and rows of the last table under a key; an image is the path of its file."""
        for artifact in reversed(self.artifacts):
            contents = {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
            if f"{key}.table.json" in contents:
                content = json.loads(contents[f"{key}.table.json"].read_text())
                rows = [[contents[c["path"]] if isinstance(c, dict) else c for c in row] for row in content["data"]]
                return content["columns"], rows
        raise KeyError(key)


def _values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def _records(path: Path) -> Iterator[Any]:
    from wandb.proto import wandb_internal_pb2

    content = path.read_bytes()
    assert content.startswith(b":W&B")
    place, parts = _HEADER, b""
    while place + _HEADER <= len(content):
        if (left := _BLOCK - place % _BLOCK) < _HEADER:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        data = content[place + _HEADER : place + _HEADER + length]
        place += _HEADER + length
        if len(data) < length:  # cut by a kill
            return
        parts = data if kind in (_FULL, _FIRST) else parts + data
        if kind in (_FULL, _LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            yield record
