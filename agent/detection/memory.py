"""What was found in the texts seen last, so that a history and a prompt that comes again pay once."""

import hashlib
import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable

from contract.classification import Finding

REMEMBERED_TEXTS = 4096


class Memory:
    """Remembers by a keyed digest: no text is kept.

    Args:
        key: of HMAC-SHA-256; secret, so that a digest tells nobody whether a text was seen.
        most_texts: that are remembered.
    """

    def __init__(self, key: bytes, most_texts: int = REMEMBERED_TEXTS) -> None:
        self._key = key
        self._most_texts = most_texts
        self._found: OrderedDict[bytes, tuple[Finding, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def recall(self, text: str, find: Callable[[str], tuple[Finding, ...]], purpose: bytes = b"") -> tuple[Finding, ...]:
        """Returns what was found in a text, or what `find` finds now. What fails is not remembered.

        Args:
            text: any.
            find: looks at it.
            purpose: tells finders apart that look at the same text for different things.
        """
        digest = hmac.digest(self._key, purpose + b"\0" + text.encode("utf-8", "surrogatepass"), hashlib.sha256)
        with self._lock:
            if digest in self._found:
                self._found.move_to_end(digest)
                return self._found[digest]
        found = find(text)
        with self._lock:
            self._found[digest] = found
            while len(self._found) > self._most_texts:
                self._found.popitem(last=False)
        return found


def memory_key(data_key: bytes) -> bytes:
    """Returns the memory's own key, from the device's data key."""
    return hmac.digest(data_key, b"seawall detector memory", hashlib.sha256)
