"""What is written into a log, as bytes that have one form only, so that anybody computes the same hash.

JSON with sorted keys, no spaces, and ASCII alone; `format_version` says which fields there are.
"""

import json
from collections.abc import Mapping
from typing import Any

FORMAT_VERSION = 1


def canonical(fields: Mapping[str, Any]) -> str:
    """Returns fields in their one form.

    Args:
        fields: plain JSON values; numbers are integers, or floats that were rounded.
    """
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def leaf_text(fields: Mapping[str, Any]) -> str:
    """Returns the text of a leaf, with its version."""
    return canonical({**fields, "format_version": FORMAT_VERSION})
