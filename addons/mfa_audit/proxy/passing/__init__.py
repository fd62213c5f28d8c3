"""What works directly works through us: mitmproxy's handling of calls, changed where that is not so.

Each module says of what it replaces what happens without it; `docs/passive.md` has the table of situations.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mfa_audit.proxy.passing import connecting, http1_sides, http2_sides, request_streams, tls_sides
from mfa_audit.proxy.passing.replacing import installed

_REPLACING = (connecting, http1_sides, http2_sides, request_streams, tls_sides)


@contextlib.contextmanager
def passing() -> Iterator[None]:
    """Replace what mitmproxy does wrong, for as long as a proxy of ours runs in this process."""
    with installed(), connecting.racing():
        yield
