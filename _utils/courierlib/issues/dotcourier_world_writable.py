r"""
Mail for one account waits: ".courier file is globally writeable"

## What you see

The log says, again and again:

```text
courierlocal: id=…,from=<>,addr=<alice@mx1.example.test>: .courier file is globally writeable.
courierlocal: id=…,from=<>,addr=<alice@mx1.example.test>,status: deferred
```

## What it breaks

All mail for this account, or for the one extension: `.courier-sales` is for `alice-sales`. It waits, and bounces after
a week. Other accounts are not concerned.

## Check by hand

The command prints the files, in the usual places. A healthy host prints nothing. If `/etc/courier/dotextension`
exists, the files are named after what it says, not `.courier`.

## Fix by hand

**Read the file first.** Everybody with an account on this host could write to it. A line that begins with `|` is a
program that runs as this user with each message, one with an address sends the mail elsewhere.

```console
# cat /home/alice/.courier
# chmod o-w /home/alice/.courier
```

Then have what waits delivered at once:

```console
# courier clear all
# courier flush
```

`courier.fix dotcourier-world-writable` does the `chmod`. It needs `allow=trust-dotcourier` where other users can
enter the home and the file runs a program or forwards mail.

## Undo

`chmod o+w` brings the old state back, and the mail waits again.

## How to see that it worked

```console
# stat -c '%a %n' /home/alice/.courier
664 /home/alice/.courier
```

The next message is delivered, and the log says `success: Message delivered.`

## Why it happens

courierdeliver does not follow instructions that anybody could have written. It looks at the file alone, even if it is
empty, and behind a link at what that points to. Files get such a mode with `chmod 777`, from an FTP or web interface
with `umask 000`, or from a copy over a file system that knows no modes.
"""

from collections.abc import Iterator

from courierlib import delivery, maildirs
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown
from courierlib.plan import Action, SetOwnership
from courierlib.tree import FileStat, Unreadable

TRUST = "trust-dotcourier"

ISSUE = Issue(
    id="dotcourier-world-writable",
    component="delivery",
    severity=Severity.CRITICAL,
    affects=Affects(),
    interrupts="nothing",
    allows=(TRUST,),
    look=(
        "find /home /srv/mail /etc/courier/aliasdir -maxdepth 2 -name '.courier*' -perm -o+w -printf '%m %u %p\\n'",
        "cat /etc/courier/dotextension 2>/dev/null",
    ),
    tell="`ls -l` shows a `w` for others in the mode of the account's `.courier`.",
    bites=("courierlocal",),
    known=(
        "run: trixie 1.4.1, bookworm 1.0.16, forky 2.0.6: .courier with mode 0666",
        "run: trixie 1.4.1: an empty one, a link to one, .courier-foo; a home of mode 0777: cannot occur",
        "read: main() in courier/module.local/deliver.c, courier/module.local/dotcourier.c, 1.4.1",
    ),
    signatures=(
        Signature(
            process=("courierlocal",),
            pattern=r": \.[^ /]+ file is globally writeable\.$",
            sample="id=000000000029C225.000000006B0372F2.000001F3,from=<>,addr=<alice@mx1.example.test>: "
            ".courier file is globally writeable.",
            known="run: trixie 1.4.1",
        ),
    ),
    references=("https://www.courier-mta.org/dot-courier.html",),
)


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every file of delivery instructions that others may write to."""
    if "mta" not in host.components:
        return
    stem = _stem(host)
    aliases = f"{host.layout.sysconfdir}/aliasdir"
    yield from _findings(host, aliases, host.listdir(aliases), stem)
    survey = host.once(maildirs.survey)
    for home, names in {box.account.home: box.home for box in survey.mailboxes if box.home}.items():
        yield from _findings(host, home, names, stem)
    yield from survey.unknown()


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the change of mode for each of them; what others may have written is trusted only by leave."""
    for finding in findings:
        found = finding.subject
        mode = found.mode & ~0o002
        yield SetOwnership(
            path=finding.where,
            mode=mode,
            inode=found.inode,
            old=f"{found.mode:04o}",
            new=f"{mode:04o}",
            allow=TRUST if _is_suspicious(host, finding.where) else "",
        )


def _stem(host: Host) -> str:
    """Name of the instructions' file: the first line of dotextension after a dot (read:
    courier/module.local/dotcourier.c, 1.4.1)."""
    path = host.conffile("dotextension")
    first = host.read(path).decode("utf-8", "replace").partition("\n")[0].strip() if host.exists(path) else ""
    return f".{first or 'courier'}"


def _findings(host: Host, directory: str, names: object, stem: str) -> Iterator[Finding]:
    for name in names:
        if name != stem and not name.startswith(f"{stem}-"):
            continue
        path = f"{directory}/{name}"
        try:
            found = host.stat(path)
        except Unreadable:
            continue
        if found and found.kind == "file" and found.mode & 0o002:
            yield _finding(host, path, found)


def _finding(host: Host, path: str, found: FileStat) -> Finding:
    itself = host.stat(path, follow=False)
    detail = f"mode {found.mode:04o}: mail that it is for waits"
    if itself is None or itself.kind == "link":
        return Finding(where=path, detail=f"{detail}; it is a link, so change what it points to", fixable=False)
    if found.links > 1:
        return Finding(where=path, detail=f"{detail}; it has {found.links} names, so change it by hand", fixable=False)
    return Finding(where=path, detail=detail, subject=found)


def _is_suspicious(host: Host, path: str) -> bool:
    """Whether others could write to a file that does more than name mailboxes."""
    home = host.stat(path.rpartition("/")[0])
    if home is not None and not home.mode & 0o001:
        return False
    try:
        return any(step.kind != "mailbox" for step in delivery.parse(host.read(path).decode("utf-8", "replace")))
    except Unknown:
        return True
