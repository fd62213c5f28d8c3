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


class Client(NamedTuple):
    """A caller as seen, e-mail addresses masked; stored as it is, so that tools can be derived anew."""

    app_id: str | None
    application: str | None
    client: str | None
    user_agent: str | None
    sdk_version: str | None


class Tool(NamedTuple):
    """What tells one tool from another (versions, cultures, run ids and people's names taken out)."""

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


class Product(NamedTuple):
    """A User-Agent's product. `generic`: a library, browser or shell that stands for many tools."""

    name: str
    generic: bool


# Marks in a User-Agent -> product; the first that is found counts. Edge and Chrome both say Chrome and
# Safari, all say Mozilla, PowerShell says Mozilla too, and Power Automate runs on Logic Apps: hence the
# order.
_MARKS: Final = tuple(
    (re.compile(mark, re.IGNORECASE), Product(name, generic))
    for mark, name, generic in (
        (r"\bCIPP\b", "CIPP", False),
        (r"\bmicrosoft-flow/", "Power Automate", False),
        (r"\bazure-logic-apps/", "Azure Logic Apps", False),
        (r"\bAZURECLI/|\baz-cli\b", "Azure CLI", False),
        (r"\bAzurePowershell/|\bAzPSCmdlet", "Azure PowerShell", False),
        (r"Microsoft\.Data\.Mashup", "Power Query", False),
        (r"Microsoft\.Store\.PartnerCenter\b|^FxVersion/", "Partner Center SDK for .NET", False),
        (r"\bPostmanRuntime/", "Postman", False),
        (r"\binsomnia/", "Insomnia", False),
        (r"\bWindowsPowerShell/", "Windows PowerShell", True),
        (r"\bPowerShell/", "PowerShell", True),
        (r"^curl\b", "curl", True),
        (r"^Wget\b", "Wget", True),
        (r"^python-requests/", "Python requests", True),
        (r"^python-httpx/", "Python httpx", True),
        (r"\baiohttp/", "Python aiohttp", True),
        (r"^python-urllib3/|^Python-urllib/", "Python urllib", True),
        (r"^python/", "Python", True),
        (r"^axios/", "axios", True),
        (r"^undici\b|^node$|^node/|^node-fetch\b|\bnode-fetch/", "Node.js fetch", True),
        (r"^got\b", "Node.js got", True),
        (r"^Go-http-client/", "Go", True),
        (r"^okhttp/", "OkHttp", True),
        (r"^Java-http-client/|^Java/", "Java", True),
        (r"^Apache-HttpClient/", "Apache HttpClient", True),
        (r"^Apache-CXF", "Apache CXF", True),
        (r"^RestSharp/", "RestSharp", True),
        (r"^GuzzleHttp/", "PHP Guzzle", True),
        (r"^PHP\b", "PHP", True),
        (r"^Ruby\b|^rest-client/|^Faraday\b", "Ruby", True),
        (r"^libwww-perl/", "Perl", True),
        (r"^HTTPie/", "HTTPie", True),
        (r"^reqwest/", "Rust reqwest", True),
        (r"^Dalvik/", "Android", True),
        (r"\bEdgA?/|\bEdge/", "Microsoft Edge", True),
        (r"\bFirefox/", "Firefox", True),
        (r"\bOPR/", "Opera", True),
        (r"\b(?:Headless)?Chrome/|\bCriOS/", "Chrome", True),
        (r"\bVersion/\S+.*\bSafari/", "Safari", True),
        (r"^Mozilla/", "Browser", True),
    )
)

_BROWSER_PRODUCTS: Final = frozenset({"Microsoft Edge", "Firefox", "Opera", "Chrome", "Safari", "Browser"})

LONGEST: Final = 512
_LONGEST_NAME: Final = 100
_GUID: Final = re.compile(r"\{?\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b\}?", re.IGNORECASE)
# Deliberately wider than an address: what only looks like one loses nothing by being masked. The parts are
# bounded so that hostile text costs no time.
_EMAIL: Final = re.compile(r"[^\s@()<>\[\]{}\",;:=|/\\]{1,128}(?:@|%40)[^\s@()<>\[\]{}\"',;:=|/\\]{1,255}")
_PERSON: Final = re.compile(
    r"\b(user(?:name)?|upn|login|account)([:=]\s?)(?!<)[^\s();,]{1,255}", re.IGNORECASE
)
# A token, or a piece of one, that a client put where it does not belong.
_TOKEN: Final = re.compile(r"\bey[A-Za-z0-9_-]{14,}(?:\.[A-Za-z0-9_-]*)*|[A-Za-z0-9_+=-]{48,}")
_VERSION: Final = re.compile(
    r"[\s/_,;(-]*(?:\bv(?:er(?:sion)?)?[\s.]*\d[\w.+-]*|\b\d+\.\d[\w.+-]*)\)?\s*$", re.IGNORECASE
)


# Programs that are many jobs' at once, by the beginning of their names: interpreters and shells without a script, what
# they run in, general HTTP clients, and browsers.
_BROWSERS: Final = re.compile(
    r"(?:chrome|chromium|msedge|microsoft edge|firefox|brave|opera|safari|iexplore|vivaldi|headless_shell)\b",
    re.IGNORECASE,
)
_MANY_JOBS: Final = re.compile(
    r"(?:powershell(?:_ise)?|pwsh|cmd|conhost|wscript|cscript|mshta|bash|sh|dash|zsh|fish|ksh|python[\d.]*w?|pythonw|py|ruby"
    r"|perl[\d.]*|php(?:-cgi|-fpm)?[\d.]*|node|nodejs|deno|bun|java|javaw|dotnet|mono|curl|wget|http|https|httpie|xh|az"
    r"|postman|insomnia|w3wp|iisexpress|svchost|rundll32|dllhost|uvicorn|gunicorn|docker|containerd|code|devenv|excel)"
    r"(?:\.exe|\.cmd|\.bat)?",
    re.IGNORECASE,
)


def is_specific(program: str) -> bool:
    """Whether a program's name is that of one job: a script, or an executable that is no interpreter, shell, general
    client or browser. "(other)", which stands for many, is not."""
    name = program.strip()
    if not name or name.startswith("("):
        return False
    return _MANY_JOBS.fullmatch(name) is None and _BROWSERS.match(name) is None


# What starts programs when somebody wants it, or for whoever asks: no schedule runs them again as they ran before.
_BY_HAND: Final = frozenset(
    {
        "terminal",
        "login session",
        "ssh session",
        "powershell remoting",
        "systemd-run",
        "at",
        "container",
        "iis",
        "launchd",
    }
)


def is_unattended(started_by: str | None) -> bool:
    """Whether a scheduler or a service starts the program, so that its next run is like its last ones; not by hand."""
    return started_by is not None and started_by.lower() not in _BY_HAND


def is_browser(program: str | None, user_agent: str | None) -> bool:
    """Whether this is a browser, by its program's name, else by its User-Agent."""
    if program is not None:
        return _BROWSERS.match(program.strip()) is not None
    product = product_of(user_agent)
    return product is not None and product.name in _BROWSER_PRODUCTS


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


def product_of(user_agent: str | None) -> Product | None:
    """The product that a User-Agent names, without its version; None where there is no User-Agent."""
    if not user_agent:
        return None
    for mark, product in _MARKS:
        if mark.search(user_agent):
            return product
    # `Name/1.2 (comment) Other/3`, or words and a version: the name before any of them.
    name = _GUID.sub("", re.split(r"[/(;]", user_agent, maxsplit=1)[0])
    name = _cut_version(name)
    return Product(name, generic=False) if name else None


def _cut_version(value: str) -> str:
    """The name without a version at its end: `Partner Center Explorer v2.0` is `Partner Center Explorer`."""
    name = _GUID.sub("", value[:LONGEST])
    return " ".join(_VERSION.sub("", name).split()).strip(" -_/,;:")[:_LONGEST_NAME]


def tool_of(client: Client, names: Names | None = None) -> Tool:
    """The tool that a client belongs to, named by the partner's `names` first.

    Precedence: `names` (app id, application, client, product); MS-PartnerCenter-Application;
    MS-PartnerCenter-Client; a product of its own; a known app id; a general product (curl, a browser);
    `app <id>`; `unnamed client`.
    """
    application = _cut_version(client.application or "") or None
    sdk = _cut_version(client.client or "") or None
    product = product_of(client.user_agent)
    shown = None if product is None else product.name
    app_id = client.app_id
    given = _given(names or {}, app_id, client.application, application, client.client, sdk, shown)
    name = (
        given
        or application
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
        names[key.strip().strip("{}").lower()] = " ".join(name.split())[:_LONGEST_NAME]
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
