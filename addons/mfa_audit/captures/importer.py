"""From a capture to the database: judged call by call, and told in one summary a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from mfa_audit.captures.microsoft_lists import Adoption, PartnerRequest, Principal, Row
from mfa_audit.captures.recognition import Capture, Format
from mfa_audit.captures.remarks import Remarks
from mfa_audit.captures.sign_in_columns import SignIn
from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import GUID
from mfa_audit.judging.observations import Judge, Observation
from mfa_audit.judging.operations import operation
from mfa_audit.judging.people import NAMES, People
from mfa_audit.judging.tokens import NO_TOKEN, Form, User
from mfa_audit.judging.verdicts import AUDIENCES
from mfa_audit.store.imports import Added, Importer, SignInRow, day_number

# Forms of a token that could be read, or told at least to be one.
_TOKENS: Final = (Form.V1, Form.V2, Form.JWT, Form.ENCRYPTED, Form.OPAQUE, Form.POP)
_EACH: Final = 64


@dataclass(slots=True)
class Imported:
    """What one capture held; `name` may hold text of strangers. `valid_until` in seconds since 1970 (UTC).

    `calls` to Partner Center in it; of them `without_token`, and `not_filled_in` with a variable's name in its place;
    `valid` tokens that can still be used. `remedy` is set where no call has a token. `rows` and `new_rows` are those of
    Microsoft's lists and of sign-in logs; of these only those that concern Partner Center are `kept`, and `tenants` are
    those that they are of. `trouble`: the sentence for why reading stopped before the end. `usable`: not all was
    skipped.
    """

    name: str
    format: Format
    remarks: Remarks
    producer: str | None = None
    calls: int = 0
    without_token: int = 0
    not_filled_in: int = 0
    tokens: int = 0
    valid: int = 0
    valid_until: float | None = None
    added: Added = field(default_factory=Added)
    remedy: str | None = None
    rows: int = 0
    kept: int = 0
    new_rows: int = 0
    tenants: set[str] = field(default_factory=set)
    trouble: str | None = None
    usable: bool = True


def import_capture(
    capture: Capture,
    importer: Importer,
    people: People = NAMES,
    progress: Callable[[], None] = lambda: None,
) -> Imported:
    """Judge and store all of one open capture. `progress` is called now and then. Raises AuditError."""
    done = Imported(capture.name, capture.format, capture.remarks)
    if capture.format == Format.MICROSOFT:
        import_rows(capture.rows, importer, people, done, progress)
    elif capture.format == Format.SIGN_INS:
        import_sign_ins(capture.sign_ins, importer, people, done, progress)
    else:
        counting = _Counting(Judge(people), done, time.time(), progress)

        def finish() -> tuple[str, int]:
            return capture.sha256(), counting.sanitised()

        done.added = importer.add_calls(capture.name, counting.observe(capture), finish)
        done.tokens = len(counting.tokens)
        if counting.sanitised() == done.calls > 0:
            done.remedy = capture.remedy(marked=counting.marked > 0)
    done.producer = capture.producer
    done.usable = done.rows > 0 or capture.is_usable
    return done


class _Counting:
    """Makes the Observations of one capture, and counts what is told of it."""

    def __init__(self, judge: Judge, done: Imported, now: float, progress: Callable[[], None]) -> None:
        self.tokens: dict[str, float | None] = {}
        self._judge = judge
        self._done = done
        self._now = now
        self._progress = progress
        self.marked = 0
        self._readable = False

    def observe(self, capture: Capture) -> Iterator[Observation]:
        try:
            for exchange in capture.exchanges:
                if self._done.calls % _EACH == 0:
                    self._progress()
                self._done.calls += 1
                yield self._count(self._judge.observe(exchange))
        except AuditError as error:
            # A trap inside a capture: what came before it is kept.
            self._done.trouble = str(error)
        except ImportError:
            raise  # a package is missing: no file's fault
        except Exception as error:  # a reader's bug costs the rest of this file, and no other
            self._done.trouble = describe_failure(error)

    def sanitised(self) -> int:
        """How many calls had their token taken out: all that have none, where the capture has not one token."""
        return self.marked if self._readable else self._done.without_token

    def _count(self, seen: Observation) -> Observation:
        token = seen.token
        if token.form is Form.REDACTED:
            # A token that somebody blotted out is no token: the call counts as one without.
            self.marked += 1
            seen = seen._replace(token=NO_TOKEN)
            token = NO_TOKEN
        if token.form is Form.NONE:
            self._done.without_token += 1
            return seen
        if token.form is Form.NOT_FILLED_IN:
            self._done.not_filled_in += 1
            return seen
        self._readable = self._readable or token.form in _TOKENS
        if token.key not in self.tokens:
            self.tokens[token.key] = token.expires
            if token.expires is not None and token.expires > self._now:
                self._done.valid += 1
                self._done.valid_until = max(self._done.valid_until or 0.0, token.expires)
        return seen


def import_rows(
    rows: Iterable[Row],
    importer: Importer,
    people: People,
    done: Imported,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Store rows of Microsoft's lists, and count them in `done`. Raises AuditError where the database fails."""
    # Microsoft gives at most 10,000 rows of each list.
    requests: list[PartnerRequest] = []
    adoption: list[Adoption] = []
    principals: list[Principal] = []

    def store() -> None:
        done.new_rows += importer.add_requests(
            (
                row.at,
                _guid(row.request_id),
                _guid(row.correlation_id),
                _operation(row.operation),
                people.user(_user(row)),
                _guid(row.application_id),
                row.mfa_compliant,
            )
            for row in requests
        )
        done.new_rows += importer.add_adoption(
            (
                day_number(row.day) if row.day else None,
                row.application_id,
                row.application_name,
                row.mfa_requests,
                row.requests,
            )
            for row in adoption
        )
        done.new_rows += importer.add_principals(
            (row.at, user) for row in principals if (user := people.user(_user(row))) is not None
        )
        for stored in (requests, adoption, principals):
            stored.clear()

    try:
        for row in rows:
            _choose(row, requests, adoption, principals)
            done.rows += 1
            if done.rows % 1000 == 0:
                progress()
                store()
    except AuditError as error:
        done.trouble = str(error)
    except ImportError:
        raise
    except Exception as error:
        done.trouble = describe_failure(error)
    store()


def describe_failure(error: Exception) -> str:
    """A sentence for an error of ours in reading a file; its text is not shown, since it may hold a token."""
    return (
        f"mfa-audit failed while reading it ({type(error).__name__}). What came before is kept. Please report it with "
        "`mfa-audit --version`, without the file: it may hold tokens."
    )


def _choose(
    row: Row, requests: list[PartnerRequest], adoption: list[Adoption], principals: list[Principal]
) -> None:
    match row:
        case PartnerRequest():
            requests.append(row)
        case Adoption():
            adoption.append(row)
        case Principal():
            principals.append(row)


def _user(row: PartnerRequest | Principal) -> User | None:
    if not (row.object_id or row.upn):
        return None
    return User(row.tenant_id, row.object_id, row.upn)


def _guid(text: str | None) -> str | None:
    return text if text and GUID.fullmatch(text) else None


def _operation(text: str | None) -> str | None:
    """Microsoft's name of an operation, method and path, as our template without anybody's name in it."""
    if text is None:
        return None
    method, _, path = text.partition(" ") if " " in text else ("", "", text)
    return operation(method or "GET", path.strip())


def import_sign_ins(
    rows: Iterable[SignIn],
    importer: Importer,
    people: People,
    done: Imported,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Store the sign-ins that matter here, and count them in `done`. Raises AuditError where the database fails.

    What matters: those for Partner Center's API, and those of applications that were seen calling it. A tenant's log
    holds everybody's sign-ins to everything, of which nothing is kept.
    """
    known = importer.known_applications()

    def choose() -> Iterator[SignInRow]:
        for row in rows:
            done.rows += 1
            if done.rows % 1000 == 0:
                progress()
            if row.tenant_id is not None:
                done.tenants.add(row.tenant_id)
            if row.resource_id in AUDIENCES or row.app_id in known:
                done.kept += 1
                yield _sign_in(row, people)

    tenants = importer.known_tenants()
    try:
        done.new_rows += importer.add_sign_ins(choose())
    except AuditError as error:
        done.trouble = str(error)
    if tenants and done.tenants and not tenants & done.tenants:
        done.remarks.note("of another tenant than any call or list in this database")


def _sign_in(row: SignIn, people: People) -> SignInRow:
    named = User(row.tenant_id, row.object_id, row.upn) if row.object_id or row.upn else None
    return SignInRow(
        at=row.at,
        request_id=people.sign_in_id(row.request_id),
        unique_token_id=people.sign_in_id(row.unique_token_id),
        application_id=row.app_id,
        application=row.app_name,
        resource_id=row.resource_id,
        resource=row.resource_name,
        tenant=row.tenant_id,
        user=people.user(named),
        kind=row.kind,
        protocol=row.protocol,
        requirement=row.requirement,
        required_by=row.required_by,
        conditional_access=row.conditional_access,
        policies=row.policies,
        mfa=row.mfa,
        error=row.error,
        trusted_network=row.trusted_network,
    )
