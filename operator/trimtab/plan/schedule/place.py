"""Places the jobs one after another into what is left of the pools: whatever the prices were, capacity holds."""

from dataclasses import dataclass, field, replace

import numpy as np

from trimtab.plan.schedule.capacity import Capacity, Piece, Want
from trimtab.plan.schedule.fill import TOLERANCE
from trimtab.plan.schedule.problem import Budget, FloatArray, Overrun
from trimtab.plan.schedule.purses import Purses
from trimtab.plan.schedule.respond import Asked, Responses, respond
from trimtab.plan.schedule.tables import BoolArray, IntArray, Tables
from trimtab.plan.schedule.within import within_budgets

_TOGETHER = 64
"""Jobs that choose at the same time. The later of them may find the place taken, and choose again."""
_ALL_TOGETHER = 1000
"""The same where no pool is bounded."""
_FEW = 0.95
"""Share of a group that finds its places taken, above which the rest choose one by one."""
_MANY = 600
"""Jobs above which a job that cannot have all of its slots keeps those that it can have."""
_NOTHING_LEFT = 1e-6
"""Share of a job's work for which there is still money, below which it gets none."""


@dataclass
class Placement:
    """Runs by job, as they are found."""

    pieces: list[list[Piece]]
    short: FloatArray
    """(J) Work that found no place in the horizon, or no money."""
    missed: BoolArray
    """(J) Where the deadline left no way."""
    displaced: set[int] = field(default_factory=set)
    """Jobs that found the place of their first choice taken."""
    cut: set[int] = field(default_factory=set)
    """Jobs whose budget does not suffice."""
    put_off: set[int] = field(default_factory=set)
    """Jobs that spend less in the time of a budget than they would without it."""
    overruns: tuple[Overrun, ...] = ()
    """Of the budgets that do not cut work."""

    @staticmethod
    def empty(tables: Tables) -> "Placement":
        """Nothing placed yet."""
        jobs = tables.job_count
        return Placement([[] for _ in range(jobs)], np.zeros(jobs), np.zeros(jobs, dtype=np.bool_))


def urgency(tables: Tables) -> IntArray:
    """The order in which jobs choose: by priority, then least slack for the size, then largest, then as they came."""
    fastest = tables.rate.max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        need = np.where(fastest > 0.0, tables.work / fastest, 0.0) + tables.switch
        slack = (tables.deadline - tables.earliest - need) / np.maximum(need, 1e-9)
    slack = np.where(tables.hard_ceiling, np.inf, slack)
    size = need * tables.units.max(axis=1, initial=0.0)
    return np.lexsort((np.arange(tables.job_count), -size, slack, -tables.priority))


def many(tables: Tables, asked: Asked) -> Asked:
    """Of more than a few jobs, each keeps what it can have of its choice while it chooses the rest again."""
    if len(asked.rows) <= _MANY:
        return asked
    busy = np.zeros((len(asked.rows), tables.slot_count), dtype=np.bool_)
    return Asked(asked.rows, asked.work, asked.deadline, busy)


@dataclass(frozen=True)
class Snapshot:
    """What undoes a change of the placing."""

    capacity: tuple[FloatArray, FloatArray, FloatArray]
    spent: FloatArray
    jobs: dict[int, tuple[list[Piece], float, bool, bool]]


@dataclass
class Placing:
    """The state of placing: what is taken so far, and by whom."""

    tables: Tables
    capacity: Capacity
    purses: Purses
    unit_price: FloatArray | None
    placement: Placement
    hints: dict[int, FloatArray] = field(default_factory=dict)
    """(T) Hours in which some jobs are within their budgets, what their starts cost left out."""

    @staticmethod
    def begin(
        tables: Tables, unit_price: FloatArray | None, budgets: tuple[Budget, ...], keys: tuple[str, ...]
    ) -> "Placing":
        """Nothing placed yet.

        Args:
            tables: The problem.
            unit_price: (P, T) Shadow prices of capacity that steer the choice.
            budgets: What the jobs may spend together.
            keys: (J) Keys of the jobs, by which budgets know them.
        """
        purses = Purses(tables, budgets, keys)
        return Placing(tables, Capacity(tables), purses, unit_price, Placement.empty(tables))

    def place(self, order: Asked) -> None:
        """Place jobs into what is left, first come first."""
        for part in order.chunks(_TOGETHER if self.capacity.bounded else _ALL_TOGETHER):
            group, one_by_one = part, False
            while len(group.rows):
                head = group.pick(np.arange(1)) if one_by_one else group
                left = self.choose(head)
                if one_by_one and len(left.rows):
                    left = self.choose(left, one_mode=True)
                # Where hardly any gets what it chose, all but the first choose in vain.
                one_by_one = one_by_one or len(left.rows) > _FEW * len(group.rows)
                group = left.then(group.pick(np.arange(len(head.rows), len(group.rows))))

    def snapshot(self, rows: list[int]) -> Snapshot:
        """What undoes whatever happens to these jobs from here on."""
        placement = self.placement
        jobs = {
            row: (placement.pieces[row], float(placement.short[row]), bool(placement.missed[row]), row in placement.cut)
            for row in rows
        }
        return Snapshot(self.capacity.copy(), self.purses.copy(), jobs)

    def restore(self, snapshot: Snapshot) -> None:
        """Undo what happened since."""
        self.capacity.put_back(snapshot.capacity)
        self.purses.put_back(snapshot.spent)
        for row, (pieces, short, missed, cut) in snapshot.jobs.items():
            self.placement.pieces[row], self.placement.short[row], self.placement.missed[row] = pieces, short, missed
            (self.placement.cut.add if cut else self.placement.cut.discard)(row)

    def release(self, rows: list[int]) -> None:
        """Take jobs out again."""
        for row in rows:
            self.capacity.release(row, self.placement.pieces[row])
            self.purses.pay_back(row, self.placement.pieces[row])
            self.placement.pieces[row], self.placement.short[row], self.placement.missed[row] = [], 0.0, False
            self.placement.cut.discard(row)

    def choose(self, group: Asked, one_mode: bool = False) -> Asked:
        """Let a group choose; returns those who have to choose again, and how much work they may ask for."""
        answers = respond(self.tables, self.capacity, group, self.unit_price, one_mode)
        work = group.work.copy()
        left: list[int] = []
        level: int | None = None
        for position, row in enumerate(group.rows.tolist()):
            # Once a job found its place taken, none of a lower priority may go before it.
            if level is not None and self.tables.priority[row] < level:
                left.append(position)
                continue
            want, window = answers.wants[position], answers.windows[position]
            short, missed = float(answers.short[position]), bool(answers.missed[position])
            if self.purses.short(row, want):
                one = within_budgets(self, group.pick(np.array([position])), _one(answers, position), one_mode)
                want, window, short, missed = one.wants[0], one.windows[0], float(one.short[0]), bool(one.missed[0])
            share = self.purses.share(row, want)
            if share < 1.0:
                # The budget allows less: the cheapest of the work, never more than that share of it.
                self.placement.cut.add(row)
                work[position] *= share * (1.0 - TOLERANCE)
                self.placement.short[row] += group.work[position] - work[position]
                if share > _NOTHING_LEFT:
                    left.append(position)
                continue
            pieces = self.capacity.claim(row, want, window)
            if pieces is None:
                left.append(position)
                level = int(self.tables.priority[row])
                self.placement.displaced.add(row)
                if group.busy is not None and want.starts is None:
                    work[position] -= self._some(row, want, window, group.busy[position])
                continue
            self._keep(row, want, pieces)
            self.placement.short[row] += short
            self.placement.missed[row] = missed
        busy = None if group.busy is None else group.busy[left]
        return Asked(group.rows[left], work[left], group.deadline[left], busy)

    def _some(self, row: int, want: Want, window: FloatArray, busy: BoolArray) -> float:
        """Give a job of many those of its slots that it can have; returns their work. It asks for the rest again."""
        part = self.capacity.fitting(row, want)
        pieces = self.capacity.claim(row, part, window) if len(part.slots) else None
        if pieces is None:
            return 0.0
        self._keep(row, part, pieces)
        busy[part.slots] = True
        return float((part.hours * self.tables.rate[row, part.modes]).sum())

    def _keep(self, row: int, want: Want, pieces: list[Piece]) -> None:
        self.purses.pay(row, want)
        had = self.placement.pieces[row]
        self.placement.pieces[row] = sorted([*had, *pieces], key=lambda piece: piece[2]) if had else pieces

    def take(self, order: Asked, first: dict[int, Want], *, overrun: bool = False) -> Asked:
        """Let the jobs take what the linear programme gave them; returns those for whom it does not fit.

        Args:
            order: The jobs.
            first: What it gave them.
            overrun: It found no way within the budgets that do not cut: what it gave overruns them least.
        """
        windows = self.tables.window(order.rows, order.deadline)
        left = []
        for position, row in enumerate(order.rows.tolist()):
            want, pieces = first.get(row), None
            if want is not None and self.tables.switch[row] > 0.0:
                want = self._joined(order.pick(np.array([position])), want)
            if want is not None and self._payable(row, want, overrun=overrun):
                pieces = self.capacity.claim(row, want, windows[position])
            if want is None or pieces is None:
                left.append(position)
                self.placement.displaced.add(row)
                continue
            self._keep(row, want, pieces)
        return order.pick(np.array(left, dtype=np.int64))

    def _payable(self, row: int, want: Want, *, overrun: bool) -> bool:
        return self.purses.share(row, want) >= 1.0 and (overrun or not self.purses.short(row, want))

    def _joined(self, one: Asked, want: Want) -> Want | None:
        """The best plan of a job within the hours of a wish that leaves out what starts cost; None where none is."""
        row, most = int(one.rows[0]), np.zeros(self.tables.slot_count)
        np.add.at(most, want.slots, want.hours)
        most[most > 0.0] += self.tables.switch[row]
        self.hints[row] = most
        asked = Asked(one.rows, one.work, one.deadline, most=most[None, :])
        answer = respond(replace(self.tables, surcharges=()), self.capacity, asked, self.unit_price)
        return None if answer.missed[0] else answer.wants[0]


def _one(answers: Responses, position: int) -> Responses:
    """The answer of one of them."""
    at = slice(position, position + 1)
    return Responses(answers.wants[at], answers.windows[at], answers.short[at], answers.missed[at])
