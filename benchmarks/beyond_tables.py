"""The README's tables of drift, of scoring over several processes, and of what it would take for many pictures."""

from __future__ import annotations

from typing import Any


def beyond_tables(
    drift: dict[str, Any], spread: dict[str, Any], overhead: dict[str, Any], capacity: dict[str, Any]
) -> str:
    """What is found of drift and told without labels, what spreading costs, and how long large folders take."""
    return "\n\n".join([_found(drift), _told(drift), _spread(spread, overhead["figures"]), _capacity(capacity)])


def _found(record: dict[str, Any]) -> str:
    figures = record["figures"]
    sizes = list(figures["false_alarms"])
    lines = [
        f"Drift of solar cells, share of batches that alarm; {figures['test_pictures']} test pictures, "
        f"{record['n']} clean batches a size (stated false alarms {figures['false_alarm_share_stated']}), 100 others; "
        f"{record['date']}:",
        "",
        "| batch | " + " | ".join(f"{int(n):,} pictures" for n in sizes) + " |",
        "|---|" + "---|" * len(sizes),
        "| clean | " + " | ".join(f"{figures['false_alarms'][n]:.3f}" for n in sizes) + " |",
    ]
    lines += [
        f"| {name} | " + " | ".join(f"{row[n]:.2f}" for n in sizes) + " |" for name, row in figures["found"].items()
    ]
    return "\n".join(lines)


def _told(record: dict[str, Any]) -> str:
    lines = [
        "What is told without labels, of the same batches (targets: accuracy and shares of classes within 0.03 where "
        "they are told):",
        "",
        "| batch, its pictures, test pictures | accuracy told | its error | within 0.03 | mix told "
        "| its error (largest of a class) | accuracy gained by the correction |",
        "|---|---|---|---|---|---|---|",
    ]
    for size, cases in record["figures"]["without_labels"].items():
        lines += [_told_row(f"{name}, {size}", row) for name, row in cases.items()]
    return "\n".join(lines)


def _told_row(name: str, row: dict[str, Any]) -> str:
    numbers = [
        f"{row['accuracy_told_share']:.2f}",
        _number(row["accuracy_mean_error"]),
        _number(row["accuracy_within_3_points"], 2),
        f"{row['mix_told_share']:.2f}",
        f"{_number(row['mix_mean_error'])} ({_number(row['mix_mean_largest_error'])})",
        _number(row["accuracy_gained"]),
    ]
    return f"| {name} | " + " | ".join(numbers) + " |"


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _spread(record: dict[str, Any], overhead: dict[str, Any]) -> str:
    figures = record["figures"]
    return (
        f"{figures['files']:,} pictures by {figures['tasks']} tasks of {figures['seconds_a_task']:.0f} s on 2 local "
        f"processes of Dask, against threads on the same cores: {figures['dask_over_threads']:.3f} times the wall time "
        f"(target 1.1), the same table: {'yes' if figures['same_table'] else 'NO'}. A task costs "
        f"{overhead['empty_task_s'] + overhead['open_bundle_s']:.2f} s beyond its files, "
        f"{overhead['share_of_60_s']:.2%} of 60 s (target 1 %)."
    )


def _capacity(record: dict[str, Any]) -> str:
    figures = record["figures"]
    workers = list(next(iter(figures["hours"].values())))
    lines = [
        f"Hours by the cost model, workers of 2 cores with Lite0 in integers at "
        f"{figures['worker_per_s']['lite0 in integers, png']:.0f} pictures/s; the one process that plans and commits "
        f"takes {figures['alone_us_a_file']:.0f} µs a file, which keeps {figures['workers_kept_busy']} workers busy:",
        "",
        "| pictures | " + " | ".join(f"{n} workers" for n in workers) + " |",
        "|---|" + "---|" * len(workers),
    ]
    lines += [
        f"| {size} | " + " | ".join(f"{row[n]:.1f}" for n in workers) + " |" for size, row in figures["hours"].items()
    ]
    return "\n".join(lines)
