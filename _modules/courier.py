"""
Find, explain and repair the known problems of Courier Mail Server hosts
========================================================================

:depends: cryptography
:platform: Linux

Every problem is one file of ``courierlib.issues``: article, check and repair. This module only hands them what Salt
knows of the host, and hands the result back.

.. code-block:: bash

    salt '*' courier.audit
    salt '*' courier.fix dh-params-weak test=True
"""

import datetime
import os
import sys

# A synced helper stays in sys.modules once a beacon, a grain or ``multiprocessing: False`` has imported it in the
# parent: without this, a new version of this module would run the old library.
for _name in [name for name in sys.modules if name == "courierlib" or name.startswith("courierlib.")]:
    del sys.modules[_name]

import salt.exceptions  # noqa: E402
import salt.utils.args  # noqa: E402
import salt.utils.systemd  # noqa: E402

import courierlib  # noqa: E402
import courierlib.apply as engine  # noqa: E402
import courierlib.audit as auditor  # noqa: E402
import courierlib.catalogue as catalogue  # noqa: E402
import courierlib.diagnosis as diagnosis  # noqa: E402
import courierlib.evidence as evidence  # noqa: E402
import courierlib.explain as explanation  # noqa: E402
import courierlib.host as hosts  # noqa: E402
import courierlib.issue as vocabulary  # noqa: E402
import courierlib.logsources as logsources  # noqa: E402
import courierlib.replace as replacement  # noqa: E402
import courierlib.services as managers  # noqa: E402

__virtualname__ = "courier"

_COURIERLIB = "0.1.0"
"""The version of courierlib that this module was made with."""

__outputter__ = dict.fromkeys(
    (
        "audit",
        "check",
        "check_dh",
        "check_maildrop",
        "check_pem_eol",
        "check_processes",
        "check_services",
        "diagnose",
        "ensure_maildrop",
        "ensure_services",
        "explain",
        "fix",
        "fix_dh",
        "fix_pem_eol",
        "fix_processes",
        "history",
        "info",
        "list_issues",
        "undo",
    ),
    "courier",
)

_DH = ("dh-params-weak", "dh-params-unusable")
_PEM = ("pem-line-ends", "pem-unreadable")
_MAILDROP = ("maildrop-home-directory", "maildrop-bounces-virtual-users", "maildrop-spool-delivery")
_SERVICES = ("courierd-not-running",)
_PROCESSES = ("stale-daemon-processes",)

_COMMAND_SECONDS = 60


def __virtual__():
    if courierlib.__version__ != _COURIERLIB:
        return (
            False,
            f"courier: this module is {_COURIERLIB}, but courierlib in {os.path.dirname(courierlib.__file__)} is "
            f"{courierlib.__version__}: saltext-courier is both installed with pip and synced; keep one of them",
        )
    return __virtualname__


def audit(issues=None, skip=None, root=None, severity=None, log=True, test=None):
    """
    Look for every known problem. Nothing is changed.

    issues
        Ids, components (``tls``, ``auth``, …) or severities (findings from that one up), a list or separated by commas;
        or ``all``, which is the default.

    skip
        Ids or components to leave out.

    root
        A directory tree (image, backup, container) to audit instead of this host; nothing in it is run. What needs the
        running system is then ``unknown``.

    severity
        Report findings from this severity up: ``low`` (default), ``medium``, ``high``, ``critical``.

    log
        Read what is new in this host's mail log, and add to a finding what its problem has logged, until it was silent
        for seven days. The first time, the log of the last day is read. False leaves the log alone.

    test
        Do not remember how far the log was read; nothing else is ever changed. Default: the minion's ``test`` option.

    Returns a dictionary: ``courier`` (installed, version, tls, root), ``findings`` (id, severity, title, where, detail,
    fix, article; the gravest first), ``unknown`` (id, reason) and ``clear`` (ids). A few problems are found by their
    lines in the log, for a day. A finding of which the log speaks also has ``log`` (count, first, last, sample), and
    where the log was read ``log`` says what of it (``read``), and what could not be (``unknown``). The return code is 2
    if anything reported is ``high`` or above.

    Raises SaltInvocationError for an id, a severity or a root that does not exist.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.audit
        salt '*' courier.audit severity=high --out=json
        salt-call courier.audit root=/srv/backup/mx1
    """
    threshold = _severity(severity)
    left_out = _skipped(skip) if skip else {}
    least = _selected("all" if issues is None else issues)
    entries = [catalogue.load()[issue] for issue in least if issue not in left_out]
    host = _host(root)
    try:
        result = auditor.report(host, entries, _kb_url(), threshold, least)
        if _flag("log", log) and host.root == "/" and host.installed:
            _add_log(result, host, entries, threshold, least, remember=not _test(test))
    except vocabulary.Unknown as failed:
        raise salt.exceptions.CommandExecutionError(failed.reason) from None
    grave = {word.word for word in vocabulary.Severity if word >= vocabulary.Severity.HIGH}
    if any(finding["severity"] in grave for finding in result["findings"]):
        __context__["retcode"] = 2
    return result


def check(issues, root=None):
    """
    Look for one problem, or several. Nothing is changed.

    issues
        As in ``courier.audit``.

    root
        As in ``courier.audit``.

    Returns what ``courier.audit`` returns.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.check dh-params-weak
        salt '*' courier.check tls
        salt '*' courier.check dh-params-weak,pem-unreadable
    """
    return audit(issues=_words("issues", issues), root=root, log=False)


def fix(issues, test=None, allow=None, **options):
    """
    Repair one problem, or several, in one go: each service is restarted once.

    issues
        Ids, components (``tls``, ``auth``, …) or severities (findings from that one up), a list or separated by commas;
        or ``all``: what needs neither ``allow`` nor a choice is then repaired.

    test
        Only say what would change. Default: the minion's ``test`` option.

    allow
        What may be done although it could lose mail or weaken a protection, as the report names it; a list or
        separated by commas.

    options
        Choices that a repair offers, for instance ``strategy=maildir`` or ``group=ffdhe4096``; the articles list them.

    Returns a dictionary: ``changes``, ``comment``, ``findings_before``, ``findings_after``; where there are any, also
    ``withheld`` (what was not done, and what would allow it), ``refused`` (what would not have been safe, and why),
    ``unknown``, ``failed`` (what went wrong; the return code is then 1) and ``run`` (for ``courier.undo``). What
    failed is rolled back; a service that was down before and cannot be started is given up alone.

    Raises CommandExecutionError if nothing could be begun, for instance because another repair is at work, and
    SaltInvocationError for wrong arguments.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.fix dh-params-weak test=True
        salt '*' courier.fix maildrop-home-directory strategy=maildir
        salt '*' courier.fix tls,critical
        salt '*' courier.fix all
    """
    return _fix(issues, test, allow, options)


def list_issues():
    """
    The known problems by id: title, severity, component, article's address, and the function that repairs it if any.

    CLI Example:

    .. code-block:: bash

        salt-call courier.list_issues
    """
    return {
        entry.id: {
            "title": entry.title,
            "severity": entry.issue.severity.word,
            "component": entry.issue.component,
            "fix": entry.fixed_by,
            "article": auditor.article_url(_kb_url(), entry.id),
        }
        for entry in catalogue.load().values()
    }


def explain(issue=None, *words, **parts):
    """
    The article of a problem: what it breaks, how to see it, repair it, and undo the repair.

    issue
        An id, or a line of the mail log in quotation marks, with or without what syslog puts before it. Salt takes
        ``ip=[…], couriertls: …`` for an argument called ``ip``; that is put together again.

    Returns the text of the article, or of all articles of the problems that are known to log the line.

    Raises SaltInvocationError if there is no such problem, or none logs the line.

    CLI Example:

    .. code-block:: bash

        salt-call courier.explain dh-params-weak
        salt-call courier.explain "ip=[192.0.2.7], couriertls: connect: error:0A0000C1:SSL routines::no shared cipher"
    """
    named = [f"{name}={value}" for name, value in parts.items() if not name.startswith("__")]
    asked = " ".join(str(word) for word in (issue, *words, *named) if word is not None)
    entries = catalogue.load()
    found = explanation.pasted(asked, entries)
    if not found:
        raise salt.exceptions.SaltInvocationError(
            f"issue: no issue {asked[:200]!r}, and none is known to log that; courier.list_issues shows them"
        )
    return explanation.articles(found, entries, _kb_url())


def diagnose(source=None, since=None, until=None, issues=None, root=None):
    """
    What the mail log says: which known problems speak in it, and which lines look like errors that belong to none.

    Several problems share a log line; ``courier.audit`` singles out the one that it is. Nothing is changed.

    source
        A log file (compressed or not), a directory of logs, or an exported journal, by its absolute path. Default: this
        host's own mail log, where rsyslog writes it, or the journal.

    since, until
        A time: ``2026-11-22``, ``2026-11-22 18:30``, ``18:30``, ``today``, ``yesterday``, ``-2h``, ``90 min ago``, or
        seconds since 1970; in the host's time zone. Default: all that is there.

    issues
        Ids or components to look for; all by default.

    root
        As in ``courier.audit``: the mail log of that tree.

    Returns a dictionary: ``read`` (what was read), ``issues`` (id, severity, title, count, first, last, sample, alone:
    lines that no other problem logs, shared_with, tell, article; the gravest first), ``unexplained`` (process, count,
    first, last, sample; the most frequent 20), ``unexplained_lines`` and ``unknown`` (what could not be read, and why).
    Samples are without secrets, and with addresses cut down.

    Raises SaltInvocationError for an argument that cannot be understood.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.diagnose since=-2h
        salt-call courier.diagnose source=/var/tmp/mail.log.2.gz
    """
    wanted = set(_selected("all" if issues is None else issues))
    entries = catalogue.load()
    host = _host(root)
    now = datetime.datetime.now(logsources.zone(host))
    span = {}
    for name, text in (("since", since), ("until", until)):
        try:
            span[name] = None if text is None else logsources.moment(text, now)
        except ValueError as failed:
            raise salt.exceptions.SaltInvocationError(f"{name}: {failed}") from None
    try:
        logs = logsources.sources(host) if source is None else logsources.given(source, host)
    except ValueError as failed:
        raise salt.exceptions.SaltInvocationError(f"source: {failed}") from None
    blocks = diagnosis.blocks(logs, lambda log: logsources.read(log, **span, now=now))
    return diagnosis.report(diagnosis.diagnose(blocks, entries.values(), now), entries, _kb_url(), wanted)


def info(root=None):
    """
    What is known of this host's Courier: version, TLS library and how it is known, components, paths, services.

    root
        As in ``courier.audit``.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.info
    """
    return auditor.describe(_host(root)) | {"kb_url": _kb_url()}


def check_dh(root=None):
    """
    Look at the Diffie-Hellman parameters: too short for today's clients, missing or unusable.

    Articles: ``dh-params-weak``, ``dh-params-unusable``.

    root
        As in ``courier.audit``.

    Returns what ``courier.audit`` returns.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.check_dh
    """
    return audit(issues=_DH, root=root, log=False)


def fix_dh(group="ffdhe3072", test=None):
    """
    Put a group of RFC 7919 in the place of short, missing or unusable Diffie-Hellman parameters.

    Articles: ``dh-params-weak``, ``dh-params-unusable``.

    group
        ``ffdhe2048``, ``ffdhe3072`` or ``ffdhe4096``.

    test
        Only say what would change.

    Returns what ``courier.fix`` returns. Nothing is restarted: couriertls reads the file for every connection.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.fix_dh test=True
        salt '*' courier.fix_dh group=ffdhe4096
    """
    return _fix(_DH, test, None, {"group": group})


def check_pem_eol(root=None):
    """
    Look at the PEM files: line ends, and whatever else makes a key or certificate unreadable.

    Articles: ``pem-line-ends``, ``pem-unreadable``.

    root
        As in ``courier.audit``.

    Returns what ``courier.audit`` returns.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.check_pem_eol
    """
    return audit(issues=_PEM, root=root, log=False)


def fix_pem_eol(test=None):
    """
    Repair line ends and damaged markers of PEM files, only where keys and certificates stay the same to the byte.

    Articles: ``pem-line-ends``, ``pem-unreadable``.

    test
        Only say what would change.

    Returns what ``courier.fix`` returns. Nothing is restarted: couriertls reads the file for every connection.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.fix_pem_eol test=True
        salt '*' courier.fix_pem_eol
    """
    return _fix(_PEM, test, None, {})


def check_maildrop(root=None):
    """
    Look at how maildrop delivers: deferred, bounced, or into a mailbox that nobody reads.

    Articles: ``maildrop-home-directory``, ``maildrop-bounces-virtual-users``, ``maildrop-spool-delivery``.

    root
        As in ``courier.audit``.

    Returns what ``courier.audit`` returns.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.check_maildrop
    """
    return audit(issues=_MAILDROP, root=root, log=False)


def ensure_maildrop(strategy=None, allow=None, test=None):
    """
    Make local delivery work again. Without a strategy the problem is reported, not repaired.

    Articles: ``maildrop-home-directory``, ``maildrop-bounces-virtual-users``, ``maildrop-spool-delivery``.

    strategy
        ``maildir``: deliver into each account's Maildir, without maildrop. ``mailfilter``: the same, but accounts with
        a ``.mailfilter`` of their own keep it. ``authdaemon``: keep maildrop, which looks each account up.

    allow
        ``open-authdaemon-socket``: let every local user ask authdaemon, and so read the password hashes of all
        accounts, those of system users in ``/etc/shadow`` too; the strategy ``authdaemon`` needs that for virtual
        users. ``no-maildir``: also if an account with mail in ``/var/mail`` has no Maildir yet.

    test
        Only say what would change.

    Returns what ``courier.fix`` returns. Restarts ``courier``: mail that arrives meanwhile waits.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.ensure_maildrop strategy=maildir test=True
        salt '*' courier.ensure_maildrop strategy=mailfilter
    """
    return _fix(_MAILDROP, test, allow, {"strategy": strategy} if strategy else {})


def check_services(root=None):
    """
    Look whether what accepts mail is followed by what delivers it.

    Article: ``courierd-not-running``.

    root
        As in ``courier.audit``; services are then unknown.

    Returns what ``courier.audit`` returns.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.check_services
    """
    return audit(issues=_SERVICES, root=root, log=False)


def ensure_services(allow=None, test=None):
    """
    Enable and start what delivers mail.

    Article: ``courierd-not-running``.

    allow
        ``unmask-service``: also if it was masked. ``old-queue``: also if mail older than a day would then be sent.
        ``delete-expired-mail``: also if courierd would delete messages that have waited for more than 48 hours.

    test
        Only say what would change.

    Returns what ``courier.fix`` returns.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.ensure_services test=True
        salt '*' courier.ensure_services allow=old-queue
    """
    return _fix(_SERVICES, test, allow, {})


def check_processes(root=None):
    """
    Look for daemons that survived an upgrade or a change of the mail user.

    Article: ``stale-daemon-processes``.

    root
        As in ``courier.audit``; processes are then unknown.

    Returns what ``courier.audit`` returns.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.check_processes
    """
    return audit(issues=_PROCESSES, root=root, log=False)


def fix_processes(allow=None, test=None):
    """
    End daemons that survived an upgrade, one by one and by identity, and start their services again.

    Article: ``stale-daemon-processes``.

    allow
        ``delete-expired-mail``: also if courierd would then delete messages that have waited for more than 48 hours.

    test
        Only say what would change.

    Returns what ``courier.fix`` returns.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.fix_processes test=True
    """
    return _fix(_PROCESSES, test, allow, {})


def history():
    """
    The repairs of this host, the newest first: run, time, state, issues and changes.

    CLI Example:

    .. code-block:: bash

        salt '*' courier.history
    """
    try:
        return engine.history(_workspace())
    except engine.ApplyFailed as failed:
        raise salt.exceptions.CommandExecutionError(str(failed)) from None


def undo(run, test=None):
    """
    Take a repair back: files from its backups, owners, services; with the restarts that belong to it.

    run
        As ``courier.history`` names it.

    test
        Only say what would change.

    Returns what ``courier.fix`` returns. A file that was changed since is left alone, and named.

    Raises CommandExecutionError if there is no such run or it cannot be undone.

    CLI Example:

    .. code-block:: bash

        salt 'mx1' courier.history
        salt 'mx1' courier.undo 20261122T170726Z-43035 test=True
    """
    return _outcome(engine.undo, _host, str(run), workspace=_workspace(), test=_test(test))


def _fix(issues, test, allow, options):
    """Check, repair and check again; for every function that repairs."""
    options = salt.utils.args.clean_kwargs(**options)
    if "root" in options:
        raise salt.exceptions.SaltInvocationError(
            "root: a tree is only audited, never repaired; run the repair on the host itself"
        )
    least = _selected(issues)
    entries = [catalogue.load()[issue] for issue in least]
    known = {name: values for entry in entries for name, values in entry.issue.choices.items()}
    for name, value in options.items():
        if name not in known:
            raise salt.exceptions.SaltInvocationError(
                f"{name}: not an option of this repair (options: {', '.join(sorted(known)) or 'none'})"
            )
        if value not in known[name]:
            raise salt.exceptions.SaltInvocationError(f"{name}: {value!r} is none of {', '.join(known[name])}")
    allowed = frozenset(_words("allow", allow))
    nameable = {word for entry in catalogue.load().values() for word in entry.issue.allows}
    if mistaken := sorted(allowed - nameable):
        raise salt.exceptions.SaltInvocationError(f"allow: {mistaken[0]!r} is none of {', '.join(sorted(nameable))}")
    return _outcome(
        engine.carry_out,
        _host,
        entries,
        workspace=_workspace(),
        test=_test(test),
        allow=allowed,
        options=options,
        least=least,
    )


def _outcome(function, *args, **kwargs):
    """What the engine returns, in the shape that Salt's users get; its errors as Salt's own."""
    try:
        outcome = function(*args, **kwargs)
    except ValueError as failed:
        raise salt.exceptions.SaltInvocationError(str(failed)) from None
    except (engine.ApplyFailed, vocabulary.Unknown) as failed:
        raise salt.exceptions.CommandExecutionError(str(failed)) from None
    if outcome.failed:
        __context__["retcode"] = 1
    result = {
        "changes": outcome.changes,
        "comment": outcome.comment,
        "findings_before": outcome.findings_before,
        "findings_after": outcome.findings_after,
    }
    extra = {name: list(getattr(outcome, name)) for name in ("withheld", "refused", "unknown")}
    extra |= {"run": outcome.run, "failed": outcome.failed}
    return result | {key: value for key, value in extra.items() if value}


def _add_log(result, host, entries, threshold, least, remember):
    """Add to an audit what the log says, and remember how far it was read."""
    found = evidence.gather(host, _workspace().state_dir, catalogue.load().values())
    wanted = [entry for entry in entries if entry.issue.severity >= max(threshold, least[entry.id])]
    auditor.add(result, found.findings(wanted), _kb_url())
    for finding in result["findings"]:
        if finding["id"] in found.lines:
            finding["log"] = diagnosis.tally_row(found.lines[finding["id"]])
    result["log"] = {"read": found.read, "unknown": [auditor.printable(reason) for reason in found.unknown]}
    if remember:
        try:
            found.save()
        except replacement.NotWritten as failed:
            result["log"]["unknown"].append(f"{failed}; the next audit reads these lines again, or misses them")


def _selected(issues, argument="issues"):
    """Ids that words name, with the severity from which up their findings are meant; in the catalogue's order."""
    known = catalogue.load()
    wanted = _words(argument, issues)
    if not wanted:
        raise salt.exceptions.SaltInvocationError(f"{argument}: names no issue; courier.list_issues shows them")
    try:
        chosen = catalogue.select(wanted, known)
    except KeyError as unknown:
        raise salt.exceptions.SaltInvocationError(
            f"{argument}: no issue {unknown.args[0]!r}, and no severity or component; courier.list_issues shows them"
        ) from None
    return {issue: chosen[issue] for issue in known if issue in chosen}


def _skipped(skip):
    """Ids to leave out."""
    severities = {severity.word for severity in vocabulary.Severity}
    if mistaken := [word for word in _words("skip", skip) if word in severities]:
        raise salt.exceptions.SaltInvocationError(
            f"skip: {mistaken[0]!r} is a severity; severity={mistaken[0]} leaves out what is below it"
        )
    return _selected(skip, "skip")


def _words(argument, value):
    """A list of words from what YAML made of an argument."""
    if value is None:
        return []
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(word, str) for word in value):
        return list(value)
    raise salt.exceptions.SaltInvocationError(
        f"{argument}: expected words, as a list or separated by commas, not {value!r}"
    )


def _severity(word):
    known = {severity.word: severity for severity in vocabulary.Severity}
    if word is None:
        return vocabulary.Severity.LOW
    if not isinstance(word, str) or word.lower() not in known:
        raise salt.exceptions.SaltInvocationError(f"severity: {word!r} is none of {', '.join(known)}")
    return known[word.lower()]


def _test(test):
    return _flag("test", __opts__.get("test", False) if test is None else test)


def _flag(argument, value):
    if not isinstance(value, bool):
        raise salt.exceptions.SaltInvocationError(f"{argument}: expected True or False, not {value!r}")
    return value


def _kb_url():
    return __salt__["config.get"]("courier:kb_url", courierlib.KB_URL)


def _workspace():
    cache = __salt__["config.get"]("cachedir")
    return engine.Workspace(backup_root=os.path.join(cache, "file_backup"), state_dir=os.path.join(cache, "courier"))


def _host(root=None):
    try:
        if root in (None, "/"):
            return hosts.Host("/", hosts.System(_run, _service_manager()))
        if not isinstance(root, str) or not root.startswith("/"):
            raise salt.exceptions.SaltInvocationError(f"root: expected an absolute path, not {root!r}")
        return hosts.Host(root)
    except NotADirectoryError as failed:
        raise salt.exceptions.SaltInvocationError(str(failed)) from None
    except vocabulary.Unknown as failed:
        raise salt.exceptions.CommandExecutionError(failed.reason) from None


def _run(command):
    try:
        done = __salt__["cmd.run_all"](
            list(command), python_shell=False, timeout=_COMMAND_SECONDS, ignore_retcode=True, output_loglevel="debug"
        )
    except salt.exceptions.CommandExecutionError as failed:
        # Salt's message can go on with the whole context of the call.
        return managers.Completed(127, "", f"{command[0]}: {str(failed).splitlines()[0][:200]}")
    return managers.Completed(done["retcode"], done["stdout"], done["stderr"])


def _service_manager():
    if salt.utils.systemd.booted(__context__):
        return managers.Systemd(_run)
    names = ("get_all", "status", "enabled", "start", "stop", "restart", "enable", "disable")
    functions = {name: __salt__[f"service.{name}"] for name in names if f"service.{name}" in __salt__}
    return managers.InitScripts(functions) if len(functions) == len(names) else None
