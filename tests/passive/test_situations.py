"""What works directly works through the proxy: every situation, with every client of this machine."""

from __future__ import annotations

from typing import Any

import pytest
from situations import SITUATIONS, STREAMED, UNSURE, Client, drive_all, find_clients, plan_of, worse

from conftest import Ways

CLIENTS = ("curl", "curl-2", "requests", "httpx", "httpx-2", "node", "node-2", "go", "go-2", "java", "java-2")
CASES = [
    pytest.param(client, situation, id=f"{client} {situation}")
    for client in CLIENTS
    for situation, one in SITUATIONS.items()
    if ("2" if client.endswith("-2") else "1") in one.kinds and situation not in UNSURE.get(client, ())
]


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Client]:
    """The clients of this machine."""
    return find_clients(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="session")
def outcomes(ways: Ways, clients: dict[str, Client]) -> dict[tuple[str, str], dict[str, Any]]:
    """What came of every call of every client, directly and through the proxy."""
    return drive_all(clients, {"direct": ways.direct, "through": ways.through}, ways.bundle)


@pytest.mark.parametrize(("client", "situation"), CASES)
def test_works_as_directly(
    client: str, situation: str, ways: Ways, clients: dict[str, Client], outcomes: dict[tuple[str, str], Any]
) -> None:
    """Each call that is answered directly has the same answer through the proxy, and a stream comes as it is sent."""
    if client not in clients:
        pytest.skip(f"{client} is not on this machine")
    direct, through = outcomes[client, "direct"][situation], outcomes[client, "through"][situation]

    assert [] == worse(direct, through)
    if situation in STREAMED and direct[0][2] < 0.3:
        _, _, first, last, *_ = through[0]
        assert last - first > 0.3, "the answer was held back"


@pytest.mark.parametrize("client", CLIENTS)
def test_no_change_happens_twice(
    client: str, ways: Ways, clients: dict[str, Client], outcomes: dict[tuple[str, str], Any]
) -> None:
    """The server sees no POST more often than the client made it, whatever happens to connections."""
    if client not in clients:
        pytest.skip(f"{client} is not on this machine")
    seen = ways.server.processed
    for situation, calls in plan_of(clients[client]).items():
        name = situation.replace("-", "_")
        made = sum(call[0] == "POST" for call in calls)
        directly = seen[f"direct-{client}", "POST", name]
        assert seen[f"through-{client}", "POST", name] <= max(made, directly), situation


def test_the_server_decides_on_expect(ways: Ways, clients: dict[str, Client], outcomes: Any) -> None:
    """`Expect` reaches the server from each client that sends it directly."""
    asked = [name for name in clients if f"direct-{name} expect_continue" in ways.server.seen]
    expecting = [name for name in asked if "expect" in ways.server.seen[f"direct-{name} expect_continue"]]

    assert expecting
    for name in expecting:
        assert ways.server.seen[f"direct-{name} expect_continue"]["expect"] == ways.server.seen[
            f"through-{name} expect_continue"
        ].get("expect"), name
