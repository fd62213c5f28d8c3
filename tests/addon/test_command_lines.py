"""The name of a program, and nothing else of its command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_audit.addon.command_lines import name_of

CASES = [
    # PowerShell
    (
        "nightly-sync.ps1",
        r"C:\Program Files\PowerShell\7\pwsh.exe",
        r"-NoProfile -File C:\jobs\nightly-sync.ps1 -Secret x",
    ),
    ("nightly-sync.ps1", "/usr/bin/pwsh", "-nop -ex Bypass -f /jobs/nightly-sync.ps1"),
    ("sync.ps1", "/usr/bin/pwsh", "/jobs/sync.ps1 -Key x"),
    ("sync.ps1", "powershell.exe", r"-ExecutionPolicy Bypass -Command .\sync.ps1 -Key x"),
    ("sync.ps1", "powershell.exe", r".\sync.ps1 -Key x"),
    ("sync.ps1", "powershell.exe", r"/NoLogo /File C:\sync.ps1"),
    ("powershell.exe", "powershell.exe", "-Command Invoke-RestMethod -Headers secret.ps1"),
    ("powershell.exe", "powershell.exe", "-EncodedCommand SQBFAFgA x.ps1"),
    ("powershell.exe", "powershell.exe", "-e SQBFAFgA"),
    ("pwsh", "/usr/bin/pwsh", "-NoLogo"),
    ("pwsh", "/usr/bin/pwsh", "-File -"),
    ("pwsh", "/usr/bin/pwsh", "-Unheard secret.ps1"),
    ("pwsh", "/usr/bin/pwsh", "-wd /secret -c exit"),
    # Python
    ("sync.py", "/usr/bin/python3.11", "sync.py --password x"),
    ("sync.py", r"C:\Python313\python.exe", r"-u C:\jobs\sync.py x"),
    ("sync.pyw", r"C:\Python313\pythonw.exe", r"C:\jobs\sync.pyw"),
    ("azure.cli", r"C:\Program Files\Microsoft SDKs\Azure\CLI2\python.exe", "-IBm azure.cli account show"),
    ("azure.cli", "/opt/az/bin/python3", "-m azure.cli rest --headers secret"),
    ("azure.cli", "/opt/az/bin/python3", "-Imazure.cli rest"),
    ("az", "/usr/bin/python3", "-I /usr/bin/az rest"),
    ("sync.py", "python3", "-W ignore -X dev --check-hash-based-pycs always sync.py"),
    ("sync.py", "python3", "-Wignore -- sync.py"),
    ("python", "python", "-c code sync.py"),
    ("python3", "python3", "-Ic code sync.py"),
    ("python3", "python3", "- sync.py"),
    ("python3", "python3", ""),
    ("python3", "python3", "-m"),
    ("python3", "python3", "--unheard secret"),
    ("sync.py", "python3", "--unheard=secret sync.py"),
    # Node, Deno, Bun
    ("app.js", "node", "--require x app.js"),
    ("app.mjs", "node.exe", "--import=./x.mjs --inspect app.mjs secret"),
    ("server", "node", "server"),
    ("node", "node", "-e code"),
    ("node", "node", "--eval=code app.js"),
    ("node", "node", "--unheard secret"),
    ("main.ts", "deno", "run --allow-net main.ts"),
    ("deno", "deno", "eval secret"),
    ("bun", "bun", "secret"),
    # Java
    ("sync.jar", r"C:\jdk\bin\java.exe", r"-Xmx1g -Dkey=secret -jar C:\x\sync.jar secret"),
    ("com.contoso.Sync", "/usr/bin/java", "-cp /x/a.jar:/x/b.jar -ea -mx512m com.contoso.Sync secret"),
    ("com.contoso.Main", "java", "--module-path x --add-opens a/b=c -m sync/com.contoso.Main"),
    ("java", "java", "-version"),
    # the others
    ("sync.dll", "/usr/share/dotnet/dotnet", "sync.dll --key secret"),
    ("sync.dll", "dotnet", "exec --depsfile a.json sync.dll"),
    ("dotnet", "dotnet", "run --project secret"),
    ("sync.sh", "/bin/bash", "-eo pipefail sync.sh secret"),
    ("job", "/bin/sh", "/etc/cron.daily/job"),
    ("bash", "/bin/bash", "-lc code"),
    ("sync.pl", "/usr/bin/perl", "-w -MJSON -I lib sync.pl secret"),
    ("perl", "/usr/bin/perl", "-ne code file"),
    ("sync.rb", "/usr/bin/ruby3.1", "-r json sync.rb secret"),
    ("ruby", "ruby", "-e code"),
    ("artisan", "/usr/bin/php8.2", "-d a=b artisan serve"),
    ("sync.php", "php", "-f sync.php"),
    ("sync.vbs", r"C:\Windows\System32\cscript.exe", r"//nologo C:\jobs\sync.vbs secret"),
    ("sync.R", "Rscript", "--vanilla sync.R"),
    # no interpreter: the executable, whatever follows
    ("curl", "/usr/bin/curl", "-H secret https://x/y.ps1"),
    ("Contoso Sync.exe", r"C:\Program Files\Contoso\Contoso Sync.exe", "secret.ps1"),
    ("python-like-tool", "/opt/python-like-tool", "secret.py"),
]


@pytest.mark.parametrize(("expected", "exe", "arguments"), CASES)
def test_names(expected: str, exe: str, arguments: str) -> None:
    """An interpreter's script by its file name alone, else the executable; never code or values."""
    assert expected == name_of(exe, [exe, *arguments.split()])


def test_a_called_script_may_be_quoted() -> None:
    """A command that begins by calling a quoted script names that script."""
    command = r"& 'C:\My Jobs\nightly sync.ps1' -Secret x"
    assert "nightly sync.ps1" == name_of("powershell.exe", ["powershell.exe", "-Command", command])


def test_a_script_path_may_hold_blanks() -> None:
    """A path with blanks that is one argument is one path."""
    assert "nightly sync.py" == name_of("python", ["python", "/my jobs/nightly sync.py"])


def test_without_an_executable_the_command_line_names_it() -> None:
    """Where the system tells no path, the first argument stands in; with neither there is no name."""
    assert ("sync.py", "") == (name_of("", ["/usr/bin/python3", "sync.py"]), name_of("", []))


def test_what_cannot_be_decoded_can_be_stored() -> None:
    """A file name in another encoding becomes text that UTF-8 can carry."""
    assert "caf\\udce9.py" == name_of("python3", ["python3", "/jobs/caf\udce9.py"])


@given(st.sampled_from(["python3", "node", "pwsh", "java", "dotnet", "bash", "perl"]), st.lists(st.text()))
def test_nothing_is_raised_and_no_folder_is_told(exe: str, arguments: list[str]) -> None:
    """Whatever the arguments, the name is short, encodable and without the folders of a path."""
    name = name_of(exe, [exe, *arguments])
    name.encode()
    assert len(name) <= 255
    assert not {"/", "\\"} & set(name.replace("\\u", "").replace("\\x", ""))
