"""What the README tells people to type exists."""

from __future__ import annotations

import re
from pathlib import Path

from mfa_audit.commands import COMMANDS

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_commands_exist() -> None:
    """Each `mfa-audit COMMAND` in a code span or block is a command."""
    named = set(re.findall(r"(?:`|bin/|Scripts\\|\$ )mfa-audit ([a-z]+)", README))
    assert {"demo", "run", "report"} <= named <= COMMANDS.keys()


def test_both_set_up_lines_have_a_powershell_form() -> None:
    """Each bash block is one line, and the same steps follow for PowerShell, which has more for Windows alone."""
    bash = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    powershell = re.findall(r"```powershell\n(.*?)```", README, re.DOTALL)
    assert [1, 1] == [block.count("\n") for block in bash]
    translated = [
        line.replace("python3 -m venv", "python -m venv")
        .replace(" && ", "; ")
        .replace(".venv/bin/", ".venv\\Scripts\\")
        for line in bash
    ]
    assert translated == [block for block in powershell if block in translated]


def test_ci_runs_one_of_them() -> None:
    """Exactly one block is marked for .ci/run, and it installs the test extras."""
    marked = re.findall(r"<!-- \.ci/run runs this line.*?-->\n```bash\n(.*)\n```", README)
    assert 1 == len(marked)
    assert "'.[test]'" in marked[0]


def test_links_lead_somewhere() -> None:
    """Each relative link is a file of the repository."""
    root = Path(__file__).parents[1]
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert [] == [link for link in links if not (root / link).exists()]


def test_it_stays_short() -> None:
    """The README has 120 lines at most, and its table of uses nine rows."""
    assert README.count("\n") <= 120
    (table,) = re.findall(r"## Use it\n\n\|.*\n\|-.*\n((?:\|.*\n)+)", README)
    assert table.count("\n") <= 9
