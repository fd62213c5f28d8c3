"""The demonstration, as a user runs it."""

from __future__ import annotations

from pathlib import Path

from processes import Audit


def test_the_demonstration_shows_the_whole_job(audit: Audit, home: Path) -> None:
    """It says that it is a simulation, reports the program without MFA, exits 0 and leaves nothing."""
    done = audit.run("demo")
    assert 0 == done.returncode, done.stderr
    assert "This is a simulation." in done.stderr
    assert "1 of 3 tools calls Partner Center without MFA. 1 is blocked now." in done.stdout
    assert "nightly-sync.py" in done.stdout
    assert [] == [path for path in home.rglob("*") if path.is_file()]


def test_quiet_leaves_the_report_alone(audit: Audit) -> None:
    """With --quiet stderr is empty and stdout is the report."""
    done = audit.run("demo", "--quiet")
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("NO - ")


def test_its_recording_can_be_kept(audit: Audit, tmp_path: Path) -> None:
    """--keep leaves a database that `report` reads, and never adds to one that is there."""
    kept = tmp_path / "demo.db"
    assert 0 == audit.run("demo", "--quiet", "--keep", kept).returncode
    assert "1 of 3 tools calls Partner Center without MFA." in audit.run("report", kept).stdout
    before = kept.read_bytes()
    assert 2 == audit.run("demo", "--keep", kept).returncode
    assert before == kept.read_bytes()
