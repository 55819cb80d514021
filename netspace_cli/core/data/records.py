"""Records of data in older files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def translated_record(record: Any) -> Any:
    """Rename the key `signal` of an older record to its present name, `io`.

    Args:
        record: of data, of a space, or settings of a run; what they hold under `data` is translated too. Anything but
            a mapping is returned as it is.
    """
    if not isinstance(record, Mapping):
        return record
    translated = {"io" if key == "signal" and "io" not in record else key: value for key, value in record.items()}
    if "data" in translated:
        translated["data"] = translated_record(translated["data"])
    return translated
