"""
What an audit of a large host costs: 2,000 virtual users with a Maildir each, 5,000 files in the queue.

Boots a machine, so it needs root. The audit runs in the machine as it does under Salt, but in a process of its own;
our own time is its CPU time, without that of the commands that it asks (systemctl, authenumerate). Beside it, in the
same run, ``find`` looks once at every file of spool and Maildirs. Prints both, their ratio and the dearest checks; a
figure is noted, never a gate.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MAILDIRS = 2_000
MESSAGES = 2_500
"""Each has an envelope and a text; the envelope has a second name in msgq."""

sys.path[:0] = [str(REPOSITORY / "_utils"), str(REPOSITORY / "tests/hosts")]

_FILL = rf"""
# The machine's root is an overlay, where looking up a path costs more than on a disk's file system in memory.
systemctl stop courier-mta courier-msa courier-mta-ssl courier courierfilter
for directory in /srv/mail /var/lib/courier; do
    cp -a $directory /root/kept
    mount -t tmpfs -o mode=755 tmpfs $directory
    cp -a /root/kept/. $directory
    rm -r /root/kept
done
systemctl reset-failed 'courier*'
systemctl start courier courier-mta courier-msa courier-mta-ssl
cd /srv/mail
for n in $(seq {MAILDIRS}); do
    maildir=/srv/mail/user$n/Maildir
    mkdir -p $maildir/cur $maildir/new $maildir/tmp $maildir/.Sent/cur $maildir/.Drafts/cur
    printf '50000000S\n1234 2\n' > $maildir/maildirsize
    ids='uid=900|gid=900|quota=50000000S'
    printf 'user%d@virt.example.test\t%s|home=/srv/mail/user%d|mail=%s\n' $n "$ids" $n $maildir
done >> /etc/courier/userdb
find user* -type d -exec chmod 700 {{}} +
chown -R vmail:vmail user*
makeuserdb
cd /var/lib/courier
for n in $(seq {MESSAGES}); do
    mkdir -p msgs/$((n % 100)) msgq/179536
    echo text > msgs/$((n % 100))/D$n
    echo envelope > msgs/$((n % 100))/C$n
    ln msgs/$((n % 100))/C$n msgq/179536/C$n.1795365921
done
chown -R courier:courier msgs msgq
chmod 750 msgs/* msgq/*
chmod 660 msgs/*/* 2>/dev/null
"""

_FIND = "find /var/lib/courier/msgs /var/lib/courier/msgq /srv/mail -maxdepth 3 -printf '%u %g %m %s\\n' > /dev/null"

_IN_THE_MACHINE = """
import collections, resource, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from courierlib import audit, catalogue
from courierlib.host import Host, System
from courierlib.services import Completed, Systemd

asked = []
def run(command):
    asked.append(command)
    done = subprocess.run(command, capture_output=True, text=True)
    return Completed(done.returncode, done.stdout, done.stderr)

entries = catalogue.load().values()
rounds = []
for _ in range(5):
    asked.clear()
    host, spent, began = Host("/", System(run, Systemd(run))), collections.Counter(), time.process_time()
    verdicts = []
    for entry in entries:
        before = time.process_time()
        verdicts += audit.judge(host, [entry])
        spent[entry.id] = time.process_time() - before
    rounds.append((time.process_time() - began, len(asked), spent, verdicts))
own, commands, spent, verdicts = min(rounds, key=lambda one: one[0])
found = sorted(verdict.entry.id for verdict in verdicts if verdict.findings)
unknown = sorted(verdict.entry.id for verdict in verdicts if verdict.unknown)

def children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

finds = []
for _ in range(5):
    before = children()
    subprocess.run(sys.argv[2], shell=True, check=True)
    finds.append(children() - before)
print(f"{len(entries)} checks: own time {own * 1000:.0f} ms, {commands} commands")
print(f"find over the same files: {min(finds) * 1000:.0f} ms; ratio of our own time to it: {own / min(finds):.2f}")
for name, seconds in spent.most_common(8):
    print(f"  {seconds * 1000:6.1f} ms {name}")
print("found:", ", ".join(found) or "nothing")
print("unknown:", ", ".join(unknown) or "nothing")
"""


def main() -> None:
    if os.geteuid() != 0:
        sys.exit("benchmarks/large_host.py: boots a machine, and needs root")
    import realistic
    from lab import Lab
    from machine import REPOSITORY as INSIDE

    with Lab() as lab, lab.machine("trixie", packages=realistic.PACKAGES) as machine:
        realistic.furnish(machine)
        machine.run(["bash", "-euc", _FILL], timeout=600)
        python = str(machine.salt.venv / "bin/python")
        done = machine.run([python, "-I", "-c", _IN_THE_MACHINE, str(INSIDE / "_utils"), _FIND], timeout=300)
        print(f"{MAILDIRS} Maildirs, {2 * MESSAGES} files in the queue")
        print(done.stdout, end="")


if __name__ == "__main__":
    main()
