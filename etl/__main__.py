"""The command line: it runs the stages without Airflow.

Exit codes: 0 done, 1 the work failed (each failure is a line on stderr), 2 wrong usage or configuration.
"""

import json
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from etl import periods, pipeline, settings, status_page
from etl.errors import AnalyticsError, ConfigurationError, LandingError
from etl.printing import Output, StatusOutput, print_rows, progress, say

app = typer.Typer(
    name="python -m etl",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

LONGEST_SPAN = timedelta(days=3660)


def _day(text: str) -> date:
    try:
        return periods.parse_day(text)
    except ConfigurationError as error:
        raise typer.BadParameter(str(error)) from None


_Day = Annotated[date | None, typer.Option(parser=_day, metavar="DAY")]
_Format = Annotated[Output, typer.Option("--format", help="How to print.")]
_Timezone = Annotated[str, typer.Option(help="IANA name of the zone whose days are meant.")]


def _verb(function: Callable[..., int | None]) -> Callable[..., None]:
    """Make a command of a function. An error becomes one line on stderr and an exit code, never a traceback."""

    @wraps(function)
    def command(*arguments: Any, **options: Any) -> None:
        try:
            _require_clean(options)
            code = function(*arguments, **options) or 0
        except ConfigurationError as error:
            say(f"error: {error}")
            code = 2
        except AnalyticsError as error:
            say(f"error: {error}")
            code = 1
        except BrokenPipeError:  # the program that reads the output has ended, as head does; Typer handles it
            raise
        except OSError as error:
            where = error.filename or "the system"
            say(f"error: {where}: {error.strerror or error}; see that there is room and permission")
            code = 1
        except Exception as error:
            if pipeline.is_defect(error):
                raise
            say(f"error: {pipeline.cure_of(error)}")
            code = 1
        raise typer.Exit(code)

    return command


def _require_clean(options: dict[str, Any]) -> None:
    for name, value in options.items():
        texts = value if isinstance(value, list) else [value]
        if not all(settings.is_clean(str(text)) for text in texts if isinstance(text, str | Path)):
            raise ConfigurationError(
                f"{name} holds control characters, or bytes that are no text; write it without them"
            )


@app.callback()
def start() -> None:
    """Statistics of certificates and badges, from e-mail event logs and tracking pixels to the issuer's inbox."""
    pipeline.start_process()


@app.command()
@_verb
def check() -> int:
    """Read the configuration, try every connection, and name what is wrong.

    Example: [bold]python -m etl check[/]
    """
    context = pipeline.open_context(settings.from_environment)
    failures = 0
    for name, finding, is_well in pipeline.findings(context, datetime.now(UTC)):
        print(f"{'ok ' if is_well else 'BAD'} {name}: {finding}")
        failures += not is_well
    return int(failures > 0)


@app.command()
@_verb
def normalise(
    paths: Annotated[list[Path], typer.Argument(help="Raw files: plain, .gz or .zst.")],
    format: Annotated[str, typer.Option("--format", help=f"One of {', '.join(pipeline.FORMATS)}.")],
    pixel_path: Annotated[str, typer.Option(help="Path of the tracking pixel, for access logs.")] = "/px.gif",
    rejects: Annotated[Path | None, typer.Option(help="Where to write the rejects, as NDJSON.")] = None,
) -> int:
    """Show what a payload becomes: print every event as a line of JSON, duplicates included.

    Example: [bold]python -m etl normalise --format sendgrid --rejects rejects.ndjson events.json.gz[/]
    """
    if format not in pipeline.FORMATS:
        raise ConfigurationError(f"unknown format {format!r}; there are {', '.join(pipeline.FORMATS)}")
    source = settings.files_of(format, pixel_path)
    with pipeline.explain(paths, source, today=datetime.now(UTC).date()) as explanation:
        for _, event in explanation.events:
            sys.stdout.write(f"{event}\n")
        if rejects:
            with rejects.open("w", encoding="utf-8") as file:
                file.writelines(_reject(*reject) for reject in explanation.rejects)
        for path, reason in explanation.unreadable.items():
            say(f"error: {path} cannot be read: {reason}")
        counts = explanation.counts
        say(f"events {counts.event + counts.duplicate}, rejects {counts.reject}, ignored {counts.ignored}")
        return int(bool(explanation.unreadable))


def say_outcome(outcome: object) -> None:
    """Print the result or the failure of one slice or report, and a warning for everything unusual."""
    say(f"error: {outcome}" if isinstance(outcome, AnalyticsError) else str(outcome))
    if isinstance(outcome, pipeline.SliceResult):
        for warning in outcome.warnings:
            say(f"warning: {outcome.source} {outcome.day}: {warning}")


def _reject(file: str, line: int, reason: str, raw: str) -> str:
    cut = raw.encode()[:4096].decode(errors="ignore")
    return json.dumps({"file": file, "line": line, "reason": reason, "raw": cut}, ensure_ascii=False) + "\n"


@app.command()
@_verb
def nightly(
    day: Annotated[
        date,
        typer.Option(parser=_day, metavar="DAY", help="The UTC day, or the first of several."),
    ],
    to: _Day = None,
    source: Annotated[list[str] | None, typer.Option(help="Only this source; may be given again.")] = None,
    from_landing: Annotated[
        bool, typer.Option("--from-landing", help="Re-read what was landed, pulling nothing.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Let a slice shrink, or become empty.")] = False,
) -> int:
    """Bring the registry and the slices of some UTC days into the warehouse. Any run can be repeated, in any order.

    Example: [bold]python -m etl nightly --day 2026-11-01 --to 2026-11-30 --source sendgrid[/]
    """
    last = to or day
    if last < day:
        raise ConfigurationError("--to lies before --day; the days go forward")
    if last - day > LONGEST_SPAN:
        raise ConfigurationError(f"--to lies over {LONGEST_SPAN.days} days after --day; bring fewer days at a time")
    context = pipeline.open_context(settings.from_environment)
    wanted = pipeline.slices_to_bring(context, source, day, last, from_landing=from_landing)
    failures = _bring_registry(context, from_landing=from_landing, replace=replace)
    with progress(len(wanted), "slices") as advance:

        def report(outcome: pipeline.SliceResult | AnalyticsError) -> None:
            say_outcome(outcome)
            advance()

        failures += pipeline.bring(
            context, wanted, from_landing=from_landing, replace=replace, now=datetime.now(UTC), report=report
        )
    status_page.publish(context, datetime.now(UTC))
    return int(failures > 0)


def _bring_registry(context: pipeline.Context, *, from_landing: bool, replace: bool) -> int:
    """Load the registry, and print its rows and warnings; return 1 where it failed, so that the slices go on."""
    try:
        brought = pipeline.pull_registry(context, from_landing=from_landing, replace=replace)
    except (ConfigurationError, LandingError):  # these would stop every slice too
        raise
    except AnalyticsError as error:
        say(f"error: {error}")
        return 1
    say(f"registry: {brought.counts.event} rows, {brought.counts.reject} left out")
    for warning in brought.warnings:
        say(f"warning: registry: {warning}")
    return 0


@app.command()
@_verb
def rebuild(
    first: Annotated[
        date | None,
        typer.Option("--from", parser=_day, metavar="DAY", help="The first UTC day; without it the oldest."),
    ] = None,
    to: Annotated[
        date | None, typer.Option(parser=_day, metavar="DAY", help="The last UTC day; without it the newest.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Let a slice shrink, or become empty.")] = False,
) -> int:
    """Make the warehouse hold what the landing has: after a new release or format, in another engine, with another key.

    Nothing is pulled. What the warehouse holds already is left alone, so a rebuild that was stopped goes on where it was.

    Example: [bold]python -m etl rebuild[/], or for some days [bold]python -m etl rebuild --from 2026-11-01 --to 2026-11-30[/]
    """
    if first and to and to < first:
        raise ConfigurationError("--to lies before --from; the days go forward")
    context = pipeline.open_context(settings.from_environment)
    wanted = pipeline.slices_to_rebuild(context, first, to)
    if not wanted:
        raise LandingError(context.landing.url, "it has no slice of those days")
    failures = _bring_registry(context, from_landing=True, replace=replace)
    with progress(len(wanted), "slices") as advance:

        def report(outcome: pipeline.SliceResult | AnalyticsError | None) -> None:
            if outcome:
                say_outcome(outcome)
            advance()

        done = pipeline.rebuild(context, wanted, replace=replace, now=datetime.now(UTC), report=report)
    say(f"rebuild: {done.loaded} slices loaded, {done.held} were loaded already, {done.failed} failed")
    status_page.publish(context, datetime.now(UTC))
    return int(failures + done.failed > 0)


@app.command("statistics")
@_verb
def statistics_(
    as_of: Annotated[date, typer.Option(parser=_day, metavar="DAY", help="The last day that counts.")],
    timezone: _Timezone = "UTC",
    issuer: Annotated[str | None, typer.Option(help="Only this issuer's certificates.")] = None,
    certificate: Annotated[str | None, typer.Option(help="Only this certificate.")] = None,
    format: _Format = Output.table,
) -> None:
    """Print the metric catalogue of every certificate, as it was at the end of a day.

    Example: [bold]python -m etl statistics --as-of 2026-11-30 --timezone Europe/Berlin --format json[/]
    """
    context = pipeline.open_context(settings.from_environment)
    print_rows(pipeline.list_catalogue(context, as_of, timezone, issuer, certificate), format)


@app.command()
@_verb
def recipients(
    certificate: Annotated[str, typer.Option(help="Whose recipients.")],
    as_of: Annotated[date, typer.Option(parser=_day, metavar="DAY", help="The last day that counts.")],
    timezone: _Timezone = "UTC",
    format: _Format = Output.table,
) -> None:
    """Print every recipient of a certificate with the furthest state reached.

    Example: [bold]python -m etl recipients --certificate c1 --as-of 2026-11-30 --format csv[/]
    """
    context = pipeline.open_context(settings.from_environment)
    print_rows(pipeline.list_recipients(context, as_of, timezone, certificate), format)


@app.command()
@_verb
def slices(
    first: Annotated[date | None, typer.Option("--from", parser=_day, metavar="DAY")] = None,
    to: _Day = None,
    format: _Format = Output.table,
) -> None:
    """Print what the warehouse holds of each source and day, what is missing, and why.

    Example: [bold]python -m etl slices --from 2026-11-01[/]
    """
    context = pipeline.open_context(settings.from_environment)
    rows = pipeline.list_slices(context, first, to)
    print_rows(rows, format)


@app.command()
@_verb
def status(format: Annotated[StatusOutput, typer.Option("--format", help="How to print.")] = StatusOutput.table) -> int:
    """Show the state of the nights on one screen, and write it as status.html into the landing.

    The exit code is 1 where something needs a person. Example: [bold]python -m etl status[/]
    """
    context = pipeline.open_context(settings.from_environment)
    found = pipeline.nights_status(context, datetime.now(UTC))
    pipeline.keep_status_page(context, status_page.html(found))
    if format is StatusOutput.json:
        print_rows([dict(found)], Output.json)
    else:
        sys.stdout.write(status_page.text(found))
    return int(bool(found["troubles"]))


@app.command()
@_verb
def reports(
    as_of: _Day = None,
    subscription: Annotated[str | None, typer.Option(help="Only this subscription.")] = None,
    period: Annotated[
        str | None, typer.Option(help="2026-11, 2026-W47 or 2026-11-23; without it, what is due.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Where the files go.")] = Path("reports"),
    send: Annotated[bool, typer.Option("--send", help="Send them, each once.")] = False,
    test_to: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Send them to this address alone, as tests.")
    ] = None,
    resend: Annotated[
        bool, typer.Option("--resend", help="With --send: again what was sent, refused or in doubt.")
    ] = False,
) -> int:
    """Render the reports that are due, or those of a period, and send them. An index.html leads to all of them.

    Example: [bold]python -m etl reports --period 2026-11 --subscription s1 --output out --test-to me@example.com[/]
    """
    context = pipeline.open_context(settings.from_environment)
    now = datetime.now(UTC)
    request = pipeline.ReportRequest(subscription, period, as_of, send=send, test_to=test_to, resend=resend)
    plan = pipeline.plan_reports(context, request, now)
    pipeline.record_plan(context, plan, now, send=send)
    for notice in plan.notices:
        say(notice)
    if not plan.reports:
        say("no report is due; name one with --period")
        return 0
    pipeline.land_figures(context, plan.reports, now.date())
    with progress(len(plan.reports), "reports") as advance:

        def report(outcome: str | AnalyticsError) -> None:
            say_outcome(outcome)
            advance()

        failures = pipeline.make_reports(
            context, plan.reports, request, output, report, lambda warning: say(f"warning: {warning}"), processes=None
        )
    return int(failures > 0)


@app.command()
@_verb
def waive(
    source: Annotated[str | None, typer.Option(help="Whose slice.")] = None,
    day: Annotated[date | None, typer.Option(parser=_day, metavar="DAY", help="The UTC day.")] = None,
    reason: Annotated[str | None, typer.Option(help="What reports print of it.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Expect the slice again.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Print what is waived.")] = False,
) -> None:
    """Record that a slice will never come, so that it holds no report back. Reports print the reason.

    Example: [bold]python -m etl waive --source sendgrid --day 2026-11-12 --reason "provider outage"[/]
    """
    context = pipeline.open_context(settings.from_environment)
    if list_:
        print_rows(pipeline.list_waivers(context), Output.table)
    elif source is None or day is None or (reason is None) != undo:
        raise ConfigurationError("give --source and --day, and either --reason or --undo; or --list alone")
    else:
        say(pipeline.undo_waiver(context, source, day) if undo else pipeline.waive(context, source, day, reason or ""))


@app.command()
@_verb
def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; say what would be removed.")] = False,
) -> None:
    """Remove what has reached its age from the landing: raw files, old versions, reports, scratch files.

    Example: [bold]python -m etl retention --dry-run[/]
    """
    result = pipeline.expire(pipeline.open_context(settings.from_environment), datetime.now(UTC), dry_run=dry_run)
    say(f"{'would be removed' if dry_run else 'removed'}: {pipeline.described(result)}")


@app.command()
@_verb
def unsubscribe(token: Annotated[str, typer.Argument(help="The last part of a report's unsubscribe address.")]) -> None:
    """End the mails of a subscription, as the one-click unsubscribe address must. A second call changes nothing.

    Example: [bold]python -m etl unsubscribe czE.4fY0...[/]
    """
    pipeline.unsubscribe(pipeline.open_context(settings.from_environment), token)


if __name__ == "__main__":
    app()
