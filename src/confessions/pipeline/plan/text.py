"""What an experiment will take before anything is submitted, as text: jobs, tokens, GPU hours and disk, with the
arithmetic. What cannot be told is shown as `?` and named under the totals."""

from collections.abc import Sequence

from confessions.config import Config
from confessions.models.costs import CPU
from confessions.pipeline.plan import sizes
from confessions.pipeline.plan.plan import Plan


def render(plan: Plan) -> str:
    """The plan as text: jobs with tokens and hours, the throughputs behind them, disk, totals, what is not known."""
    jobs = plan.jobs()
    hours = {id(job): plan.hours(job) for job in jobs}
    table = [["rule", "model", "jobs", "prompt", "turn 1", "turn 2", "trained", "judge", "device", "hours"]]
    for job in jobs:
        counts = (job.prompt, job.turn1, job.turn2, job.trained, job.judged)
        busy = any(counts)
        time = _hours(hours[id(job)]) if busy else "-"
        table.append([job.rule, job.model or "-", str(job.n), *map(_count, counts), plan.devices(job), time])
    speeds = [["rule", "model", "device", "batch", "decode tok/s", "train tok/s", "prompt tok/s", "basis"]]
    for job in jobs:
        if job.turn1 or job.trained:
            rates = plan.rates(job)
            numbers = map(_rate, (rates.decode, rates.train if job.trained else 0, rates.prompt or 0))
            speeds.append([job.rule, job.model, plan.place(job.model), str(job.batch), *numbers, rates.basis])
    disk = sizes.disk(plan)
    disk_table = [["disk", "GB"], *([name, "?" if size is None else f"{size / 1e9:.2f}"] for name, size in disk)]
    totals = []
    for device in dict.fromkeys(plan.devices(job) for job in jobs):
        known = [hours[id(job)] for job in jobs if plan.devices(job) == device]
        least = "at least " if None in known else ""
        unit = "CPU hours (2 cores)" if device == CPU else f"GPU hours ({device})"
        totals.append(f"{least}{sum(h or 0 for h in known):.2f} {unit}")
    gigabytes = sum(size or 0 for _, size in disk) / 1e9
    totals.append(f"{'at least ' if any(s is None for _, s in disk) else ''}{gigabytes:.1f} GB of disk")
    unknown = sorted({job.model or "the judge" for job in jobs if hours[id(job)] is None})
    lines = [
        f"experiment {plan.config.experiment}: {sum(job.n for job in jobs)} jobs, "
        f"{sum(job.starts for job in jobs)} engine starts; turns at {plan.fill:.0%} of their limits",
        "", _aligned(table), "", _aligned(speeds), "", _aligned(disk_table), "",
        *sizes.too_large(plan),
        f"total: {'; '.join(totals)}",
    ]  # fmt: skip
    if any(plan.devices(job) == CPU for job in jobs):
        lines.append("CPU hours are of cores that no other job wants: beside others it takes longer")
    if unknown:
        lines.append(f"not counted, no throughput known: {', '.join(unknown)} (src/confessions/data/throughput.csv)")
    return "\n".join(lines)


SUMMARY = ("experiment", "GPU", "sampled", "trained", "GPU hours", "CPU hours (2 cores)", "disk, GB")


def summary(plan: Plan) -> list[str]:
    """One experiment as a row of the table in docs/costs.md; a `+` behind a number that leaves something out."""
    jobs, disk = plan.jobs(), sizes.disk(plan)
    hours = [(plan.devices(job), plan.hours(job)) for job in jobs if job.turn1 or job.trained or job.judged]
    gpu, cpu = ([h for place, h in hours if (place != CPU) == wanted] for wanted in (True, False))

    def total(numbers: Sequence[float | None], digits: int) -> str:
        return f"{sum(n or 0 for n in numbers):.{digits}f}{'+' * (None in numbers)}" if numbers else "-"

    return [
        plan.config.experiment,
        plan.device if gpu else "-",
        _count(sum(job.turn1 + job.turn2 for job in jobs)),
        _count(sum(job.trained for job in jobs)),
        total(gpu, 1),
        total(cpu, 2),
        total([size and size / 1e9 for _, size in disk], 1),
    ]


def table(config: Config, device: str, engine: str | None = None, fill: float = 1.0) -> str:
    """Every experiment's summary, as a Markdown table."""
    every = [config.model_copy(update={"experiment": name}) for name in config.experiments]
    rows = [SUMMARY, ["---"] * len(SUMMARY), *(summary(Plan(one, device, engine, fill)) for one in every)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _count(n: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= size:
            return f"{n / size:.2f}{letter}"
    return str(n) if n else "-"


def _rate(rate: float | None) -> str:
    return "?" if rate is None else f"{rate:,.0f}" if rate else "-"


def _hours(hours: float | None) -> str:
    return "?" if hours is None else f"{hours:.2f}"
