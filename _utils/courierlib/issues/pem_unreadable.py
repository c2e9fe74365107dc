r"""
A certificate or private key that couriertls cannot use takes TLS down

## What you see

Every TLS connection breaks at once, on one service or on all, or for one name only. With OpenSSL the log names the
certificate's file, even if the private key has a file of its own and that one is at fault:

```text
imapd-ssl: ip=[::ffff:127.0.0.1], couriertls: /etc/courier/imapd.pem: error:0480006C:PEM routines::no start line
```

With GnuTLS (all of Debian) the log names the file only if it is missing or may not be read. Otherwise it talks of
cipher suites, or of decryption, where a certificate is meant.

## What it breaks

TLS on every service that uses the file: IMAP, POP3, SMTP submission, and STARTTLS. A file for one name
(`imapd.pem.mail.example.com`) breaks only for clients that ask for this name. Nothing is lost.

What each build can read:

| in the file | OpenSSL | GnuTLS |
| --- | --- | --- |
| markers glued: `-----END CERTIFICATE----------BEGIN …` | no | yes |
| indented markers, text behind a marker, blank lines within a block | no | yes |
| damaged END line: a dash too few | no | yes |
| a broken DH block at the end | no | yes |
| a certificate request (`CERTIFICATE REQUEST`) left in it | yes | no |
| cut off, empty, DER, UTF-16 | no | no |
| no key, no certificate, key with a passphrase, key of another certificate | no | no |
| UTF-8 byte order mark | yes, since 3.0 | yes |

## Check by hand

The first command lists the markers with their line numbers, and nothing of what is between them. On a healthy host
every file has one private key and at least one certificate, the server's first; each marker begins with its five
dashes and ends with five, and each BEGIN has its END. Look for two markers with the same number (glued), blanks before
a marker (indented), a missing END, `ENCRYPTED`, and files that are not listed at all.

The second command prints for each file what the public key in the certificate and that of the private key hash to. On
a healthy host the two are equal. `e3b0c442` stands for one that cannot be read. OpenSSL's own message says why:

```console
# openssl x509 -in /etc/courier/imapd.pem -noout
# openssl pkey -in /etc/courier/imapd.pem -noout
```

`Could not find certificate` or `Could not find private key` says which part cannot be read. Where `TLS_CERTFILE` or
`TLS_PRIVATE_KEYFILE` names other files, look at those, and at `imapd.pem.NAME` if only one name is struck.

## Fix by hand

Nothing is interrupted: couriertls reads the file for every connection. Keep a copy outside `/etc/courier`, because
couriertls takes `imapd.pem.NAME` for the certificate of NAME:

```console
# cp -p /etc/courier/imapd.pem /root/imapd.pem.old
```

Glued markers:

```console
# sed -i 's/-----\(-----BEGIN\)/-----\n\1/' /etc/courier/imapd.pem
```

What is missing cannot be repaired, only brought back: put the file together again from key and certificates (key, the
server's certificate, intermediates), from a backup or from the certificate authority. A lost private key needs a new
certificate. Remove a passphrase with `openssl pkey -in old.key -out new.key`.

`courier.fix pem-unreadable` repairs layout only, and only if every key and certificate is byte for byte the same
afterwards.

## Undo

```console
# cp -p /root/imapd.pem.old /etc/courier/imapd.pem
```

## How to see that it worked

```console
# openssl s_client -connect localhost:993 </dev/null 2>&1 | grep -E 'Cipher is|SSL routines'
New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384
```

Before, it said `Cipher is (NONE)`, or, with a key of another certificate, also `bad signature`. For the file of a
name add `-servername mail.example.com`.

## Why it happens

`cat key.pem cert.pem` glues two files if the first does not end with a newline. Copying from a mail or a web page
indents. An editor on Windows saves UTF-16 as "Unicode". A full disk or a broken copy cuts off. A renewal replaces the
certificate and leaves the old key. OpenSSL reads line by line and gives up at the first bad one; GnuTLS looks for the
markers anywhere, which is why a file that worked on Debian fails elsewhere.
"""

from courierlib import pem, tlsfiles
from courierlib.issue import BY_TLS, Affects, Finding, Issue, Severity, Signature, Unknown, Upgrade
from courierlib.tree import Unreadable

_SERVERS = ("imapd-ssl", "pop3d-ssl", "esmtpd-ssl", "courieresmtpd", "imapd", "pop3d", "esmtpd")
_PEM = (
    BY_TLS + r"couriertls: \S+: error:[0-9A-F]+:PEM routines:[A-Za-z_]*:(no start line|bad end line|bad base64 decode)"
)
_MISMATCH = BY_TLS + r"couriertls: \S+: error:[0-9A-F]+:x509 certificate routines:[A-Za-z0-9_]*:key values mismatch"
_MISSING = (
    BY_TLS + r"couriertls: \S+: error:[0-9A-F]+:system library:[a-z]*:(No such file or directory|Permission denied)"
)
_OLD = "run: PEM_read_bio and X509_check_private_key of OpenSSL {}; read: sslerror() in libcouriertls.c, 1.4.1"
_KNOWN = {
    "OpenSSL 1.0": _OLD.format("1.0.2q"),
    "OpenSSL 1.1": _OLD.format("1.1.1l"),
    "OpenSSL 3": "run: trixie, couriertls 1.4.1 with OpenSSL 3.5.7",
    "GnuTLS": "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS)",
}


def _signature(tls: str, pattern: str, message: str) -> Signature:
    return Signature(_SERVERS, pattern, f"ip=[192.0.2.7], {message}", _KNOWN[tls], tls)


ISSUE = Issue(
    id="pem-unreadable",
    component="tls",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="nothing: couriertls reads the file for every connection",
    look=(
        "grep -noE '[[:blank:]]*-*(BEGIN|END) [A-Z0-9. ]+-*' /etc/courier/*d.pem",
        'for f in /etc/courier/*d.pem; do echo "$f: certificate '
        '$(openssl x509 -in "$f" -noout -pubkey 2>/dev/null | sha256sum | cut -c1-8), key '
        '$(openssl pkey -in "$f" -passin pass: -pubout 2>/dev/null | sha256sum | cut -c1-8)"; done',
    ),
    tell="`openssl s_client -connect localhost:993` says `Cipher is (NONE)` or `bad signature` (with bad DH parameters "
    r"it still names a cipher), `grep -cP '\r.' FILE` counts none, and the file is there and is no cache. A client "
    "that is alone with `Decryption has failed.` has refused a sound certificate.",
    bites=("couriertls",),
    upgrades=(
        Upgrade(
            version="0.76.3",
            packaging="debian",
            act="before",
            step="Take certificate requests (`CERTIFICATE REQUEST`) out of the PEM files: Debian's couriertls is built "
            "with GnuTLS from then on, which cannot use a file with one in it.",
        ),
    ),
    known=(
        "run: trixie with an OpenSSL 3.5.7 couriertls 1.4.1, and bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS): "
        "every line of the table",
        "read: read_certfile() in libs/tcpd/libcouriertls.c, set_cert() in libcouriergnutls.c, 1.4.1",
        "read: get_name() and get_header_and_data() in crypto/pem/pem_lib.c, OpenSSL 3.0",
        "read: debian/changelog: built with GnuTLS instead of OpenSSL since 0.76.3-2",
        "reported: https://georgik.sinusgear.com/tag/courier/ (OpenSSL 1.0)",
    ),
    signatures=(
        Signature(
            process=_SERVERS,
            pattern=_PEM,
            sample="couriertls: /etc/courier/esmtpd.pem: error:0906D06C:PEM routines:PEM_read_bio:no start line",
            known="reported: https://georgik.sinusgear.com/tag/courier/ (OpenSSL 1.0)",
            tls="OpenSSL 1.0",
        ),
        _signature(
            "OpenSSL 1.1",
            _PEM,
            "couriertls: /etc/courier/imapd.pem: error:0909006C:PEM routines:get_name:no start line",
        ),
        _signature(
            "OpenSSL 1.0",
            _PEM,
            "couriertls: /etc/courier/imapd.pem: error:0906D066:PEM routines:PEM_read_bio:bad end line",
        ),
        _signature(
            "OpenSSL 1.1",
            _PEM,
            "couriertls: /etc/courier/imapd.pem: error:0908F066:PEM routines:get_header_and_data:bad end line",
        ),
        _signature("OpenSSL 3", _PEM, "couriertls: /etc/courier/imapd.pem: error:0480006C:PEM routines::no start line"),
        _signature("OpenSSL 3", _PEM, "couriertls: /etc/courier/imapd.pem: error:04800066:PEM routines::bad end line"),
        _signature(
            "OpenSSL 3", _PEM, "couriertls: /etc/courier/imapd.pem: error:04800064:PEM routines::bad base64 decode"
        ),
        _signature(
            "OpenSSL 3",
            BY_TLS + r"couriertls: \S+: error:1E08010C:DECODER routines::unsupported",
            "couriertls: /etc/courier/imapd.pem: error:1E08010C:DECODER routines::unsupported",
        ),
        _signature(
            "OpenSSL 3",
            BY_TLS + r"couriertls: \S+: error:1C800064:Provider routines::bad decrypt",
            "couriertls: /etc/courier/imapd.pem: error:1C800064:Provider routines::bad decrypt",
        ),
        _signature(
            "OpenSSL 3",
            _MISMATCH,
            "couriertls: /etc/courier/imapd.pem: error:05800074:x509 certificate routines::key values mismatch",
        ),
        _signature(
            "OpenSSL 1.0",
            _MISMATCH,
            "couriertls: /etc/courier/imapd.pem: error:0B080074:x509 certificate routines:X509_check_private_key:"
            "key values mismatch",
        ),
        _signature(
            "OpenSSL 1.1",
            _MISMATCH,
            "couriertls: /etc/courier/imapd.pem: error:0B080074:x509 certificate routines:X509_check_private_key:"
            "key values mismatch",
        ),
        _signature(
            "OpenSSL 3",
            BY_TLS + r"couriertls: connect: error:0A000076:SSL routines::no suitable signature algorithm",
            "couriertls: connect: error:0A000076:SSL routines::no suitable signature algorithm",
        ),
        _signature(
            "OpenSSL 3",
            BY_TLS + r"couriertls: \S+: error:0680009B:asn1 encoding routines::too long",
            "couriertls: /etc/courier/imapd.pem: error:0680009B:asn1 encoding routines::too long",
        ),
        _signature(
            "OpenSSL 3",
            _MISSING,
            "couriertls: /etc/courier/imapd.pem: error:FFFFFFFF80000002:system library::No such file or directory",
        ),
        _signature(
            "GnuTLS",
            BY_TLS + r"couriertls: /\S+: (No such file or directory|Permission denied)",
            "couriertls: /etc/courier/imapd.pem: No such file or directory",
        ),
        _signature(
            "GnuTLS",
            BY_TLS + r"No supported cipher suites have been found\.$",
            "No supported cipher suites have been found.",
        ),
        _signature("GnuTLS", BY_TLS + r"Decryption has failed\.$", "Decryption has failed."),
    ),
    references=("https://www.rfc-editor.org/rfc/rfc7468",),
)


def check(host):
    """Yield a finding for every certificate and private key that couriertls cannot use, line ends apart."""
    # 1.0.2 and 1.1.1 take a mark for part of the first line, and find no block there (run: OpenSSL 1.0.2q, 1.1.1l).
    skips_bom = host.tls_library != "openssl" or "libssl.so.3" in host.tls_library_known
    said: dict[tuple[str, str], list[str]] = {}
    problems: dict[tuple[str, str], pem.Problem] = {}
    for pair in tlsfiles.pairs(host):
        for path, problem in _problems(host, pair):
            if problem.kind == "doubt":
                yield Unknown(f"{path}: {problem.detail}")
                continue
            key = path, problem.detail
            problems[key] = problem
            said.setdefault(key, []).extend(name for name in pair.services if name not in said.get(key, ()))
    for (path, detail), services in said.items():
        problem = problems[path, detail]
        certbot = problem.repairable and tlsfiles.kept_by_certbot(host, path)
        yield Finding(
            where=path,
            detail=f"{detail} ({', '.join(services)})" + certbot * "; certbot writes this file",
            severity=Severity.LOW if problem.kind == "advice" or (problem.kind == "bom" and skips_bom) else None,
            fixable=problem.repairable and not certbot,
            subject=detail,
        )


def _problems(host, pair):
    """What is wrong with a pair: path of the file and problem."""
    files = []
    for path in pair.paths:
        try:
            files.append(pem.parse(pem.unix_line_ends(host.read(path))))
        except Unreadable as failed:
            yield path, pem.Problem("doubt" if "permission" in failed.why else "missing", failed.why)
            return
    for problem in pem.problems(host.tls_library, *files):
        yield pair.keyfile if problem.in_key_file else pair.certfile, problem


def fix(host, findings):
    """Yield what lays the same keys and certificates out as every TLS library reads them."""
    for path, detail in {finding.where: finding.subject for finding in findings}.items():
        yield tlsfiles.repair_layout(path, detail)
