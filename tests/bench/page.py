"""ops/docs/bench.md, written from the reports in ops/docs/reports: `python -m tests.bench.page`.

Each report is what a command has written with `--json`; REPORTS says which. A figure is on the page because it is in a report.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

DOCS = Path(__file__).parents[2] / "ops" / "docs"
Report = Mapping[str, Any]


class Section(NamedTuple):
    """A report's title, the command that makes it, and its lines."""

    title: str
    command: str
    lines: Callable[[Report], Iterator[str]]


def page(folder: Path = DOCS / "reports") -> str:
    """The page, in Markdown, of the reports that are there."""
    lines = [
        "# Measured",
        "",
        "Written by `python -m tests.bench.page` from [the reports](reports), each made by the command that stands with it. Ratios and",
        "orders of magnitude travel; absolute seconds are those of 2 shared cores without a GPU.",
    ]
    for name, section in REPORTS.items():
        path = folder / f"{name}.json"
        if path.exists():
            report = json.loads(path.read_text())
            lines += ["", f"## {section.title}", "", f"`{section.command}`", "", *section.lines(report)]
    return "\n".join(lines) + "\n"


def _table(*rows: tuple[object, ...]) -> Iterator[str]:
    head, *body = rows
    yield f"| {' | '.join(map(str, head))} |"
    yield f"|{'---|' * len(head)}"
    for row in body:
        yield f"| {' | '.join(map(str, row))} |"


def _first_light(report: Report) -> Iterator[str]:
    yield f"{report['machine']}."
    yield ""
    yield from _table(
        ("`make demo` on a fresh clone", "seconds, the whole command", "e2e p50 s", "e2e p99 s"),
        *(
            (what, f"{run['seconds']:.1f}", f"{run['e2e_p50_seconds']:.2f}", f"{run['e2e_p99_seconds']:.2f}")
            for what, run in (
                ("first: downloads, set-up, start, the samples, stop", report["first"]),
                ("second: start, the samples, stop", report["second"]),
            )
        ),
    )
    many = report["many"]
    yield ""
    yield (
        f"{many['photos']} photos of {many['megapixels']:.0f} megapixels ({many['megabytes']:.0f} MB), scene_label, published at once: "
        f"**{many['photos_per_second']:.1f} photos/s** from the first upload until the last row could be queried "
        f"({many['elapsed_seconds']:.1f} s; e2e p50 {many['e2e_p50_seconds']:.1f} s, p99 {many['e2e_p99_seconds']:.1f} s, most of it "
        "waiting in Kafka behind the others)."
    )
    yield ""
    memory = many["memory_bytes"]
    yield from _table(
        ("process", f"most memory during the {many['photos']} photos, MiB"),
        *((name, f"{size / 2**20:.0f}") for name, size in memory.items()),
        ("together", f"{sum(memory.values()) / 2**20:.0f}"),
    )


def _admit(report: Report) -> Iterator[str]:
    yield (
        f"admit as it is, with its state, its transactions and its checks, against a bare confluent-kafka loop without any of them: "
        f"{report['events']:,} events, {report['batch_records']:,} a batch. **Ratio {report['ratio']:.2f}** in events a second "
        f"(median of {len(report['pairs'])} pairs), {report['ratio_cpu']:.2f} in CPU an event."
    )
    yield ""
    yield from _table(
        ("pair", "admit events/s", "CPU µs an event", "bare events/s", "CPU µs an event", "ratio"),
        *(
            (
                number,
                f"{pair['ours']['events_per_second']:,}",
                pair["ours"]["cpu_us_per_event"],
                f"{pair['bare']['events_per_second']:,}",
                pair["bare"]["cpu_us_per_event"],
                f"{pair['ratio']:.2f}",
            )
            for number, pair in enumerate(report["pairs"], 1)
        ),
    )
    yield from _profile(sorted(report["pairs"], key=lambda pair: pair["ratio"])[len(report["pairs"]) // 2])


def _profile(pair: Report) -> Iterator[str]:
    """Where the CPU of the median pair went."""
    ours, bare = pair["ours"], pair["bare"]
    loop, tasks = ours["cpu_us_by_thread"]["MainThread"], ours["cpu_us_by_thread"]["task"]
    agent, *rest = ours["cpu_us_by_step"].items()
    committing = sum(us for _, us in rest)
    others = {name: us for name, us in ours["cpu_us_by_thread"].items() if name not in {"MainThread", "task"}}
    yield ""
    yield "What each step of admit costs (the median pair):"
    yield ""
    yield from _table(
        ("step", "CPU µs an event"),
        agent,
        ("the rest of the loop: batches from the consumer, tasks, hooks", f"{loop - agent[1]:.2f}"),
        *rest,
        ("the rest of the task's thread: outputs to messages", f"{tasks - committing:.2f}"),
        *((f"thread {name}", us) for name, us in others.items()),
    )
    yield ""
    threads = ", ".join(f"{name} {us}" for name, us in bare["cpu_us_by_thread"].items())
    yield f"The bare loop's threads, in the same measure: {threads}."


def _restore(report: Report) -> Iterator[str]:
    yield (
        f"{report['entries']:,} entries of a state, restored from the changelog into an empty store: **{report['median_seconds']:.2f} s** "
        f"(median of {len(report['seconds'])}; at most {report['within_seconds']:.0f} s are allowed), {report['cpu_seconds']:.2f} s of CPU; "
        f"opened again where it is: {report['opened_again_seconds']:.3f} s. {report['store_bytes'] / 1e6:.0f} MB on disk."
    )


def _elastic(report: Report) -> Iterator[str]:
    worst, target = report["worst_stall_seconds"], report["target_seconds"]
    yield (
        f"admit under {report['rate']:,} events a second, a session of {report['session_seconds']:.0f} s: the longest that an event "
        f"waited from its append to the append of what admit made of it. {_accounted(report['accounting'])}"
    )
    yield ""
    yield from _table(
        ("when", "worst stall s", "target s"),
        *(
            (what, f"{worst[kind]:.2f}", f"{target[kind]:.0f}")
            for kind, what in (
                ("steady", "nothing happens"),
                ("planned", "1 → 4 → 1 workers, eight rolling restarts"),
                ("killed", "kill -9"),
            )
        ),
    )


def _three_brokers(report: Report) -> Iterator[str]:
    faults: dict[str, list[Report]] = {}
    for fault in report["faults"]:
        faults.setdefault(fault["fault"], []).append(fault)
    yield (
        f"Replication 3, min.insync.replicas 2, two admit workers under {report['rate']:,} events a second: "
        f"{len(report['faults'])} faults; the longest pause of a partition was {report['longest_pause_seconds']:.1f} s. "
        f"{_accounted(report['accounting'])}"
    )
    yield ""
    yield from _table(
        ("fault", "times", "longest pause s", "worst stall s"),
        *(
            (
                what,
                len(some),
                f"{max(each['longest_gap_seconds'] for each in some):.1f}",
                f"{max(each['worst_stall_seconds'] for each in some):.1f}",
            )
            for what, some in faults.items()
        ),
    )


def _accounted(accounting: Report) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in accounting.items()).capitalize() + "."


def _chaos(report: Report) -> Iterator[str]:
    yield (
        f"{report['kills']:,} kills in {len(report['seeds'])} rounds under load, {report['published']:,} records: **lost {report['lost']}, "
        f"duplicated {report['duplicated']}, mismatched tables {report['mismatched_tables']}**; {report['seconds'] / 60:.0f} minutes. "
        f"Besides: {', '.join(f'{what} {times}' for what, times in report['besides_kills'].items())}. "
        f"Left out of the comparison: {_excluded(report['excluded_columns'])}."
    )
    yield ""
    yield from _table(("killed at", "times"), *report["by_boundary"].items())
    yield ""
    yield from _table(("done besides", "times"), *report["by_boundary_besides"].items())


def _excluded(columns: Mapping[str, list[str]]) -> str:
    return "; ".join(f"{where}: {', '.join(names)}" for where, names in columns.items() if names) or "nothing"


def _teeth(report: Report) -> Iterator[str]:
    yield f"{len(report)} bugs, seeded one at a time; the same kills pass without them."
    yield ""
    yield from _table(
        ("bug", "caught within", "kills among them", "broken", "without it"),
        *(
            (
                bug["what"],
                f"{bug['deeds']} deeds" if bug["caught"] else "not caught",
                bug["kills"],
                bug["broken"],
                "exact" if bug["exact_without_it"] else "not exact",
            )
            for bug in report.values()
        ),
    )


def _leaving(report: Report) -> Iterator[str]:
    yield (
        f"{report['leaves']} workers told to end (SIGTERM), a session of {report['session_seconds']} s: {report['late']} took longer than half "
        f"of it, {report['unknown']} were members of their group still when they were gone."
    )
    yield ""
    yield from _table(
        ("while", "leaves", "median s", "most s"),
        *(
            (moment, each["leaves"], f"{each['median_seconds']:.2f}", f"{each['most_seconds']:.2f}")
            for moment, each in report["moments"].items()
        ),
    )


def _saturation(report: Report) -> Iterator[str]:
    sizes = ", ".join(map(str, report["megapixels"]))
    yield (
        f"Photos of {sizes} megapixels through everything, from photos.events to rows in ClickHouse, against a bare script that reads, decodes "
        "and asks Triton at the number of requests in flight that suits it best, without Kafka, state or ClickHouse. Broker, ClickHouse and "
        "workers share the processors with Triton here: what they cost a photo (the tables below) is what the ratio lacks to 1."
    )
    for each in report["sets"]:
        sweep, copies = each["sweep"], each["copies"]
        yield ""
        yield (
            f"**{', '.join(each['models'])}: ratio {each['ratio']:.2f}** in photos a second (median of {len(each['pairs'])} pairs of "
            f"{each['photos']} photos); Triton alone, on ready tensors: {each['triton_alone']:.1f} photos/s. With a third copies "
            f"({copies['events']} events, {copies['contents']} contents): {copies['calls_per_content']:.4f} calls a content."
        )
        yield ""
        yield from _table(
            ("pair", "bare photos/s", "whole photos/s", "ratio"),
            *(
                (number, f"{pair['bare']:.1f}", f"{pair['whole']:.1f}", f"{pair['ratio']:.2f}")
                for number, pair in enumerate(each["pairs"], 1)
            ),
        )
        yield ""
        yield from _table(("in flight (bare)", "photos/s"), *((many, f"{rate:.1f}") for many, rate in sweep.items()))
        yield ""
        yield from _table(("stage", "CPU ms a photo"), *((stage, f"{ms:.1f}") for stage, ms in each["cpu_ms"].items()))


REPORTS = {
    "first_light": Section("The first quarter of an hour", "make bench", _first_light),
    "admit": Section("admit against a bare loop", "safelight bench admit --json FILE", _admit),
    "saturation": Section("The pipeline against a bare script", "safelight bench saturation --json FILE", _saturation),
    "restore": Section("A million entries restored", "python -m tests.bench.restore --json FILE", _restore),
    "elastic": Section("Workers come and go", "python -m tests.bench.elastic --json FILE", _elastic),
    "three_brokers": Section("Brokers die", "python -m tests.chaos.three_brokers --json FILE", _three_brokers),
    "leaving": Section("Leaving", "python -m tests.chaos.leaving --count 200 --json FILE", _leaving),
    "chaos": Section(
        "Killed at every boundary", "safelight chaos --kills 1000 --rounds 5 --seed 1 --json FILE", _chaos
    ),
    "teeth": Section("The judge has teeth", "safelight chaos --teeth --seed 1 --json FILE", _teeth),
}


def main() -> None:
    """Write it."""
    (DOCS / "bench.md").write_text(page())
    sys.stdout.write(f"{DOCS / 'bench.md'}\n")


if __name__ == "__main__":
    main()
