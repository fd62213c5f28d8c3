"""Tools, not strings: what of a caller tells one tool from another, and what it is called."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfa_audit.errors import AuditError
from mfa_audit.judging.clients import KNOWN_APPS, Client, client_of, parse_names, tool_of

CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
OWN = "5d2b6f60-0000-4000-8000-0000000c1133"
FX = (
    "FxVersion/4.8.3710.0 OSName/Windows OSVersion/10.0.18312.0 "
    "Microsoft.Store.PartnerCenter.Network.PartnerServiceClient/1.0.0.0"
)


# Written out a second time: a wrong name sends a partner to the wrong tool.
KNOWN = """
04b07795-8ddb-461a-bbee-02f9e1bf7b46 Azure CLI or Partner Center PowerShell
1950a258-227b-4e31-a9cf-717495945fc2 Azure PowerShell
1b730954-1685-4b74-9bfd-dac224a7b894 Azure AD PowerShell
14d82eec-204b-4c2f-b7e8-296a70dab67e Microsoft Graph Command Line Tools
4990cffe-04e8-4e8b-808a-1175604b879f Microsoft Partner (portal)
c44b4083-3bb0-49c1-b47d-974e53cbdf3c Azure Portal
d3590ed6-52b3-4102-aeff-aad2292ab01c Microsoft Office
872cd9fa-d31f-45e0-9eab-6e460a02d1f1 Visual Studio (legacy)
04f0c124-f2bc-4f59-8241-bf6df9866bbd Visual Studio
aebc6443-996d-45c2-90f0-388ff96faa56 VS Code
fb78d390-0c51-40cd-8e17-fdbfab77341b Exchange Online PowerShell (REST)
a0c73c16-a7e3-4564-9a95-2bdf47383716 Exchange Online PowerShell (legacy)
9bc3ab49-b65d-410a-85ad-de819febfddc SharePoint Online Management Shell
de8bc8b5-d9f9-48b1-a8ad-b748da725064 Graph Explorer
1fec8e78-bce4-4aaf-ab1b-5451cc387264 Teams
4e291c71-d680-4d0e-9640-0a3358e31177 PowerApps
c0d2a505-13b8-4ae0-aa9e-cddd5eab0b12 Power BI
a672d62c-fc7b-4e81-a576-e60dc46e951d Power Query for Excel
0a2057a8-149c-40ca-859e-98de032535fb Azure Marketplace
29d9ed98-a469-4536-ade2-f981bc1d605e Authentication Broker
"""


def logic_apps(run: int) -> str:
    return f"azure-logic-apps/1.0 (workflow 6c9e1b7ad1f24b8e8d{run}; version 08585{run})"


@pytest.mark.parametrize(
    ("application", "client", "user_agent", "sdk", "name"),
    [
        (None, "Partner Center .NET SDK", None, "3.4.0.0", "Partner Center .NET SDK"),
        (None, "Partner Center PowerShell", FX, "1.5.1901.1", "Partner Center PowerShell"),
        (None, "Partner Center Open .NET SDK", FX, "3.0", "Partner Center Open .NET SDK"),
        (None, "Partner Center Java SDK", "okhttp/4.12.0", "1.15.4", "Partner Center Java SDK"),
        (
            "Partner Center Explorer v2.0",
            "Partner Center .NET SDK",
            None,
            "3.4.0.0",
            "Partner Center Explorer",
        ),
        (None, None, "CIPP/8.2.0 (user:john@msp.com)", None, "CIPP"),
        (
            None,
            None,
            "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.1",
            None,
            "Windows PowerShell",
        ),
        (None, None, "Mozilla/5.0 (Windows NT 10.0; de-DE) PowerShell/7.4.1", None, "PowerShell"),
    ],
)
def test_each_documented_client(
    application: str | None, client: str | None, user_agent: str | None, sdk: str | None, name: str
) -> None:
    """Each client that Microsoft documents gets its name, whatever app id it uses."""
    assert name == tool_of(client_of(OWN, application, client, user_agent, sdk)).name


def test_names_by_precedence() -> None:
    """The partner's name, what the tool says of itself, a known app id, a general product, the app id."""
    both = client_of(CLI, "Nightly v1.2", "Partner Center .NET SDK", "curl/8.0")
    assert "Ours" == tool_of(both, {CLI: "Ours", "nightly": "Not this"}).name
    assert "Ours" == tool_of(both, {"nightly": "Ours"}).name
    assert "Ours" == tool_of(both, {"curl": "Ours"}).name
    assert "Nightly" == tool_of(both).name
    assert "Partner Center .NET SDK" == tool_of(both._replace(application=None)).name
    assert "CIPP" == tool_of(client_of(CLI, user_agent="CIPP/8")).name
    assert KNOWN_APPS[CLI] == tool_of(client_of(CLI, user_agent="curl/8")).name
    assert "curl" == tool_of(client_of(OWN, user_agent="curl/8")).name
    assert f"app {OWN}" == tool_of(client_of(OWN)).name
    assert "unnamed client" == tool_of(client_of(None)).name


def test_nine_clients_are_three_tools() -> None:
    """Versions of one client, users of one product and runs of one workflow do not make tools; app ids do."""
    clients = [
        *(
            client_of(CLI, None, "Partner Center PowerShell", FX.replace("18312", build), version)
            for version, build in (("1.5.1901.1", "18312"), ("3.0.10.0", "22631"))
        ),
        *(client_of(OWN, user_agent=f"CIPP/8.{n}.0 (user:user{n}@msp.example)") for n in range(3)),
        *(client_of(OWN, user_agent=logic_apps(n)) for n in range(4)),
    ]
    assert 9 == len(clients)
    assert 3 == len({tool_of(client) for client in clients})
    assert 2 == len({tool_of(client_of(app, user_agent="CIPP/8.0.0")) for app in (CLI, OWN)})


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("CIPP/8.2.0 (user:john@msp.com)", "CIPP/8.2.0 (user:<email>)"),
        ("Sync for john.o'neil+x@msp.co.uk/2", "Sync for <email>/2"),
        ("x john%40msp.com y", "x <email> y"),
        ("Sync (user: john)", "Sync (user: <user>)"),
        ("Sync (username=MSP\\john; v2)", "Sync (username=<user>; v2)"),
        ("a jörg@müller.example b", "a <email> b"),
        ("curl eyJhbGciOiJub25lIn0.eyJhdWQiOiJ4In0.c2ln", "curl <token>"),
        ("x " + "Ab1-" * 20, "x <token>"),
        ("NUL\x00 and \udcff", "NUL\ufffd and ?"),
        ("\x1b[31mred", "\x1b[31mred"),
        ("  ", None),
        (None, None),
    ],
)
def test_what_is_kept_of_a_header(raw: str | None, kept: str | None) -> None:
    """People's addresses and names, and tokens, are masked in every header; the rest stays."""
    assert Client(None, kept, kept, kept, kept) == client_of(None, raw, raw, raw, raw)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(), max_size=2000), st.sampled_from(["", "a@b.example "]))
def test_any_header_is_storable(value: str, before: str) -> None:
    """Whatever a client sends can be stored, is of bounded length, shows no address, and gives some tool."""
    client = client_of(None, user_agent=before + value)
    if client.user_agent is not None:
        client.user_agent.encode("utf-8")
        assert len(client.user_agent) <= 512
        assert "\x00" not in client.user_agent
        assert "a@b.example" not in client.user_agent
    assert tool_of(client).name


def test_a_partners_own_name_is_one_tool() -> None:
    """Whatever else differs, callers of one given name are one tool, and only those."""
    names = {OWN: "Ours", "curl": "Ours"}
    clients = [
        client_of(OWN, user_agent="python-requests/2"),
        client_of(OWN, "Contoso Explorer", user_agent="Contoso/1"),
        client_of(CLI, user_agent="curl/8.5"),
    ]
    assert 1 == len({tool_of(client, names) for client in clients})
    assert tool_of(client_of(CLI, user_agent="Wget/1"), names) != tool_of(clients[0], names)


@pytest.mark.parametrize(
    "content",
    [
        f"{OWN},Our sync\ncurl,Our curl script\n",
        f"App Id,Name\r\n{OWN.upper()},Our sync\r\ncurl,Our curl script\r\n",
        f'#TYPE System.Object\n"Name";"AppId"\n"Our sync";"{{{OWN}}}"\n"Our curl script";"curl"\n',
        f"{OWN}\tOur  sync\ncurl\tOur curl script",
        "\ufeff" + json.dumps({OWN: "Our sync", "CURL": " Our curl script "}),
        json.dumps(
            [
                {"applicationId": OWN, "displayName": "Our sync"},
                {"product": "curl", "name": "Our curl script"},
            ]
        ),
    ],
)
def test_names_files(content: str) -> None:
    """CSV in the ways that people and Export-Csv write it, and JSON, all give the same names."""
    names = parse_names(content)
    assert {OWN: "Our sync", "curl": "Our curl script"} == names
    assert "Our curl script" == tool_of(client_of(None, user_agent="curl/8.5"), names).name


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n\n",
        "{",
        '{"a": 1}',
        "[1]",
        "[[[",
        '{"a": ""}',
        "only one column",
        "a,b\nc",
        ",name",
        "#x",
        "{}",
    ],
)
def test_bad_names_files_are_refused(content: str) -> None:
    """A names file that cannot be read is an error that shows how one looks."""
    with pytest.raises(AuditError, match=r"app id or product"):
        parse_names(content)


@pytest.mark.parametrize("app", KNOWN.strip().splitlines())
def test_each_known_app_has_its_name(app: str) -> None:
    """A tool that says nothing of itself is called by the name of its well-known application."""
    app_id, _, name = app.partition(" ")
    assert name == tool_of(client_of(app_id)).name
