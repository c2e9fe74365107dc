r"""
Everybody in 10.0.0.0/8 and 192.168.0.0/16 may relay: two lines that come with Courier

## What you see

Nothing, until somebody uses it. Then the queue is full of mail that nobody here wrote, and other servers refuse yours:
the host is on block lists. The log shows the sender's address as one of your own network, for instance that of the
router or of the load balancer.

## What it breaks

A machine that connects from 10.x.x.x or 192.168.x.x may send to any address in the world, without a password. On a host
that has only public addresses, hardly anybody can. On one with an address in these networks it is:

* every other machine in there: a virus on one, a guest in the WLAN, another customer's machine in a shared network
* **the whole internet**, where connections come through something that puts its own address in place of the client's:
  a NAT that hides the source, a load balancer or proxy, the port mapping of a container. Then the host is an open
  relay.

## Check by hand

`grep` prints the lines. They are in force once `makesmtpaccess` has been run: then there is a `smtpaccess.dat`. Look
at the addresses of the host too.

From a machine in such a network, or from outside if the host is behind a proxy, a sender and a recipient that both are
not yours:

```console
$ exec 3<>/dev/tcp/mx1.example.test/25
$ printf 'EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<somebody@example.org>\r\nQUIT\r\n' >&3; cat <&3
```

(`/dev/tcp` is a word of bash.) The line before `221 Bye.` should be `513 Relaying denied.`; `250 Ok.` means that it
relays.

## Fix by hand

Put a `#` before both lines, and add those machines that really may relay, one line each. A line may name one address,
or a network by its first numbers; the two fields are separated by a tab:

```console
# cp -p /etc/courier/smtpaccess/default /root/smtpaccess.before
# sed -i -E 's/^(10|192\.168)\tallow,RELAYCLIENT/# &/' /etc/courier/smtpaccess/default
# printf '192.168.7.20\tallow,RELAYCLIENT\n' >>/etc/courier/smtpaccess/own
# makesmtpaccess
# systemctl restart courier-msa courier-mta-ssl
```

`makesmtpaccess` tells esmtpd itself; the other two listeners go on with the old database until they are restarted. The
restart closes SMTP for about a second.

Whoever relayed by these lines now gets `513 Relaying denied.` and must log in with a password, on port 587 or 465, or
get a line. Printers and scripts are easily forgotten: look in the log for a day before you do it.

`courier.fix smtpaccess-relays-private-networks` puts the `#` there and builds the database. It needs
`allow=end-private-relay`.

## Undo

```console
# cp -p /root/smtpaccess.before /etc/courier/smtpaccess/default
# makesmtpaccess
# systemctl restart courier-msa courier-mta-ssl
```

What you put into `smtpaccess/own` stays in force; take it out before `makesmtpaccess` if it should not.

## How to see that it worked

The test above answers `513 Relaying denied.`, and the machines that may relay still can.

## Why it happens

Courier ships `smtpaccess/default` with these lines, from a time when a mail server had a public address and its users
were in the private network behind it. Debian no longer builds the database at installation, so a new host does not
relay; the first `makesmtpaccess`, run for whatever reason, puts the lines in force.
"""

import re
from collections.abc import Iterator
from functools import partial

from courierlib import databases
from courierlib.databases import PRIVATE_BLOCKS, Database
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action, EditFile, Refused

END_RELAY = "end-private-relay"

ISSUE = Issue(
    id="smtpaccess-relays-private-networks",
    component="mta",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="SMTP, for the second of a restart; whoever relayed by these rules cannot any more",
    allows=(END_RELAY, databases.DROP_ENTRIES, "delete-expired-mail"),
    look=(
        "grep -n -E '^(10|192\\.168)[[:space:]]' /etc/courier/smtpaccess/*",
        "ls -l --time-style=long-iso /etc/courier/smtpaccess.dat",
        "ip -brief -4 address show scope global",
    ),
    tell="`smtpaccess` has the lines for `10` and `192.168`, and `smtpaccess.dat` exists.",
    bites=("esmtpd", "submit"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: mail from 10.77.0.1 to a foreign address: 513 before "
        "makesmtpaccess, 250 after it",
        "read: courier/smtpaccess.config, 1.4.1; smtpaccess/default of bookworm, trixie and forky",
    ),
    references=("https://www.courier-mta.org/couriertcpd.html", "https://www.courier-mta.org/makesmtpaccess.html"),
)

_ADDRESSES = "/proc/net/fib_trie"


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every access database in which a whole private network may relay."""
    for database in host.once(databases.read):
        if database.name != "smtpaccess" or not database.present:
            continue
        if database.compiled is None:
            yield Unknown(f"{database.path}: cannot be read as a GDBM database")
            continue
        blocks = databases.relaying(database.compiled)
        if blocks:
            severity, addresses = _weight(host, blocks)
            removable = not databases.relaying(database.entries or {}) or bool(_files(host, database, blocks))
            yield Finding(
                where=database.path,
                detail=f"{' and '.join(map(PRIVATE_BLOCKS.get, blocks))} may relay; {addresses}",
                severity=severity,
                subject=(database, blocks),
                fixable=bool(database.program) and database.entries is not None and removable,
            )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the edit that makes comments of the rules, and the building of the database without them."""
    for finding in findings:
        database, blocks = finding.subject
        for path, found in _files(host, database, blocks).items():
            yield EditFile(
                path=path,
                edit=partial(_commented, blocks=found),
                setting=" ".join(found),
                allow=END_RELAY,
                old="allow,RELAYCLIENT",
                new="comment",
            )
        yield databases.build(host, database, old=finding.detail, leave=END_RELAY)


def _weight(host: Host, blocks: list[str]) -> tuple[Severity | None, str]:
    """A host with an address in such a network has neighbours there."""
    if host.system is None:
        return Severity.MEDIUM, "whether this host has an address there, a tree of files does not tell"
    try:
        table = host.read(_ADDRESSES, 64 << 20).decode("ascii", "replace")
    except Unknown:
        return Severity.MEDIUM, "the addresses of this host cannot be read"
    own = sorted(set(re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", table)))
    near = [address for address in own if any(address.startswith(f"{block}.") for block in blocks)]
    if near:
        return None, f"this host has {', '.join(near[:3])}, so others there can reach it"
    return Severity.LOW, "this host has no address there"


def _files(host: Host, database: Database, blocks: list[str]) -> dict[str, list[str]]:
    """Files of the source with such a rule, and the networks that it is for."""
    found = host.stat(database.source)
    directory = found is not None and found.kind == "dir"
    names = [f"{database.source}/{name}" for name in host.listdir(database.source)] if directory else [database.source]
    inside = {}
    for path in names:
        stat = host.stat(path)
        if stat and stat.kind == "file" and not path.endswith("~"):
            content = host.read(path)
            inside[path] = [block for block in blocks if _rule(block).search(content)]
    return {path: found for path, found in inside.items() if found}


def _rule(block: str) -> re.Pattern[bytes]:
    return re.compile(rb"^" + re.escape(block.encode()) + rb"\t[^\n]*RELAYCLIENT", re.MULTILINE)


def _commented(content: bytes | None, blocks: list[str]) -> bytes:
    if content is None:
        raise Refused("no such file")
    for block in blocks:
        content = _rule(block).sub(lambda rule: b"# " + rule[0], content)
    return content
