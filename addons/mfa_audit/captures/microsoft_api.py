"""Microsoft's two APIs as `mfa-audit fetch` asks them: fixed origins, verified TLS, no redirects, bounded answers.

A token is sent only to the service that its `aud` names, over TLS that is checked, and never through a proxy of ours.
What Microsoft answers is data: the readers of files read it, and next links are followed on the same origin only.
"""

from __future__ import annotations

import email.utils
import json
import random
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import Any, Final, NamedTuple, NoReturn
from urllib.parse import quote, urlsplit

from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import API_HOSTS, Secret
from mfa_audit.judging.server import Cause, refusal
from mfa_audit.judging.verdicts import AUDIENCES, PARTNER_CENTER_ID, words
from mfa_audit.printable import line


class Service(NamedTuple):
    """One of the two: its name for people, its origin, what `aud` names it, and the rights that asking takes."""

    name: str
    origin: str
    audiences: frozenset[str]
    rights: str


PARTNER_CENTER: Final = Service(
    "Partner Center",
    f"https://{API_HOSTS[0]}",
    AUDIENCES,
    "an app+user token that was obtained with MFA",
)
# The two names of Microsoft Graph: its URL and its application id.
GRAPH: Final = Service(
    "Microsoft Graph",
    "https://graph.microsoft.com",
    frozenset({"https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"}),
    "AuditLog.Read.All, for a user with a role such as Reports Reader; the tenant needs Entra ID P1 or P2",
)
SERVICES: Final = (PARTNER_CENTER, GRAPH)

# Microsoft's limits (https://learn.microsoft.com/rest/api/partner-center/security): rows of a list, and days back.
LIST_ROWS: Final = 10_000
LIST_DAYS: Final = 7
LISTS: Final = ("partnerRequests", "applicationmfaadoptionstatus", "nonMfaCompliantPartnerPrincipals")
# Entra keeps sign-ins for 30 days with P1 or P2.
SIGN_IN_DAYS: Final = 30
# v1.0 has interactive sign-ins only; the other kinds come from beta, and only when they are asked for by name.
_KINDS: Final = {"interactive": ("v1.0", ""), "non-interactive": ("beta", "nonInteractiveUser")}
SIGN_IN_KINDS: Final = tuple(_KINDS)

_PAGE_BYTES: Final = 64 * 1024 * 1024
_MOST_PAGES: Final = 2_000
_SECONDS: Final = 60.0
_TRIES: Final = 6
_LONGEST_WAIT: Final = 300.0


def service_of(claims: dict[str, Any]) -> Service | None:
    """The service that a token is for, by its `aud`; None for any other."""
    named = {word.rstrip("/") for word in words(claims.get("aud"))}
    return next((service for service in SERVICES if named & service.audiences), None)


def list_path(name: str) -> str:
    """The path of one of Partner Center's lists."""
    return f"/v1/{name}"


def sign_ins_path(kind: str, since: float) -> str:
    """The path of Graph's sign-ins to Partner Center from `since` (seconds since 1970), oldest first."""
    version, event = _KINDS[kind]
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since))
    wanted = f"createdDateTime ge {start} and resourceId eq '{PARTNER_CENTER_ID}'"
    if event:
        wanted += f" and signInEventTypes/any(t: t eq '{event}')"
    return f"/{version}/auditLogs/signIns?$filter={quote(wanted)}&$orderby=createdDateTime&$top=500"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to wherever it points."""

    def redirect_request(self, *_: object) -> None:
        return None


class Api:
    """One service with the token for it. `proxy` is the user's own (`http://HOST:PORT`), never ours; None: direct.

    `wait` is called with the seconds to wait before asking again.
    """

    def __init__(
        self,
        service: Service,
        token: Secret,
        *,
        context: ssl.SSLContext,
        proxy: str | None = None,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self.service = service
        self._token = token
        self._wait = wait
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({} if proxy is None else {"https": proxy}),
            urllib.request.HTTPSHandler(context=context),
            _NoRedirects(),
        )

    def pages(self, path: str) -> Iterator[bytes]:
        """The answer, page by page. Raises AuditError, also in between."""
        url: str | None = self.service.origin + path
        for _ in range(_MOST_PAGES):
            if url is None:
                return
            content = self._get(url)
            yield content
            url = self._next(content)
        raise AuditError(
            f"{self.service.name} gave more than {_MOST_PAGES:,} pages; what came before is stored."
        )

    def _next(self, content: bytes) -> str | None:
        link = _next_link(content)
        if link is None:
            return None
        if link.startswith("/"):
            return self.service.origin + link
        parts = urlsplit(link)
        if f"{parts.scheme}://{parts.netloc}".lower() != self.service.origin:
            raise AuditError(
                f"{self.service.name} names its next page on another host ({line(parts.netloc, 80)}): not followed, "
                "since the token would go there."
            )
        return link

    def _get(self, url: str) -> bytes:
        for attempt in range(1, _TRIES + 1):
            try:
                request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - https only
                # Unredirected: urllib would send other headers along to a proxy's CONNECT.
                request.add_unredirected_header(
                    "Authorization", f"Bearer {self._token.reveal().decode('ascii')}"
                )
                with self._opener.open(request, timeout=_SECONDS) as answer:
                    content: bytes = answer.read(_PAGE_BYTES + 1)
                    if len(content) > _PAGE_BYTES:
                        raise AuditError(
                            f"{self.service.name} answered with more than {_PAGE_BYTES >> 20} MiB at once."
                        )
                    return content
            except urllib.error.HTTPError as error:
                if error.code not in (429, 500, 502, 503, 504) or attempt == _TRIES:
                    self._refused(error)
                self._wait(_delay(error.headers.get("Retry-After"), attempt))
            except (OSError, HTTPException) as error:
                if isinstance(_cause(error), ssl.SSLCertVerificationError):
                    raise AuditError(
                        f"The certificate that answered for {urlsplit(url).hostname} is not trusted; nothing was sent. "
                        "Behind a company's inspecting proxy, name its root in SSL_CERT_FILE."
                    ) from None
                if attempt == _TRIES:
                    raise AuditError(
                        f"{self.service.name} could not be reached ({type(_cause(error)).__name__}). Check the "
                        "network, and `mfa-audit doctor`."
                    ) from None
                self._wait(_delay(None, attempt))
        raise AssertionError("unreachable")

    def _refused(self, error: urllib.error.HTTPError) -> NoReturn:
        body = error.read(64 * 1024)
        code = _error_code(body)
        told = f" ({line(code, 80)})" if code else ""
        if refusal(error.code, str(error.reason), body, error.headers.get("WWW-Authenticate")) is Cause.MFA:
            raise AuditError(
                "Partner Center refused this token because MFA was missing: sign in with MFA and try again."
            )
        if error.code == 401:
            raise AuditError(
                f"{self.service.name} did not accept the token{told}: it may have expired. Get a new one and try again."
            )
        if error.code == 403:
            raise AuditError(
                f"{self.service.name} says that the token lacks a right{told}. It takes {self.service.rights}; a "
                "global administrator can grant it."
            )
        if 300 <= error.code < 400:
            raise AuditError(
                f"{self.service.name} answered with a redirect ({error.code}), which is not followed: the token would "
                "go along. Something between here and Microsoft may have answered."
            )
        raise AuditError(
            f"{self.service.name} answered {error.code}{told}; what came before is stored. Try again later."
        )


def _cause(error: BaseException) -> BaseException:
    reason = getattr(error, "reason", None)
    return reason if isinstance(reason, BaseException) else error


def _delay(retry_after: str | None, attempt: int) -> float:
    """Seconds to wait: what the server asks for (RFC 9110, 10.2.3), else 1, 2, 4 … with up to a quarter of jitter."""
    if retry_after is not None:
        text = retry_after.strip()
        if text.isdigit():
            return min(float(text[:6]), _LONGEST_WAIT)
        try:
            until = email.utils.parsedate_to_datetime(text).timestamp()
        except (TypeError, ValueError, OverflowError):
            until = 0.0
        if until:
            return min(max(until - time.time(), 1.0), _LONGEST_WAIT)
    return float(2 ** (attempt - 1)) * (1 + random.random() / 4)  # noqa: S311 - no secret hangs on it


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def _next_link(content: bytes) -> str | None:
    """Graph's `@odata.nextLink`, or the `links.next.uri` of Partner Center's collections."""
    page = _parse(content)
    if not isinstance(page, dict):
        return None
    link = page.get("@odata.nextLink")
    if link is None and isinstance(page.get("links"), dict) and isinstance(page["links"].get("next"), dict):
        link = page["links"]["next"].get("uri")
    return link if isinstance(link, str) and link else None


def _error_code(body: bytes) -> str | None:
    """The code of an error as Graph (`error.code`) or Partner Center (`code`) writes it."""
    found = _parse(body)
    if isinstance(found, dict):
        inner = found["error"] if isinstance(found.get("error"), dict) else found
        if isinstance(inner.get("code"), str | int):
            return str(inner["code"])
    return None
