"""Who calls: from what a caller says of itself to the tool that a partner would name.

What is stored is the Client, as it came but with e-mail addresses masked; the Tool is derived from it each
time, so that better rules reach old rows too. What varies between runs of one tool is not part of it:
versions, cultures, builds of the operating system, ids of workflows and tasks, names of people.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from mfa_audit.errors import AuditError
from mfa_audit.judging.naming import LONGEST_NAME, cut_version, product_of


class Client(NamedTuple):
    """A caller as seen, e-mail addresses masked; stored as it is, so that tools can be derived anew."""

    app_id: str | None
    application: str | None
    client: str | None
    user_agent: str | None
    sdk_version: str | None


class Tool(NamedTuple):
    """What tells one tool from another (versions, cultures, run ids and people's names taken out).

    One that the partner named is told by that name alone.
    """

    name: str
    app_id: str | None
    client: str | None
    application: str | None
    product: str | None


# A partner's own names: app id, application, client or product, in lower case -> name.
Names = Mapping[str, str]

# Client applications of Microsoft, by Microsoft's documentation and the lists that it publishes.
KNOWN_APPS: Final[Mapping[str, str]] = {
    "04b07795-8ddb-461a-bbee-02f9e1bf7b46": "Azure CLI or Partner Center PowerShell",
    "1950a258-227b-4e31-a9cf-717495945fc2": "Azure PowerShell",
    "1b730954-1685-4b74-9bfd-dac224a7b894": "Azure AD PowerShell",
    "14d82eec-204b-4c2f-b7e8-296a70dab67e": "Microsoft Graph Command Line Tools",
    "4990cffe-04e8-4e8b-808a-1175604b879f": "Microsoft Partner (portal)",
    "c44b4083-3bb0-49c1-b47d-974e53cbdf3c": "Azure Portal",
    "d3590ed6-52b3-4102-aeff-aad2292ab01c": "Microsoft Office",
    "872cd9fa-d31f-45e0-9eab-6e460a02d1f1": "Visual Studio (legacy)",
    "04f0c124-f2bc-4f59-8241-bf6df9866bbd": "Visual Studio",
    "aebc6443-996d-45c2-90f0-388ff96faa56": "VS Code",
    "fb78d390-0c51-40cd-8e17-fdbfab77341b": "Exchange Online PowerShell (REST)",
    "a0c73c16-a7e3-4564-9a95-2bdf47383716": "Exchange Online PowerShell (legacy)",
    "9bc3ab49-b65d-410a-85ad-de819febfddc": "SharePoint Online Management Shell",
    "de8bc8b5-d9f9-48b1-a8ad-b748da725064": "Graph Explorer",
    "1fec8e78-bce4-4aaf-ab1b-5451cc387264": "Teams",
    "4e291c71-d680-4d0e-9640-0a3358e31177": "PowerApps",
    "c0d2a505-13b8-4ae0-aa9e-cddd5eab0b12": "Power BI",
    "a672d62c-fc7b-4e81-a576-e60dc46e951d": "Power Query for Excel",
    "0a2057a8-149c-40ca-859e-98de032535fb": "Azure Marketplace",
    "29d9ed98-a469-4536-ade2-f981bc1d605e": "Authentication Broker",
}


LONGEST: Final = 512
# Deliberately wider than an address: what only looks like one loses nothing by being masked. The parts are
# bounded so that hostile text costs no time.
_EMAIL: Final = re.compile(r"[^\s@()<>\[\]{}\",;:=|/\\]{1,128}(?:@|%40)[^\s@()<>\[\]{}\"',;:=|/\\]{1,255}")
_PERSON: Final = re.compile(
    r"\b(user(?:name)?|upn|login|account)([:=]\s?)(?!<)[^\s();,]{1,255}", re.IGNORECASE
)
# A token, or a piece of one, that a client put where it does not belong.
_TOKEN: Final = re.compile(r"\bey[A-Za-z0-9_-]{14,}(?:\.[A-Za-z0-9_-]*)*|[A-Za-z0-9_+=-]{48,}")


def client_of(
    app_id: str | None,
    application: str | None = None,
    client: str | None = None,
    user_agent: str | None = None,
    sdk_version: str | None = None,
) -> Client:
    """The Client of these header values: people's addresses masked, each value storable and of bounded
    length."""
    return Client(app_id, *(_mask(value) for value in (application, client, user_agent, sdk_version)))


def _mask(value: str | None) -> str | None:
    if value is None or not (short := value[: LONGEST * 2].strip()):
        return None
    if not short.isascii():
        short = short.encode("utf-8", "replace").decode("utf-8")  # lone surrogates of undecodable bytes
    short = short.replace("\x00", "\ufffd")
    short = _TOKEN.sub("<token>", short)
    if "@" in short or "%40" in short:
        short = _EMAIL.sub("<email>", short)
    return _PERSON.sub(r"\1\2<user>", short)[:LONGEST]


def tool_of(client: Client, names: Names | None = None) -> Tool:
    """The tool that a client belongs to, named by the partner's `names` first.

    Precedence: `names` (app id, application, client, product); MS-PartnerCenter-Application;
    MS-PartnerCenter-Client; a product of its own; a known app id; a general product (curl, a browser);
    `app <id>`; `unnamed client`. One name given by the partner is one tool, whatever else differs.
    """
    application = cut_version(client.application or "") or None
    sdk = cut_version(client.client or "") or None
    product = product_of(client.user_agent)
    shown = None if product is None else product.name
    app_id = client.app_id
    given = _given(names or {}, app_id, client.application, application, client.client, sdk, shown)
    if given is not None:
        return Tool(given, None, None, None, None)
    name = (
        application
        or sdk
        or (product.name if product is not None and not product.generic else None)
        or KNOWN_APPS.get(app_id or "")
        or shown
        or (f"app {app_id}" if app_id else "unnamed client")
    )
    return Tool(name=name, app_id=app_id, client=sdk, application=application, product=shown)


def _given(names: Names, *keys: str | None) -> str | None:
    return next((names[key.lower()] for key in keys if key and key.lower() in names), None)


_NAMES_FORM: Final = (
    'Give CSV lines such as "app id or product,name", or JSON such as {"app id or product": "name"}.'
)
_KEY_COLUMNS: Final = (
    "appid",
    "app_id",
    "app id",
    "applicationid",
    "application_id",
    "product",
    "id",
    "key",
    "client",
)
_NAME_COLUMNS: Final = ("name", "displayname", "tool", "title", "applicationname")


def parse_names(content: str) -> Names:
    """A partner's own names: the text of a CSV or JSON file to {app id or product in lower case: name}.

    CSV takes comma, semicolon or tab, with or without a heading (also as `Export-Csv` writes it). JSON is
    an object {key: name}, or a list of objects such as {"app_id": …, "name": …}.

    Raises:
        AuditError: where the text is neither.
    """
    content = content.lstrip("\ufeff").strip()
    if not content:
        raise AuditError(f"The names file is empty. {_NAMES_FORM}")
    pairs = _json_pairs(content) if content[0] in "{[" else _csv_pairs(content)
    names = {}
    for key, name in pairs:
        if not key.strip() or not name.strip():
            raise AuditError(f"A line of the names file lacks its app id or its name. {_NAMES_FORM}")
        names[key.strip().strip("{}").lower()] = " ".join(name.split())[:LONGEST_NAME]
    if not names:
        raise AuditError(f"The names file holds no names. {_NAMES_FORM}")
    return names


def _json_pairs(content: str) -> Iterator[tuple[str, str]]:
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        raise AuditError(f"The names file starts like JSON but is not. {_NAMES_FORM}") from None
    if isinstance(parsed, dict):
        entries = list(parsed.items())
    else:
        entries = [(_column(item, _KEY_COLUMNS), _column(item, _NAME_COLUMNS)) for item in parsed]
    for key, name in entries:
        if not isinstance(key, str) or not isinstance(name, str):
            raise AuditError(f"An entry of the names file is not a pair of texts. {_NAMES_FORM}")
        yield key, name


def _column(item: object, wanted: tuple[str, ...]) -> object:
    if not isinstance(item, dict):
        return None
    return next((value for key, value in item.items() if str(key).lower() in wanted), None)


def _csv_pairs(content: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in content.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise AuditError(f"The names file holds no names. {_NAMES_FORM}")
    separator = max(",;\t", key=lines[0].count)
    try:
        rows = [
            [cell.strip() for cell in row]
            for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=separator)
        ]
    except csv.Error:
        raise AuditError(f"The names file is not readable as CSV. {_NAMES_FORM}") from None
    heading = [cell.lower() for cell in rows[0]]
    key_at = next((at for at, cell in enumerate(heading) if cell in _KEY_COLUMNS), None)
    name_at = next((at for at, cell in enumerate(heading) if cell in _NAME_COLUMNS), None)
    if key_at is not None and name_at is not None:
        rows = rows[1:]
    else:
        key_at, name_at = 0, 1
    for row in rows:
        if len(row) <= max(key_at, name_at):
            raise AuditError(f"A line of the names file has no second column. {_NAMES_FORM}")
        yield row[key_at], row[name_at]
