"""Names, pseudonyms or numbers: what is left of people, and that verdicts do not change."""

from __future__ import annotations

import pytest

from mfa_audit.commands.demo.sample_tokens import TENANT, make_app_token, make_user_token
from mfa_audit.exchanges.exchange import Program, Secret
from mfa_audit.judging.claims import CLAIMS, Privacy
from mfa_audit.judging.people import NAMES, Mode, People
from mfa_audit.judging.tokens import User, read
from mfa_audit.judging.verdicts import Form, judge

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
DANA = read([Secret(make_user_token("mfa", uti="LRfqzUeb8kKM_XjQn").encode())])


@pytest.mark.parametrize("mode", [Mode.PSEUDONYM, Mode.NONE])
def test_nothing_identifying_is_left(mode: Mode) -> None:
    """No name, address, object id or token id survives in claims or user; the rest stays."""
    kept = People(mode, KEY).token(DANA)
    shown = repr(kept)
    for name, value in DANA.claims.items():
        assert (str(value) not in shown) or CLAIMS[name].privacy is Privacy.PLAIN
    assert DANA.claims["appid"] == kept.claims["appid"]
    assert DANA.fingerprint == kept.fingerprint
    assert kept.user is not None
    assert TENANT == kept.user.tenant


@pytest.mark.parametrize("mode", [Mode.PSEUDONYM, Mode.NONE])
def test_a_programs_account_may_be_a_persons(mode: Mode) -> None:
    """The account that a program runs under becomes a pseudonym, the same each time; its name and starter stay."""
    people = People(mode, KEY)
    seen = Program("sync.py", "CONTOSO\\dana", "cron")
    kept = people.program(seen)
    assert kept is not None
    assert ("sync.py", people.alias("CONTOSO\\dana"), "cron") == kept
    assert kept == people.program(kept)
    assert seen == NAMES.program(seen)
    assert [None, Program("x")] == [people.program(None), people.program(Program("x"))]


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    "token",
    [
        make_user_token("pwd"),
        make_user_token("mfa"),
        make_user_token(scp=None, roles=["x"]),
        make_user_token(scp=None, oid="1", sub="1", appidacr="1"),
        make_app_token(),
        make_app_token(idtyp=None, roles=None),
        make_app_token(idtyp=None, roles=None, upn="x@contoso.example"),
    ],
)
def test_verdicts_stay_the_same(mode: Mode, token: str) -> None:
    """Judging the kept claims anew gives the same verdict in each mode."""
    read_token = read([Secret(token.encode())])
    kept = People(mode, KEY).token(read_token)
    assert (read_token.verdict, read_token.reason) == (kept.verdict, kept.reason)
    assert (read_token.verdict, read_token.reason) == judge(Form(kept.form), kept.claims)


def test_pseudonyms_are_stable_and_keyed() -> None:
    """One person has one pseudonym per key, whatever the letters' case, and a pseudonym keeps itself."""
    people = People(Mode.PSEUDONYM, KEY)
    alias = people.alias("dana@contoso.example")
    assert alias == people.alias("Dana@Contoso.example ") == people.alias(alias)
    assert alias != people.alias("dan@contoso.example")
    assert alias != People(Mode.PSEUDONYM, OTHER_KEY).alias("dana@contoso.example")
    assert people.token(DANA) == people.token(people.token(DANA))


def test_users_stay_apart_without_names() -> None:
    """With none two users are two, one user is one, and no name is kept."""
    people = People(Mode.NONE, KEY)
    first, again, other = (
        people.user(User("t", own, name)) for own, name in (("1", "a"), ("1", "b"), ("2", "a"))
    )
    assert first == again
    assert first != other
    assert first is not None
    assert None is first.name


def test_labels_at_report_time() -> None:
    """Stored users are shown by name, pseudonym or number."""
    user = User("t", "1", "dana@contoso.example")
    hashed = People(Mode.PSEUDONYM, KEY)
    assert "dana@contoso.example" == NAMES.label(user, 3)
    assert hashed.alias("dana@contoso.example") == hashed.label(user, 3)
    assert "user 3" == People(Mode.NONE, KEY).label(user, 3)
    assert "1" == NAMES.label(User("t", "1", None), 3)
    assert "no user" == NAMES.label(None)
    stored = People(Mode.NONE, KEY).user(user)
    assert "dana" not in NAMES.label(stored, 3)


def test_a_key_is_needed() -> None:
    """Hashes without a secret key could be guessed."""
    with pytest.raises(ValueError, match="key"):
        People(Mode.PSEUDONYM, b"short")
    assert "kkkk" not in repr(People(Mode.NONE, KEY))
