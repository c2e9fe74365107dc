"""
Watch the mail log of a Courier host for known problems
=======================================================

:depends: cryptography
:platform: Linux

Each known problem that has spoken in the log since the last look raises one event,
``salt/beacon/MINION/courier/ISSUE``.

.. code-block:: yaml

    beacons:
      courier:
        - interval: 60
        - severity: high
"""

import importlib
import os
import re
import sys


def _is_ours(name):
    return name == "courierlib" or name.startswith("courierlib.")


# Salt imports this in the minion's main process, from which the processes of its jobs are forked: a library that
# stayed in sys.modules would be old code there once a new one is synced. So it is taken anew, with all issue files, and
# sys.modules is left as it was.
_modules = {_name: sys.modules.pop(_name) for _name in list(sys.modules) if _is_ours(_name)}
# For beacons, unlike for modules, Salt knows the directory of synced helpers only if it was there when the minion
# started (read: salt.loader.beacons and salt.config.insert_system_path, 3006.30 and 3008.3).
_path = list(sys.path)
_beside = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path += [os.path.join(_beside, _name) for _name in ("utils", "_utils")]
importlib.invalidate_caches()
try:
    import courierlib
    import courierlib.audit as auditor
    import courierlib.catalogue as catalogue
    import courierlib.diagnosis as diagnosis
    import courierlib.issue as vocabulary
    import courierlib.watch as watching

    _ENTRIES = catalogue.load()
finally:
    sys.path[:] = _path
    for _name in list(filter(_is_ours, sys.modules)):
        del sys.modules[_name]
    sys.modules.update(_modules)

__virtualname__ = "courier"

_COURIERLIB = "0.1.0"
"""The version of courierlib that this beacon was made with."""

_OF_SALT = ("interval", "enabled", "run_once", "disable_during_state_run", "beacon_module", "_beacon_name")
_SEVERITIES = {severity.word: severity for severity in vocabulary.Severity}
_WATCHES = {}


def __virtual__():
    if courierlib.__version__ != _COURIERLIB:
        return (
            False,
            f"courier: this beacon is {_COURIERLIB}, but courierlib in {os.path.dirname(courierlib.__file__)} is "
            f"{courierlib.__version__}: saltext-courier is both installed with pip and synced; keep one of them",
        )
    return __virtualname__


def validate(config):
    """
    Whether the configuration can be used: True or False, and a sentence.

    config
        The beacon's list of settings, see ``beacon``.
    """
    if not isinstance(config, list) or not all(isinstance(part, dict) for part in config):
        return False, f"courier: expected a list of settings, such as '- severity: high', not {config!r}"
    settings = _settings(config)
    for key, value in settings.items():
        if key not in _OF_SALT and key not in _CHECKS:
            return False, f"{key}: no setting of this beacon; expected {', '.join(_CHECKS)} or one of Salt's own"
        if key in _CHECKS and (expected := _CHECKS[key](value)):
            return False, f"{key}: expected {expected}, not {value!r}"
    if not _wanted(settings):
        return False, "issues, skip, severity: expected settings that leave at least one issue to watch for"
    return True, "Valid beacon configuration"


def beacon(config):
    """
    The problems that have spoken in the mail log since the last call, one event each.

    config
        ``interval``: Salt's own, seconds between two looks at the log; 60 is a good value.
        ``issues``: ids to watch for, a list or separated by commas, or ``all``, which is the default.
        ``skip``: ids to leave out.
        ``severity``: issues from this severity up: ``low`` (default), ``medium``, ``high``, ``critical``.
        ``source``: the absolute path of the log that is written to, where it is not this host's own.

    An event has ``issue``, ``severity``, ``title``, ``count`` (lines since the last look), ``first`` and ``last``
    (times), ``sample`` (the last line, without secrets), ``shared_with`` (issues that log the same line) and
    ``article``; ``id`` is the minion's, as in every event of a beacon.

    If something of the log cannot be read, one event ``courier/unknown`` says why (``reasons``), and is not repeated
    until that has changed.

    .. code-block:: yaml

        beacons:
          courier:
            - interval: 60
            - severity: high
            - skip: [dh-params-weak]
            - disable_during_state_run: True
    """
    settings = _settings(config)
    wanted = _wanted(settings)
    news = _watch(settings).news()
    # By the catalogue: the gravest first.
    events = [_event(entry, news.issues[entry.id]) for entry in wanted if entry.id in news.issues]
    if news.troubles:
        events.append({"tag": "unknown", "reasons": [auditor.printable(reason) for reason in news.troubles]})
    return events


def close(config):
    """
    Note how far the log has been read, before Salt loads its beacons anew.

    config
        As for ``beacon``.
    """
    _watch(_settings(config)).commit()


def _event(entry, speaking):
    return {
        "tag": entry.id,
        "issue": entry.id,
        "severity": entry.issue.severity.word,
        "title": entry.title,
        **diagnosis.tally_row(speaking),
        "shared_with": sorted(speaking.shares),
        "article": auditor.article_url(__salt__["config.get"]("courier:kb_url", courierlib.KB_URL), entry.id),
    }


def _watch(settings):
    """The reader of a beacon; a beacon with ``beacon_module`` has a name of its own, and a reader."""
    name, source = settings.get("_beacon_name", "courier"), settings.get("source", "")
    if name not in _WATCHES or _WATCHES[name][0] != source:
        suffix = "" if name == "courier" else "-" + re.sub("[^A-Za-z0-9_-]", "_", name)
        path = os.path.join(__opts__["cachedir"], "courier", f"beacon{suffix}.json")
        _WATCHES[name] = source, watching.Watch(path, _ENTRIES.values(), source)
    return _WATCHES[name][1]


def _settings(config):
    return {key: value for part in config for key, value in part.items()}


def _wanted(settings):
    """Entries that the settings ask for."""
    named, left_out = _words(settings.get("issues", "all")), _words(settings.get("skip", ()))
    threshold = _SEVERITIES[str(settings.get("severity", "low")).lower()]
    return [
        entry
        for entry in _ENTRIES.values()
        if (named == ["all"] or entry.id in named) and entry.id not in left_out and entry.issue.severity >= threshold
    ]


def _words(value):
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else list(value)


def _not_ids(value, also=()):
    """What is wrong with ids of issues: what was expected; empty if nothing."""
    words = _words(value) if isinstance(value, (str, list, tuple)) else [None]
    if words and all(isinstance(word, str) and word in _ENTRIES for word in words) or words in also:
        return ""
    return "ids of issues, a list or separated by commas" + (", or all" if also else "") + " (see courier.list_issues)"


def _not_seconds(value):
    right = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
    return "" if right else "a number of seconds"


def _not_a_severity(value):
    return "" if isinstance(value, str) and value.lower() in _SEVERITIES else ", ".join(_SEVERITIES)


def _not_a_path(value):
    right = isinstance(value, str) and value.startswith("/") and "\0" not in value
    return "" if right else "the absolute path of a log, such as /var/log/mail.log"


_CHECKS = {
    "interval": _not_seconds,
    "issues": lambda value: _not_ids(value, also=(["all"],)),
    "skip": lambda value: "" if value in ([], ()) else _not_ids(value),
    "severity": _not_a_severity,
    "source": _not_a_path,
}
