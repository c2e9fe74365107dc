"""A host as somebody runs it: virtual users, domains, aliases, an ACME client's certificates, rsyslog, quotas."""

from __future__ import annotations

from machine import BOB, VIRTUAL_DOMAIN, Machine

PACKAGES = ("rsyslog",)
"""Debian packages that the host has on top."""

CA = "/usr/local/share/ca-certificates/example.crt"

_FURNISH = r"""
cd /etc/courier
hostname -f > defaultdomain

# A certification authority, and an ACME client's directories: only root may enter them.
openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=Example CA' -keyout /root/ca.key -out {ca} 2>/dev/null
update-ca-certificates >/dev/null 2>&1
issue() {{
    archive=/etc/letsencrypt/archive/$1 live=/etc/letsencrypt/live/$1
    install -d -m 700 /etc/letsencrypt/archive /etc/letsencrypt/live
    install -d -m 755 $archive $live
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -addext "subjectAltName=DNS:$1" \
        -keyout $archive/privkey1.pem -out /root/$1.csr 2>/dev/null
    openssl x509 -req -in /root/$1.csr -CA {ca} -CAkey /root/ca.key -CAcreateserial -days 90 -copy_extensions copy \
        -out $archive/cert1.pem 2>/dev/null
    cat $archive/cert1.pem {ca} > $archive/fullchain1.pem
    chmod 600 $archive/privkey1.pem
    for part in privkey fullchain cert; do ln -s ../../archive/$1/${{part}}1.pem $live/$part.pem; done
}}
# The client's deploy hook: what Courier reads is a copy that its group may read.
deploy() {{
    for base in esmtpd imapd pop3d; do
        cat /etc/letsencrypt/live/$1/privkey.pem /etc/letsencrypt/live/$1/fullchain.pem > $base.pem.new
        chown root:courier $base.pem.new
        chmod 640 $base.pem.new
        mv $base.pem.new $base.pem$2
    done
}}
issue {fqdn}
issue mail.{domain}
deploy {fqdn} ''
deploy mail.{domain} .mail.{domain}

# More virtual users, one with a quota; folders with names that are not ASCII; aliases; who may relay.
for user in carol dora; do
    install -d -o vmail -g vmail -m 750 /srv/mail/$user
    cd /srv/mail/$user
    setpriv --reuid vmail --regid vmail --clear-groups maildirmake.courier Maildir
    setpriv --reuid vmail --regid vmail --clear-groups maildirmake.courier -f 'Entwürfe & Ideen' Maildir
    userdb "$user@{domain}" set uid=900 gid=900 home=/srv/mail/$user mail=/srv/mail/$user/Maildir quota=50000000S
    echo secret-of-$user | userdbpw -md5 | userdb "$user@{domain}" set systempw
    setpriv --reuid vmail --regid vmail --clear-groups maildirmake.courier -q 50000000S Maildir
done
makeuserdb
cd /etc/courier
printf 'postmaster: alice\ninfo@{domain}: {bob}, carol@{domain}\n' > aliases/site
sed -i '/RELAYCLIENT/{{/^127/!s/^/#/}}' smtpaccess/default
printf '203.0.113.9\tallow,RELAYCLIENT\n' > smtpaccess/site
makealiases
makesmtpaccess
makeimapaccess
chmod 640 authdaemonrc

# Passwords only over TLS; the protocols that today's clients speak.
sed -i 's/^IMAP_TLS_REQUIRED=.*/IMAP_TLS_REQUIRED=1/' imapd-ssl
sed -i 's/^POP3_TLS_REQUIRED=.*/POP3_TLS_REQUIRED=1/' pop3d-ssl
echo 'TLS_PRIORITY="NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"' | tee -a esmtpd imapd-ssl pop3d-ssl > /dev/null
printf '\nAUTH_REQUIRED=1\nESMTP_TLS_REQUIRED=1\n' >> esmtpd-msa
# Otherwise the fifth start within ten seconds is refused.
systemctl reset-failed 'courier*'
systemctl restart courier-authdaemon
systemctl reset-failed 'courier*'
systemctl restart courier courier-mta courier-msa courier-mta-ssl
systemctl restart courier-imap courier-imap-ssl courier-pop courier-pop-ssl
"""


def furnish(machine: Machine) -> None:
    """Turn a stock trixie into such a host; mail, TLS by names, aliases and logins work when this returns."""
    machine.add_virtual_users()
    values = {"ca": CA, "fqdn": machine.fqdn, "domain": VIRTUAL_DOMAIN, "bob": BOB}
    machine.run(["bash", "-euc", _FURNISH.format(**values)], timeout=180)
    machine.wait_ready()
