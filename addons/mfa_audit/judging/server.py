"""The server's own word on a call: whether it took the token, judged it, or refused it for want of MFA.

Three forms of that refusal are known, all with status 401:
- 2019 (Microsoft's documentation): the reason phrase `Unauthorized - MFA required`, unknown to HTTP/2;
- 2020 (Microsoft's SDK): a body that says `MFA required. (10001)`;
- 2026 (Microsoft's documentation; the exact body was never published): error code 900421.
Close to it but something else: 900420 (wrong audience), 900308 (rights), 900309 (conditional access), 900329
(app-only refused), and `error="insufficient_claims"`, a continuous-access challenge.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

MFA_CODE: Final = 900421
_CODE_NAMES: Final = frozenset({"code", "errorcode", "error_code", "statuscode", "errorid"})
_SAYS_MFA: Final = re.compile(r"\bmfa\s+(?:is\s+)?required\b", re.IGNORECASE)
_CODE_IN_TEXT: Final = re.compile(r"\bcode\b[\"'>\s:=]{1,8}900421\b", re.IGNORECASE)
# A real error body is a few hundred bytes.
_LONGEST_BODY: Final = 64 * 1024
_MOST_VALUES: Final = 2_000


def accepted(status: int | None) -> bool:
    """Whether the answer shows that the server took the token.

    401 and 407 refuse it, 429 may come before it is looked at, 5xx and no answer say nothing of it; a 403
    or 404 comes after it was taken.
    """
    return status is not None and 200 <= status < 500 and status not in (401, 407, 429)


def word(mfa_compliant: str | None) -> bool | None:
    """What an `isMfaCompliant` header says; None where there is none or it says neither true nor false.

    Of several values, joined by commas, one "false" decides.
    """
    if mfa_compliant is None:
        return None
    said = {value.strip().strip("\"'").lower() for value in mfa_compliant.split(",")}
    if "false" in said:
        return False
    return True if said == {"true"} else None


def refused_for_mfa(
    status: int | None,
    reason_phrase: str = "",
    body: bytes | None = None,
    www_authenticate: str | None = None,
) -> bool:
    """Whether the server refused the call for want of MFA, in any of the three forms."""
    if status != 401:
        return False
    if _SAYS_MFA.search(reason_phrase[:1000]) or _SAYS_MFA.search((www_authenticate or "")[:4000]):
        return True
    return body is not None and _body_says_mfa(body[:_LONGEST_BODY])


def _body_says_mfa(body: bytes) -> bool:
    encoding = "utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    content = body.decode(encoding, "replace")
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        # XML, HTML, or JSON cut short.
        return bool(_SAYS_MFA.search(content) or _CODE_IN_TEXT.search(content))
    return _says_mfa(parsed)


def _says_mfa(parsed: Any) -> bool:
    """Looks through the values of a parsed body, wherever the error stands in it, without recursion."""
    waiting: list[Any] = [parsed]
    seen = 0
    while waiting and seen < _MOST_VALUES:
        value = waiting.pop()
        seen += 1
        if isinstance(value, str):
            if _SAYS_MFA.search(value):
                return True
            if value.lstrip()[:1] == "{" and _CODE_IN_TEXT.search(value):
                return True  # an error body inside a string of another
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            for name, item in value.items():
                if name.lower() in _CODE_NAMES and _is_code(item):
                    return True
                waiting.append(item)
    return False


def _is_code(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return value == MFA_CODE
    return isinstance(value, str) and value.strip() == str(MFA_CODE)
