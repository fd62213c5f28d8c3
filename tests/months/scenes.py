"""What goes on at a partner: each scene adds the jobs of one situation, with its fixes, right and wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from months.calendars import DAY, HOUR, Calendar, by_hand, make_calendar, on_schedule, take_vacations
from months.partners import APP, OFFICE, TURNS, WITH, WITHOUT, Blocking, Call, Job, Partner, Phase, Place
from months.recorders import Recorder, make_recorder, pause_daily, record

POWERSHELL_APP: Final = "azure-cli"  # the PowerShell module's default app id, which everybody shares
SHELL: Final = "powershell.exe"
SHELL_AGENT: Final = "WindowsPowerShell/5.1"
OFTEN: Final = (
    ("every few hours", 2), ("daily", 6), ("on working days", 3), ("twice a week", 1), ("weekly", 4),
    ("every two weeks", 1), ("monthly", 3), ("first weekday of the month", 1), ("quarterly", 1),
)  # fmt: skip
FIXES: Final = (
    "consent", "consent", "mfa enforced", "app-only", "new app registration", "new account", "powershell 7",
)  # fmt: skip


@dataclass(slots=True)
class World:
    """A partner with its recorders; `names` machines whose recorder knows what starts a program."""

    partner: Partner
    chance: Random
    recorders: dict[str, Recorder] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    recorded: list[Call] = field(default_factory=list)

    @property
    def calendar(self) -> Calendar:
        """The partner's days."""
        return self.partner.calendar

    def machine(self, name: str, *, laptop: bool = False) -> str:
        """A machine with a recorder of its own."""
        if name not in self.recorders:
            self.recorders[name] = make_recorder(self.calendar, self.chance, only_working_hours=laptop)
            if self.chance.random() < 0.5:
                self.names.add(name)
        return name

    def pick(self, pairs: tuple[tuple[str, int], ...]) -> str:
        """One of these, by weight."""
        return self.chance.choices([name for name, _ in pairs], [weight for _, weight in pairs])[0]

    def during(self) -> float:
        """A working hour in the middle of the recording, in which somebody changes something."""
        days = self.calendar.days
        return self.calendar.at(self.chance.randrange(days // 8, days - 12), self.chance.uniform(8, 18))

    def place(
        self, machine: str, program: str | None, starter: str, account: str, *, unknown: bool = False
    ) -> Place:
        """What the machine's recorder shows: starter and account only where it knows them.

        `unknown`: a program on another computer, which the recorder cannot look up.
        """
        if unknown:
            return Place(machine, "recorder", None, None)
        if machine in self.names:
            return Place(machine, account, program, starter)
        return Place(machine, "recorder", program, None)


def make_world(seed: str) -> World:
    """A partner of one to four scenes, played and recorded; the same for the same seed."""
    chance = Random(seed)
    calendar = make_calendar(chance)
    begins = chance.uniform(-60, calendar.days + 20) * DAY
    blocking = Blocking(
        begins,
        begins + chance.choice((0, 5, 30)) * DAY,
        chance.choice((0.0, 0.3, 1.0)),
        chance.random() < 0.6,
    )
    world = World(Partner(calendar, blocking), chance)
    asks = chance.random()
    start = chance.uniform(-20, calendar.days) * DAY
    if asks < 0.1:
        world.partner.validates = (start, start + chance.choice((1, 7, 200)) * DAY)
    elif asks < 0.15:
        world.partner.enforces = (start, start + chance.choice((1, 7)) * DAY)
    world.partner.lists = chance.random() < 0.1
    for _ in range(chance.choice((1, 2, 2, 3, 4))):
        chance.choices(list(SCENES), list(SCENES.values()))[0](world)
    update_agents(world)
    if chance.random() < 0.15:
        stop_at_its_hour(world)
    world.recorded = record(world.partner.play(chance), world.recorders, chance)
    return world


def update_agents(world: World) -> None:
    """Programs update: from some day on the User-Agent of some jobs names another version."""
    for job in world.partner.jobs:
        if world.chance.random() < 0.25:
            at = world.during()
            for place, phase in enumerate(list(job.phases)):
                if phase.begins <= at and phase is job.phase(at):
                    later = job.phases[place + 1 :]
                    job.change(at, agent=f"{phase.agent}.1")
                    job.phases += later


def stop_at_its_hour(world: World) -> None:
    """From some day on a recorder is off whenever a certain job runs."""
    job = world.chance.choice(world.partner.jobs)
    if job.starts:
        machine, hour = job.phases[0].place.machine, job.starts[-1] / HOUR % 24
        first = int(world.during() // DAY)
        world.recorders[machine] = pause_daily(world.recorders[machine], world.calendar, first, hour)


def letters(number: int) -> str:
    """A part of a program's name that no number of a run looks like."""
    return "".join(chr(ord("a") + (number // 26**place) % 26) for place in (1, 0))


def fix_it(world: World, job: Job, at: float) -> None:
    """One of the fixes that we advise; mostly tried by hand at once."""
    kind = world.chance.choice(FIXES)
    now = job.phase(at)
    parts: dict[str, Any] = {}
    match kind:
        case "app-only":
            parts = {"signs_in": APP}
        case "new app registration":
            parts = {"app": f"{now.app}-new"}
        case "new account":
            parts = {"user": f"{now.user}-new"}
        case "powershell 7":
            program = now.place.program
            shell = program == SHELL
            parts = {
                "agent": "PowerShell/7.5",
                "place": now.place._replace(program="pwsh.exe" if shell else program),
            }
        case "mfa enforced":
            # The stored refresh token lives on until somebody has to sign in again.
            at += world.chance.choice((0, 1, 3)) * DAY
    job.fix(at, kind, **parts)
    if world.chance.random() < 0.6:
        try_by_hand(world, job, [at + 0.1 * HOUR, at + 5 * HOUR][: world.chance.randint(1, 2)])


def try_by_hand(world: World, job: Job, starts: list[float], **further: Any) -> Job:
    """Somebody runs the job's program by hand, signed in with MFA, from their own terminal."""
    phase = job.phase(starts[0] if starts else 0.0)
    place = phase.place
    if place.started_by is not None:
        place = place._replace(started_by="terminal", account=world.chance.choice((place.account, "admin")))
    user = phase.user if world.chance.random() < 0.7 else "admin"
    hand = Phase(float("-inf"), place, phase.app, user, phase.agent, WITH)
    return world.partner.add("by hand", "by hand", starts, hand, **further)


def scheduled(world: World, *, often: str | None = None, signs_in: str | None = None, **parts: Any) -> Job:
    """A script or program that a scheduler starts; `parts` replace what is made up."""
    chance = world.chance
    number = len(world.partner.jobs)
    often = often or world.pick(OFTEN)
    machine = parts.get("machine") or world.machine(chance.choice(("server", "server-2")))
    starter = parts.get("starter") or chance.choice(("cron", "Task Scheduler", f"unit-{number}.service"))
    place = world.place(
        machine,
        parts.get("program", f"sync-{letters(number)}.ps1"),
        starter,
        parts.get("account", "svc"),
        unknown=parts.get("unknown", False),
    )
    phase = Phase(
        float("-inf"),
        place,
        parts.get("app") or chance.choice(("own-app", POWERSHELL_APP)),
        parts.get("user") or chance.choice(("svc-pc", f"svc-{number}")),
        parts.get("agent", SHELL_AGENT),
        signs_in or chance.choice((WITHOUT, WITHOUT, WITHOUT, WITH, APP)),
        parts.get("readable", True),
    )
    starts = on_schedule(world.calendar, chance, often)
    if chance.random() < 0.1:
        # Somebody switches it off for some days.
        off = world.during()
        days = chance.uniform(2, 9)
        starts = [start for start in starts if not off < start < off + days * DAY]
    lifetime, caches = chance.choice(((75 * 60.0, False), (75 * 60.0, True), (24 * HOUR, True)))
    return world.partner.add("scheduled", often, starts, phase, lifetime=lifetime, caches=caches)


def lone_script(world: World) -> None:
    """A scheduled script; it may be fixed, and before that be run by hand, or renamed, and fix nothing."""
    chance = world.chance
    job = scheduled(world, signs_in=OFFICE if chance.random() < 0.1 else None)
    if job.phases[0].signs_in == OFFICE:
        office = chance.sample(range(7), chance.randint(1, 4))
        job.office = frozenset(
            day for day in world.calendar.all_days() if world.calendar.weekday(day) in office
        )
    if job.phases[0].signs_in not in (WITHOUT, OFFICE):
        return
    wrong = chance.random()
    if wrong < 0.35:
        share = chance.choice((0.3, 0.7, 1.0))
        try_by_hand(world, job, [], follows=(job, share), if_refused=chance.random() < 0.6)
    elif wrong < 0.45:
        at = world.during()
        job.change(at, place=job.phases[0].place._replace(program=f"renamed-{letters(job.number)}.ps1"))
        try_by_hand(world, job, [at - HOUR, at + 20 * HOUR, at + 50 * HOUR])
    elif wrong < 0.55:
        at = world.during()
        try_by_hand(world, job, [at, at + 26 * HOUR, at + 75 * HOUR])
    if chance.random() < 0.65:
        at = world.during()
        fix_it(world, job, at)
        if chance.random() < 0.08:
            job.change(at + chance.uniform(8, 45) * DAY, signs_in=WITHOUT)


def monthly_by_hand(world: World) -> None:
    """A job that runs seldom and fails, and is tried by hand on the days after: it runs alright then."""
    often = world.chance.choice(("first weekday of the month", "monthly", "every two weeks", "weekly"))
    job = scheduled(world, often=often, signs_in=WITHOUT)
    days_after = world.chance.choice((9, 35))
    for start in job.starts:
        first = start + world.chance.uniform(2, 30) * HOUR
        days = sorted(world.chance.sample(range(days_after), world.chance.randint(1, 4)))
        try_by_hand(world, job, [first + day * DAY for day in days])
    if world.chance.random() < 0.4:
        fix_it(world, job, world.during())


def twins_on_machines(world: World) -> None:
    """One script on two machines, fixed on one."""
    first = scheduled(
        world,
        machine=world.machine("server"),
        program="sync.ps1",
        signs_in=WITHOUT,
        app="own-app",
        user="svc-pc",
    )
    scheduled(
        world, machine=world.machine("server-2"), program="sync.ps1", signs_in=WITHOUT, app="own-app",
        user="svc-pc", often=first.often,
    )  # fmt: skip
    fix_it(world, first, world.during())


def twins_on_one(world: World) -> None:
    """Two jobs on one machine that a recorder cannot tell apart: inline, unnamed, or one script with two stores."""
    chance = world.chance
    how = chance.choice(("inline", "inline", "unnamed", "unnamed", "one script"))
    machine = world.machine("server")
    common: dict[str, Any] = {
        "machine": machine, "app": chance.choice(("own-app", POWERSHELL_APP)), "user": "svc-pc",
        "starter": chance.choice(("cron", "Task Scheduler")),
        "program": {"inline": SHELL, "unnamed": None, "one script": "export.ps1"}[how],
        "unknown": how == "unnamed",
    }  # fmt: skip
    if how == "one script" or chance.random() < 0.3:
        # Another account or app: what the rule calls another credential.
        other = {"user": "svc-other"} if chance.random() < 0.7 else {"app": "other-app"}
    else:
        other = {}
    scheduled(world, signs_in=WITH, **common)
    rare = scheduled(world, signs_in=WITHOUT, **(common | other))
    if chance.random() < 0.3:
        scheduled(world, signs_in=chance.choice((WITH, WITHOUT, APP)), **common)
    if chance.random() < 0.5:
        fix_it(world, rare, world.during())


def admins(world: World) -> None:
    """Persons who use a shell on a jump host or their laptops, with accounts of their own or a shared one."""
    chance, calendar = world.chance, world.calendar
    shared = chance.random() < 0.3
    jump_host = chance.random() < 0.6
    for person in range(chance.randint(1, 4)):
        machine = world.machine("jump-host") if jump_host else world.machine(f"laptop-{person}", laptop=True)
        script = chance.random() < 0.3
        away = take_vacations(calendar, chance)
        phase = Phase(
            float("-inf"),
            world.place(machine, "new-customer.ps1" if script else SHELL, "terminal", f"admin-{person}"),
            POWERSHELL_APP,
            "shared-admin" if shared else f"admin-{person}",
            SHELL_AGENT,
            chance.choice((WITH, WITH, WITHOUT, OFFICE)),
        )
        office = chance.sample(range(5), chance.randint(1, 3))
        job = world.partner.add(
            "person", "by hand", by_hand(calendar, chance, chance.choice((0.1, 0.3, 0.6, 0.9)), away), phase,
            office=frozenset(day for day in calendar.all_days() if calendar.weekday(day) in office),
        )  # fmt: skip
        if phase.signs_in == WITHOUT and away and shared and chance.random() < 0.3:
            stand_in = by_hand(calendar, chance, 0.6, frozenset(set(calendar.all_days()) - away))
            try_by_hand(world, job, stand_in)
        if phase.signs_in in (WITHOUT, OFFICE) and chance.random() < 0.5:
            fix_it(world, job, world.during())


def dashboard(world: World) -> None:
    """A web application with many users, each with tokens of their own; MFA comes user by user or for all."""
    chance, calendar = world.chance, world.calendar
    place = world.place(world.machine("server"), "dashboard.exe", "dashboard.service", "svc")
    for_all = world.during()
    how = chance.choice(("user by user", "for all", "never"))
    for user in range(chance.randint(3, 9)):
        phase = Phase(
            float("-inf"),
            place,
            "dashboard-app",
            f"user-{user}",
            "Dashboard/3",
            chance.choice((WITH, WITHOUT)),
        )
        often = by_hand(calendar, chance, chance.choice((0.05, 0.3, 0.8)), take_vacations(calendar, chance))
        job = world.partner.add("dashboard user", "by hand", often, phase, caches=True)
        if phase.signs_in == WITHOUT:
            if how == "user by user" and chance.random() < 0.7:
                job.fix(world.during(), "consent")
            elif how == "for all":
                job.fix(for_all + chance.choice((0, 0, 1, 5)) * DAY, "mfa enforced")


def vendor(world: World) -> None:
    """A vendor's service that calls every few hours, with one account or in turns with two."""
    chance = world.chance
    common: dict[str, Any] = {
        "machine": world.machine("server"), "program": "vendor.exe", "starter": "vendor.service",
        "app": "vendor-app", "agent": "Vendor/8.2",
    }  # fmt: skip
    job = scheduled(world, often="every few hours", signs_in=chance.choice((WITHOUT, TURNS, WITH)), **common)
    if chance.random() < 0.5:
        # Each account on some days only.
        days = {day for day in world.calendar.all_days() if chance.random() < 0.4}
        second = scheduled(
            world, often="daily", user="svc-second", signs_in=chance.choice((WITHOUT, WITH)), **common
        )
        second.starts = [start for start in second.starts if int(start // DAY) in days]
    if job.phases[0].signs_in != WITH and chance.random() < 0.6:
        fix_it(world, job, world.during())


def workstations(world: World) -> None:
    """Jobs on other computers that use one recorder: it cannot name their programs, and they are off at times."""
    chance, calendar = world.chance, world.calendar
    app, user = chance.choice(("own-app", POWERSHELL_APP)), chance.choice(("svc-pc", "shared-admin"))
    for _ in range(chance.randint(1, 3)):
        off = take_vacations(calendar, chance) if chance.random() < 0.5 else frozenset[int]()
        job = scheduled(
            world, machine=world.machine("lan-proxy"), unknown=True, app=app,
            user=user if chance.random() < 0.7 else f"svc-{chance.randrange(3)}",
            signs_in=chance.choice((WITH, WITHOUT)), agent=chance.choice((SHELL_AGENT, "python-requests/2.32")),
        )  # fmt: skip
        if off:
            off |= calendar.holidays
        job.starts = [start for start in job.starts if int(start // DAY) not in off]
        if job.phases[0].signs_in == WITHOUT and chance.random() < 0.5:
            fix_it(world, job, world.during())


def unreadable(world: World) -> None:
    """Tools whose tokens nobody can read: only what Partner Center or Microsoft says shows what they are."""
    program = world.chance.choice(("sealed.exe", None))
    for _ in range(world.chance.choice((1, 1, 2))):
        job = scheduled(
            world,
            readable=False,
            program=program,
            agent="Sealed/1",
            signs_in=world.chance.choice((WITH, WITHOUT)),
        )
        if job.phases[0].signs_in == WITHOUT and world.chance.random() < 0.5:
            job.fix(world.during(), "consent")


SCENES: Final[dict[Callable[[World], None], int]] = {
    lone_script: 6,
    monthly_by_hand: 1,
    twins_on_machines: 1,
    twins_on_one: 3,
    admins: 3,
    dashboard: 2,
    vendor: 2,
    workstations: 2,
    unreadable: 1,
}
