"""The one exception of this package, and the error code that belongs to each reason."""

from __future__ import annotations

CODES: dict[str, int | None] = {
    # section 2
    "short": None,  # it has no code
    "version": 4011,
    "type": 4010,
    "flags": 4010,
    "hops": 4010,
    "content-type": 4010,
    "receipt": 4010,
    "zero-id": 4010,
    "shape": 4010,
    "unprotected": 4002,
    "length": 4010,
    "too-large": 4003,
    # section 4, and the bodies of section 12
    "metadata-length": 4010,
    "metadata-form": 4010,
    "metadata-key": 4010,
    "metadata-value": 4010,
    "metadata-presence": 4010,
    "body": 4010,
    # section 5
    "key": 4002,
    "signature": 4002,
    "wrong-key": 4002,
    # section 6
    "unknown-prekey": 4013,
    "expired-prekey": 4013,
    "shared-secret": 4010,
    "seal": 4010,
    # section 8
    "error-body": 4010,
    # section 9
    "record-form": 4010,
    "record-value": 4010,
    "record-signature": 4002,
    "countersignature": 4002,
    "certificate": 4002,
    # named by this package only
    "id-text": 4010,
    "stale": 4005,
}


class Refused(Exception):
    """What was read is refused: `reason` is the page's short word, `code` its error code."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.code = CODES[reason]
        self.detail = detail
        super().__init__(f"{reason} ({self.code}) {detail}".rstrip())


def require(condition: bool, reason: str, detail: str = "") -> None:
    """Refuses with `reason` unless `condition` holds."""
    if not condition:
        raise Refused(reason, detail)
