"""
Keep the known problems of Courier Mail Server away
===================================================

States that start with ``check`` change nothing and fail on a finding; the others repair. All of it happens in the
execution module; each name here is the name there.

.. code-block:: yaml

    courier is healthy:
      courier.fixed:
        - issues: all
"""

import salt.exceptions

__virtualname__ = "courier"

_SEVERITIES = ("low", "medium", "high", "critical")
_COMPONENTS = ("services", "delivery", "mta", "tls", "auth")
_GROUPS = {"all", *_SEVERITIES, *_COMPONENTS}
"""Words that name several issues: what of them needs leave or a choice is then only reported."""


def __virtual__():
    if "courier.audit" in __salt__:
        return __virtualname__
    return (False, "courier: the execution module courier is not available")


def fixed(name, issues=None, allow=None, options=None, **choices):
    """
    Repair one problem, several, or all, in one go: each service is restarted once.

    name
        An id, if ``issues`` is not given.

    issues
        Ids, components (``services``, ``delivery``, ``mta``, ``tls``, ``auth``) or severities (findings from that one
        up), one or a list; or ``all``. If no id is among them, everything is repaired that needs neither ``allow`` nor
        a choice; what needs one is reported, and does not fail the state.

    allow
        What may be done although it could lose mail or weaken a protection, as the report names it; a word or a list.

    options
        Choices that a repair offers, for instance ``strategy: maildir`` or ``group: ffdhe4096``: as a dictionary, or
        each as an argument of its own.

    .. code-block:: yaml

        courier:
          courier.fixed:
            - issues:
              - dh-params-weak
              - maildrop-home-directory
            - strategy: maildir

        courier: TLS, and whatever stops mail:
          courier.fixed:
            - issues: [tls, critical]
    """
    wanted = name if issues is None else issues
    if not isinstance(options or {}, dict):
        return _result(name, False, f"options: expected a dictionary, not {options!r}")
    chosen = {key: value for key, value in {**(options or {}), **choices}.items() if not str(key).startswith("__")}
    arguments = {**chosen, "issues": wanted, "allow": allow}
    words = wanted.split(",") if isinstance(wanted, str) else wanted
    lenient = isinstance(words, list) and {str(word).strip() for word in words} <= _GROUPS
    return _enforced(name, "courier.fix", arguments, lenient=lenient)


def audited(name, severity="high", issues=None, skip=None):
    """
    Fail the highstate if a known problem is found. Nothing is changed.

    name
        Any text.

    severity
        Fail from this severity up: ``low``, ``medium``, ``high`` or ``critical``.

    issues
        Ids or components; all by default.

    skip
        Ids or components to leave out.

    .. code-block:: yaml

        no known problem of Courier:
          courier.audited:
            - severity: medium
    """
    return _checked(name, "courier.audit", severity=severity, issues=issues, skip=skip)


def check_dh(name):
    """
    Fail if Diffie-Hellman parameters are short, missing or unusable. Nothing is changed.

    .. code-block:: yaml

        DH parameters:
          courier.check_dh: []
    """
    return _checked(name, "courier.check_dh")


def fix_dh(name, group="ffdhe3072"):
    """
    Put a group of RFC 7919 in the place of short, missing or unusable Diffie-Hellman parameters.

    group
        ``ffdhe2048``, ``ffdhe3072`` or ``ffdhe4096``.

    .. code-block:: yaml

        DH parameters:
          courier.fix_dh:
            - group: ffdhe3072
    """
    return _enforced(name, "courier.fix_dh", {"group": group})


def check_pem_eol(name):
    """
    Fail if a PEM file has line ends or damage that make it unreadable. Nothing is changed.

    .. code-block:: yaml

        PEM files:
          courier.check_pem_eol: []
    """
    return _checked(name, "courier.check_pem_eol")


def fix_pem_eol(name):
    """
    Repair line ends and damaged markers of PEM files, only where keys and certificates stay the same to the byte.

    .. code-block:: yaml

        PEM files:
          courier.fix_pem_eol: []
    """
    return _enforced(name, "courier.fix_pem_eol", {})


def check_maildrop(name):
    """
    Fail if maildrop defers, bounces or misplaces mail. Nothing is changed.

    .. code-block:: yaml

        local delivery:
          courier.check_maildrop: []
    """
    return _checked(name, "courier.check_maildrop")


def ensure_maildrop(name, strategy=None, allow=None):
    """
    Make local delivery work. Without a strategy nothing is repaired, and the state fails on a finding.

    strategy
        ``maildir``, ``mailfilter`` or ``authdaemon``; the execution function says what each does.

    allow
        ``open-authdaemon-socket`` for the strategy ``authdaemon``: every local user can then read the password
        hashes of all accounts, those in ``/etc/shadow`` too; ``no-maildir`` if an account has mail in ``/var/mail``
        and no Maildir yet.

    .. code-block:: yaml

        local delivery:
          courier.ensure_maildrop:
            - strategy: maildir
    """
    return _enforced(name, "courier.ensure_maildrop", {"strategy": strategy, "allow": allow})


def check_services(name):
    """
    Fail if mail is accepted but nothing delivers it. Nothing is changed.

    .. code-block:: yaml

        services:
          courier.check_services: []
    """
    return _checked(name, "courier.check_services")


def ensure_services(name, allow=None):
    """
    Enable and start what delivers mail.

    allow
        ``unmask-service``, ``old-queue``, ``delete-expired-mail``; the execution function says what each means.

    .. code-block:: yaml

        services:
          courier.ensure_services: []
    """
    return _enforced(name, "courier.ensure_services", {"allow": allow})


def check_processes(name):
    """
    Fail if daemons survived an upgrade or a change of the mail user. Nothing is changed.

    .. code-block:: yaml

        processes:
          courier.check_processes: []
    """
    return _checked(name, "courier.check_processes")


def fix_processes(name, allow=None):
    """
    End daemons that survived an upgrade, one by one and by identity, and start their services again.

    allow
        ``delete-expired-mail``; the execution function says what it means.

    .. code-block:: yaml

        processes:
          courier.fix_processes: []
    """
    return _enforced(name, "courier.fix_processes", {"allow": allow})


def _checked(name, function, severity="low", **arguments):
    """The result of a state that only looks."""
    severity = str(severity).lower()
    if severity not in _SEVERITIES:
        return _result(name, False, f"severity: {severity!r} is none of {', '.join(_SEVERITIES)}")
    try:
        report = __salt__[function](**arguments)
    except (salt.exceptions.CommandExecutionError, salt.exceptions.SaltInvocationError) as failed:
        return _result(name, False, str(failed))
    grave = _SEVERITIES[_SEVERITIES.index(severity) :]
    findings = [finding for finding in report["findings"] if finding["severity"] in grave]
    lines = [
        f"{finding['severity']}: {finding['title']}: {finding['where']}: {finding['detail']} ({finding['article']})"
        for finding in findings
    ]
    lines += [f"not looked at: {unknown['id']}: {unknown['reason']}" for unknown in report["unknown"]]
    return _result(name, not findings, "\n".join(lines) or "no known problem found")


def _enforced(name, function, arguments, lenient=False):
    """The result of a state that repairs.

    lenient: what was withheld or could not be repaired is only reported.
    """
    try:
        outcome = __salt__[function](**{**arguments, "test": __opts__["test"]})
    except (salt.exceptions.CommandExecutionError, salt.exceptions.SaltInvocationError) as failed:
        return _result(name, False, str(failed))
    changes = outcome["changes"]
    if outcome.get("failed"):
        return _result(name, False, outcome["comment"], changes)
    if __opts__["test"]:
        left = bool(outcome.get("withheld")) or (outcome["findings_before"] and not changes)
    else:
        left = bool(outcome["findings_after"])
    if left and not lenient:
        return _result(name, False, outcome["comment"], changes)
    return _result(name, None if __opts__["test"] and changes else True, outcome["comment"], changes)


def _result(name, result, comment, changes=None):
    return {"name": name, "result": result, "comment": comment, "changes": changes or {}}
