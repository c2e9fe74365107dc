"""The upgrade guide: what bites on the way from one version of Courier to another, and what to do when."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from courierlib.catalogue import Entry
from courierlib.issue import Upgrade
from pages.addresses import slug
from pages.versions import RELEASES, SPLIT, key

_STORY = """\
---
scripts:
  - assets/upgrade.js
---

# Upgrade guide

What an upgrade of Courier brings to light, by the version with which it begins. Go through every section between the
version that the host has (`salt-call courier.info`, or `dpkg -l courier-base`) and the one that it gets; from one
Debian release to the next, that can be several at once.

1. Look at the host as it is, and repair what is found: `salt-call courier.audit`.
2. Keep a copy of `/etc/courier`, and of `/etc/maildroprc` if there is one.
3. Do what is marked *before* below.
4. Upgrade. When dpkg asks about a changed conffile, keep yours; the new one then lies beside it as `FILE.dpkg-dist`.
    Ports may be closed from then on: other servers try again for days, mail programs say that they cannot connect.
5. Before the first boot of the new system, do what is marked *after* below, and look again: `salt-call courier.audit`.
6. Read each file that `find /etc/courier -name '*.dpkg-*' -o -name '*.ucf-*'` lists, take over what the new version
    needs, and move it out of `/etc/courier`. The audit says which settings differ.
7. Reboot while you watch. Some problems show only then."""

_PACKAGES = {"debian": "Debian's packages", "upstream": "upstream's packages"}


@dataclass(frozen=True)
class _Step:
    """What one issue asks for at one version."""

    entry: Entry
    upgrade: Upgrade


def page(entries: Iterable[Entry]) -> str:
    """The page of the upgrade guide.

    Args:
        entries: gravest first.

    Raises:
        ValueError: an upgrade acts neither before nor after, or its version is no version.
    """
    by_version: dict[str, list[_Step]] = {}
    for entry in entries:
        for upgrade in entry.issue.upgrades:
            by_version.setdefault(upgrade.version, []).append(_Step(entry, upgrade))
    sections = {version: _ordered(version, by_version[version]) for version in sorted(by_version, key=key)}
    parts = [_STORY]
    if sections:
        parts.append(f'<div id="upgrade-choice" data-upgrades={quoteattr(_data(sections))}></div>')
    parts += [_section(version, steps) for version, steps in sections.items()]
    return "\n\n".join(parts) + "\n"


def _ordered(version: str, steps: list[_Step]) -> list[_Step]:
    """First what is done before the upgrade; within it, the gravest first."""
    if wrong := [step for step in steps if step.upgrade.act not in ("before", "after")]:
        raise ValueError(f"{wrong[0].entry.source}: upgrade to {version}: act is neither before nor after")
    return sorted(steps, key=lambda step: step.upgrade.act != "before")


def _section(version: str, steps: list[_Step]) -> str:
    parts = [f"## {_heading(version)}", _crossed(version)]
    for act, words in (("before", "Before the upgrade:"), ("after", "After it:")):
        if due := [step for step in steps if step.upgrade.act == act]:
            parts += [words, "\n".join(_item(number, step) for number, step in enumerate(due, 1))]
    return "\n\n".join(parts)


def _heading(version: str) -> str:
    return f"Courier {version}"


def _crossed(version: str) -> str:
    older = [release for release in RELEASES if key(release.courier) < key(version)]
    newer = [release for release in RELEASES if key(release.courier) >= key(version)]
    if not newer:
        return "No Debian release has it yet."
    if not older:
        return (
            f"On the way to Debian {newer[0].number} ({newer[0].codename}, {newer[0].courier}) from an older release."
        )
    last, first = older[-1], newer[0]
    return (
        f"On the way from Debian {last.number} ({last.codename}, {last.courier}) or older to "
        f"Debian {first.number} ({first.codename}, {first.courier}) or newer."
    )


def _item(number: int, step: _Step) -> str:
    entry, upgrade = step.entry, step.upgrade
    packages = f", {_PACKAGES[upgrade.packaging]} only" if upgrade.packaging else ""
    return f"{number}. [{entry.title}](i/{entry.id}.md) ({entry.issue.severity.word}{packages}). {upgrade.step}"


def _data(sections: dict[str, list[_Step]]) -> str:
    """What the script needs to know: the sections by their headings' ids, and the versions to choose from."""
    names: dict[str, list[str]] = {}
    for release in RELEASES:
        names.setdefault(release.courier, []).append(f"Debian {release.number} {release.codename}")
    return json.dumps(
        {
            "choices": [["0", f"before {SPLIT}"]]
            + [[version, f"{version} ({', '.join(releases)})"] for version, releases in names.items()],
            "sections": [
                {
                    "id": slug(_heading(version)),
                    "version": version,
                    "steps": [
                        [step.entry.id, step.entry.issue.severity.word, step.upgrade.packaging] for step in steps
                    ],
                }
                for version, steps in sections.items()
            ],
        },
        ensure_ascii=False,
    )
