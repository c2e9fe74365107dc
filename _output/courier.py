"""
Reports of Courier hosts, readable in a terminal
================================================

Used by the execution module ``courier`` by itself. ``--out=json`` shows the same data for programs, ``--out=nested``
Salt's own view of it. A master shows this view after ``salt-run saltutil.sync_output``; before, it shows Salt's own.

CLI Example:

.. code-block:: bash

    salt '*' courier.audit
"""

import textwrap

import salt.output
import salt.utils.color

__virtualname__ = "courier"

_WIDTH = 100
_COLOURS = {"critical": "LIGHT_RED", "high": "RED", "medium": "YELLOW", "low": "CYAN"}


def __virtual__():
    return __virtualname__


def output(data, **kwargs):  # pylint: disable=unused-argument
    """
    The text for the terminal.

    data
        Returns by minion.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.audit --out=courier
    """
    colours = salt.utils.color.get_colors(__opts__.get("color"))
    if not isinstance(data, dict):
        return str(data)
    return "\n".join(_host(str(name), returned, colours) for name, returned in data.items())


def _host(name, returned, colours):
    if isinstance(returned, str):
        return f"{name}:\n{returned}"
    if isinstance(returned, dict) and {"courier", "findings", "unknown", "clear"} <= returned.keys():
        return "\n".join(_report(name, returned, colours))
    if isinstance(returned, dict) and {"read", "issues", "unexplained", "unknown"} <= returned.keys():
        return "\n".join(_diagnosis(name, returned, colours))
    if isinstance(returned, dict) and {"changes", "comment", "findings_before"} <= returned.keys():
        return "\n".join(_repair(name, returned, colours))
    if isinstance(returned, list) and returned and all("run" in row and "state" in row for row in returned):
        return "\n".join(_history(name, returned, colours))
    return salt.output.out_format({name: returned}, "nested", __opts__)


def _report(name, report, colours):
    """Lines of an audit: the gravest first, then what was not looked at, then what is in order."""
    courier = report["courier"]
    if not courier["installed"]:
        yield f"{name}: Courier is not installed" + ("" if courier["root"] == "/" else f" below {courier['root']}")
        return
    counts = f"{len(report['findings'])} found, {len(report['unknown'])} unknown, {len(report['clear'])} clear"
    where = "" if courier["root"] == "/" else f", root {courier['root']}"
    version, library = courier["version"] or "(version unknown)", courier["tls"] or "(unknown)"
    yield f"{name}: Courier {version}, TLS by {library}{where}: {counts}"
    for finding in report["findings"]:
        colour = colours[_COLOURS[finding["severity"]]]
        yield ""
        yield f"  {colour}{finding['severity'].upper():9}{colours['ENDC']}{finding['title']}"
        yield from _field("where", finding["where"])
        yield from _field("what", finding["detail"])
        if "log" in finding:
            yield from _field("log", f"{_lines(finding['log'])}: {finding['log']['sample']}")
        yield from _field("repair", finding["fix"] or "by hand, see the article")
        yield from _field("article", finding["article"])
    if report["unknown"]:
        yield ""
        yield "  not looked at"
        # Under a root, or without authdaemon, many are not, and for the same reason.
        reasons = {}
        for unknown in report["unknown"]:
            reasons.setdefault(unknown["reason"], []).append(unknown["id"])
        for reason, issues in reasons.items():
            yield from _wrapped("    ", f"{reason}:")
            yield from _wrapped("        ", ", ".join(issues))
    if report["clear"]:
        yield ""
        yield from _wrapped("  clear: ", ", ".join(report["clear"]))
    for reason in report.get("log", {}).get("unknown", ()):
        yield from _wrapped("  log: ", reason)


def _diagnosis(name, report, colours):
    """Lines of a diagnosis: problems that speak in the log, the gravest first; then what nobody knows."""
    read = ", ".join(report["read"]) or "nothing"
    yield from _wrapped(f"{name}: ", f"{_count(len(report['issues']), 'known problem')} in the log (read: {read})")
    for row in report["issues"]:
        yield ""
        yield f"  {colours[_COLOURS[row['severity']]]}{row['severity'].upper():9}{colours['ENDC']}{row['title']}"
        yield from _field("lines", _lines(row))
        yield from _field("sample", row["sample"])
        if row["shared_with"]:
            yield from _field("shared", f"{'all' if not row['alone'] else 'some'} with {', '.join(row['shared_with'])}")
            yield from _field("tell", row["tell"])
        yield from _field("article", row["article"])
    if report["unexplained"]:
        yield ""
        yield f"  look like errors, and belong to no known problem: {_count(report['unexplained_lines'], 'line')}"
        for row in report["unexplained"]:
            yield from _wrapped(f"    {row['count']:7} ", row["sample"])
    for reason in report["unknown"]:
        yield from _wrapped("  not read: ", reason)


def _lines(tally):
    times = [time for time in (tally["first"], tally["last"]) if time]
    return _count(tally["count"], "line") + (f", {' to '.join(dict.fromkeys(times))}" if times else "")


def _count(number, word):
    return f"{number} {word}{'' if number == 1 else 's'}"


def _repair(name, outcome, colours):
    """Lines of a repair: what changed, what was left, how to take it back."""
    before, after = outcome["findings_before"], outcome["findings_after"]
    yield f"{name}: {before} found" + ("" if before == after else f" before, {after} after")
    for subject, change in sorted(outcome["changes"].items()):
        yield f"  {colours['GREEN']}{subject}{colours['ENDC']}"
        if isinstance(change, dict) and {"old", "new"} <= change.keys():
            yield from _field("old", str(change["old"]))
            yield from _field("new", str(change["new"]))
        else:
            yield from _field("", str(change))
    for unknown in outcome.get("unknown", ()):
        yield from _wrapped(f"  not looked at: {unknown['id']}: ", unknown["reason"])
    # What was withheld or refused, and what failed, is in the comment.
    for line in outcome["comment"].splitlines():
        yield from _wrapped("  ", line)
    if "run" in outcome and outcome["changes"]:
        yield f"  take it back: courier.undo {outcome['run']}"


def _history(name, runs, colours):
    """Lines of the repairs, the newest first."""
    yield f"{name}: {len(runs)} repair{'' if len(runs) == 1 else 's'}, the newest first"
    for run in runs:
        yield ""
        yield f"  {colours['GREEN']}{run['run']}{colours['ENDC']}  {run['time']}  {run['state']}"
        if run.get("failed"):
            yield from _wrapped("    failed: ", run["failed"])
        for subject, change in sorted(run["changes"].items()):
            yield from _wrapped(f"    {subject}: ", f"{change['old']} -> {change['new']}")


def _field(title, text):
    for number, line in enumerate(text.splitlines() or [""]):
        yield from _wrapped(f"    {title if not number else '':9}", line)


def _wrapped(head, text):
    # Addresses and paths are for copying: a long one is not broken.
    lines = textwrap.wrap(text, _WIDTH - len(head), break_long_words=False, break_on_hyphens=False) or [""]
    yield head + lines[0]
    for line in lines[1:]:
        yield " " * len(head) + line
