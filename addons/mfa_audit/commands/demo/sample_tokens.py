"""Made-up access tokens for the demonstration and the tests: well-formed, of nobody, and good for nothing.

Their claims are those of the token that Microsoft publishes as Partner Center's sample (version 1.0), for the
tenant `contoso.example`. Header and signature have the shape and the length of real ones; the signature is a
hash of the payload and no key verifies it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any, Final

AUDIENCE: Final = "https://api.partnercenter.microsoft.com"
TENANT: Final = "7ca5f3de-0000-4000-8000-c0170500e001"
# The published lifetime of an access token is 60 to 90 minutes.
LIFETIME: Final = 3900

_HEADER: Final = {
    "typ": "JWT",
    "alg": "RS256",
    "x5t": "made-up-key-of-contoso",
    "kid": "made-up-key-of-contoso",
}


def make_user_token(*amr: str, **claims: Any) -> str:
    """A v1.0 token of an app acting for a user, who signed in by the methods `amr` (none given: no `amr`).

    Further claims are added or replaced; None takes one out. Times are seconds since 1970 (UTC).
    """
    return make_token(
        {
            "aud": AUDIENCE,
            "iss": f"https://sts.windows.net/{TENANT}/",
            **_times(),
            "acr": "1",
            "amr": list(amr) or None,
            "appid": "5d2b6f60-0000-4000-8000-0000000c1133",
            "appidacr": "0",
            "family_name": "Demo",
            "given_name": "Dana",
            "ipaddr": "192.0.2.10",
            "name": "Dana Demo",
            "oid": "a8c4f3a2-0000-4000-8000-0000000da0a1",
            "scp": "user_impersonation",
            "sub": "k1u0Qx-made-up-subject-of-dana",
            "tenant_region_scope": "EU",
            "tid": TENANT,
            "unique_name": "dana@contoso.example",
            "upn": "dana@contoso.example",
            "ver": "1.0",
            **claims,
        }
    )


def make_app_token(**claims: Any) -> str:
    """A v1.0 token of an app acting for itself, exempt from the rule; `claims` as for a user's."""
    principal = "b71e0c55-0000-4000-8000-00000000a991"
    return make_token(
        {
            "aud": AUDIENCE,
            "iss": f"https://sts.windows.net/{TENANT}/",
            **_times(),
            "appid": "c0ffee00-0000-4000-8000-0000000b111e",
            "appidacr": "1",
            "idp": f"https://sts.windows.net/{TENANT}/",
            "idtyp": "app",
            "oid": principal,
            "roles": ["Partner.Read.All"],
            "sub": principal,
            "tid": TENANT,
            "ver": "1.0",
            **claims,
        }
    )


def make_token(claims: Mapping[str, Any], header: Mapping[str, Any] = _HEADER) -> str:
    """A compact JWT of the claims that are not None, under `header`."""
    payload = _encode(
        json.dumps({name: value for name, value in claims.items() if value is not None}).encode()
    )
    head = _encode(json.dumps(dict(header)).encode())
    # An RS256 signature of a 2048-bit key has 256 bytes.
    signature = hashlib.shake_256(payload.encode()).digest(256)
    return f"{head}.{payload}.{_encode(signature)}"


def read_claims(token: str) -> dict[str, Any] | None:
    """The claims of a JWT, unverified; None where it is none. For the stand-in alone."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def _times() -> dict[str, int]:
    now = int(time.time())
    return {"iat": now, "nbf": now, "exp": now + LIFETIME}


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
