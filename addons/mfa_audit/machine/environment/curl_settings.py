"""What Windows's own curl needs beside a proxy: it refuses a certificate whose revocation it cannot look up.

That curl is built with Schannel, and the leaf that a proxy makes names no revocation list
(curl.se/docs/manpage.html#--ssl-revoke-best-effort, from 7.70 on; other builds take the option and ignore it). Untested
on Windows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

# Where curl looks for its settings, the first that is there (curl.se/docs/manpage.html#-K).
_FOLDERS: Final = ("CURL_HOME", "XDG_CONFIG_HOME", "HOME", "USERPROFILE", "APPDATA")
_NAMES: Final = (".curlrc", "_curlrc")
_SETTING: Final = b"\n# By mfa-audit, for its proxy:\nssl-revoke-best-effort\n"


def curl_settings(get: Callable[[str], str]) -> bytes:
    """The user's own settings of curl and the one that our proxy needs, as a `.curlrc`.

    `get` is asked for a variable's value, and gives an empty string where there is none.
    """
    places = (Path(get(folder), name) for folder in _FOLDERS if get(folder) for name in _NAMES)
    own = next((place for place in places if place.is_file()), None)
    try:
        return (b"" if own is None else own.read_bytes()) + _SETTING
    except OSError:
        return _SETTING
