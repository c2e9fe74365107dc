"""Repairs compose: a host with problems of every kind is whole after one highstate, and nothing is started twice."""

from __future__ import annotations

from lab import ALICE, ALICE_PASSWORD, BOB, BOB_PASSWORD
from problems import LEFT_TO_THE_OPERATOR
from test_fleet import starts

BROKEN = {
    "authdaemon-socket-open",
    "cram-without-cleartext",
    "database-stale",
    "dead-dnsbl",
    "debug-login",
    "defaultdelivery-empty",
    "defaultdomain-empty",
    "dotcourier-world-writable",
    "imapaccessfile-missing",
    "key-unreadable-for-mailuser",
    "key-world-readable",
    "maildir-owner",
    "mail-filter-dead",
    "msa-pidfile-collision",
    "removed-tls-settings",
    "tcpd-noidentlookup-removed",
    "tls-cache-broken",
    "userdb-open",
    "userdb-stale",
}
ALLOWED = ["close-authdaemon-socket"]

BREAK = r"""
cd /etc/courier
# Settings that an old host had.
sed -i 's/^TCPDOPTS=.*/TCPDOPTS="-nodnslookup -noidentlookup"/' imapd pop3d
sed -i 's#^BLACKLISTS=.*#BLACKLISTS="-block=dnsbl.njabl.org"#' esmtpd
echo 'TLS_DHCERTFILE=/etc/courier/dhparams.pem' >> imapd-ssl
sed -i 's#^TLS_CACHEFILE=.*#TLS_CACHEFILE=/var/lib/courier/gone/cache#' pop3d-ssl
sed -i 's/^IMAP_CAPABILITY="/&AUTH=PLAIN AUTH=CRAM-MD5 /' imapd
sed -i 's/^DEBUG_LOGIN=.*/DEBUG_LOGIN=2/' authdaemonrc
sed -i "s#^DEFAULTDELIVERY=.*#DEFAULTDELIVERY=''#" courierd
rm -r imapaccess imapaccess.dat
# Permissions as a restore left them.
chown root:root esmtpd.pem && chmod 600 esmtpd.pem
chmod 644 pop3d.pem
chmod 755 /run/courier/authdaemon
chown -R root:root /srv/mail/bob/Maildir
install -o alice -m 666 /dev/null /home/alice/.courier
# Sources that were changed, and not compiled.
echo hosted.example.test | tee hosteddomains/later esmtpacceptmailfor.dir/later > /dev/null
userdb 'late@virt.example.test' set uid=900 gid=900 home=/srv/mail/bob mail=/srv/mail/bob/Maildir
chmod 644 userdb
systemctl reset-failed 'courier*'
systemctl restart courier-authdaemon || true
systemctl restart courier-mta courier-msa courier-mta-ssl || true
systemctl restart courier-imap courier-imap-ssl courier-pop courier-pop-ssl || true
# courierfilter has removed what was left, when it was restarted with the others.
bind='socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un("/var/lib/courier/allfilters/old")) or die $!'
perl -MSocket -e "$bind"
chown courier:courier /var/lib/courier/allfilters/old
# Last, because a start would wait for this PID file.
sed -i /^PIDFILE=/d esmtpd-msa
echo 'PIDFILE=/run/courier/esmtpd.pid' >> esmtpd-msa
"""


def test_a_host_with_nineteen_problems_is_whole_after_one_highstate(managed) -> None:
    host = managed("trixie")
    machine = host.machine
    machine.add_virtual_users()
    machine.run(["bash", "-euc", BREAK], timeout=180)
    machine.wait_ready(port=None)
    found = host.found()
    assert found >= BROKEN, BROKEN - found

    pillar = {"allow": ALLOWED}
    announced = host.highstate(test=True, **pillar)
    assert host.found() == found
    before = starts(machine)
    applied = host.highstate(**pillar)
    assert set(applied.results) == {True}, applied.comments
    assert announced.changes.keys() == applied.changes.keys()
    assert "one repair wants" not in applied.comments
    after = starts(machine)
    assert all(after[unit] - before.get(unit, 0) <= 1 for unit in after), (before, after)
    assert host.found() <= LEFT_TO_THE_OPERATOR, applied.comments

    machine.wait_ready()
    for user in (ALICE, BOB):
        assert machine.send(user, f"whole-{user}").startswith("250 ")
        assert machine.arrived(f"whole-{user}")
    assert machine.handshake(25, starttls="smtp").ok
    assert all(machine.handshake(port).ok for port in (465, 993, 995))
    for user, password in ((ALICE, ALICE_PASSWORD), (BOB, BOB_PASSWORD)):
        assert f"whole-{user}" in machine.login(user, password)
    again = host.highstate(**pillar)
    assert (set(again.results), again.changes) == ({True}, {})
    assert starts(machine) == after
