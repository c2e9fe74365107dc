"""DH parameters, line ends and damaged PEM files on real hosts: what breaks TLS, what is found, and what mends it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from lab import NAMES

DHPARAMS = "/etc/courier/dhparams.pem"
ON_STOCK_HOSTS = {"/etc/courier/defaultdomain"}
"""What a highstate repairs there besides."""
IMAPD = "/etc/courier/imapd.pem"
OPENSSL = "trixie-openssl"
TLS = {"dh-params-weak", "dh-params-unusable", "pem-line-ends", "pem-unreadable"}

LOGS_OF_OPENSSL = (
    "couriertls: /etc/courier/imapd.pem: error:0480006C:PEM routines::no start line",
    "couriertls: /etc/courier/pop3d.pem: error:04800066:PEM routines::bad end line",
    "couriertls: connect: error:0A0000C1:SSL routines::no shared cipher",
)


def short_group(machine):
    machine.run(f"openssl dhparam -out {DHPARAMS} 1024", timeout=120)


def glued(content):
    return re.sub(rb"-----\n-----BEGIN", b"----------BEGIN", content)


def tls_findings(report):
    return {(finding["id"], finding["where"]): finding for finding in report["findings"] if finding["id"] in TLS}


def test_openssl_host_is_repaired_by_a_highstate(managed, shown, recorded):
    host = managed(OPENSSL)
    machine = host.machine
    stock = {name: machine.read(f"/etc/courier/{name}.pem") for name in ("imapd", "pop3d")}
    short_group(machine)
    assert not machine.handshake(465, tls12_dhe_only=True).ok
    machine.write(IMAPD, stock["imapd"].replace(b"\n", b"\r"))
    machine.write("/etc/courier/pop3d.pem", glued(stock["pop3d"]))
    assert not machine.handshake(993).ok
    assert not machine.handshake(995).ok

    said = "\n".join(machine.journal("imapd-ssl", "pop3d-ssl", "esmtpd-ssl"))
    assert all(line in said for line in LOGS_OF_OPENSSL), said
    found = tls_findings(host.audit())
    assert found.keys() == {
        ("dh-params-weak", DHPARAMS),
        ("pem-line-ends", IMAPD),
        ("pem-unreadable", "/etc/courier/pop3d.pem"),
    }
    assert {finding["severity"] for finding in found.values()} == {"high"}
    for issue in ("dh-params-weak", "pem-line-ends"):
        recorded(issue, "broken", machine)

    announced = host.highstate(test=True)
    assert not machine.handshake(993).ok
    done = host.highstate()
    assert announced.changes == done.changes
    assert set(done.changes) - ON_STOCK_HOSTS == {DHPARAMS, IMAPD, "/etc/courier/pop3d.pem"}
    assert machine.handshake(465, tls12_dhe_only=True).key_exchange == "DH, 3072 bits"
    assert machine.handshake(993).ok
    assert machine.handshake(995).ok
    assert {name: machine.read(f"/etc/courier/{name}.pem") for name in stock} == stock
    assert machine.run(f"stat -c '%U:%G %a' {DHPARAMS} {IMAPD}").stdout == "root:courier 640\n" * 2
    assert tls_findings(host.audit()) == {}
    again = host.highstate()
    assert (set(again.results), again.changes) == ({True}, {})
    for issue in ("dh-params-weak", "pem-line-ends", "pem-unreadable"):
        shown(issue, "repaired", machine)


def test_gnutls_host_gets_its_parameters_back_and_keeps_what_cannot_be_repaired(managed, shown, recorded):
    host = managed("trixie")
    machine = host.machine
    machine.run(f"rm {DHPARAMS}")
    damaged = machine.read("/etc/courier/pop3d.pem")[:-200]
    machine.write("/etc/courier/pop3d.pem", damaged)
    machine.write(IMAPD, machine.read(IMAPD).decode().encode("utf-16"))
    assert not machine.handshake(465, tls12_dhe_only=True).ok
    assert machine.handshake(465).ok
    assert not machine.handshake(993).ok
    assert not machine.handshake(995).ok
    said = "\n".join(machine.journal("imapd-ssl", "pop3d-ssl", "esmtpd-ssl"))
    assert "No supported cipher suites have been found." in said

    found = tls_findings(host.audit())
    assert {place: finding["severity"] for place, finding in found.items()} == {
        ("dh-params-unusable", DHPARAMS): "low",
        ("pem-unreadable", IMAPD): "high",
        ("pem-unreadable", "/etc/courier/pop3d.pem"): "high",
    }
    for issue in ("dh-params-unusable", "pem-unreadable"):
        recorded(issue, "broken", machine)
    done = host.highstate()
    assert set(done.changes) - ON_STOCK_HOSTS == {DHPARAMS, IMAPD}
    assert machine.handshake(465, tls12_dhe_only=True).key_exchange == "DH, 3072 bits"
    assert machine.handshake(993).ok
    assert machine.run(f"stat -c '%U:%G %a' {DHPARAMS}").stdout == "root:courier 640\n"
    assert machine.read("/etc/courier/pop3d.pem") == damaged
    assert tls_findings(host.audit()).keys() == {("pem-unreadable", "/etc/courier/pop3d.pem")}
    assert host.highstate().changes == {}
    for issue in ("dh-params-unusable", "pem-unreadable"):
        shown(issue, "repaired", machine)


@dataclass(frozen=True)
class Material:
    """Keys and certificates made by the machine itself.

    Args:
        text: what certtool writes before the key, which contains the key's numbers.
        key: in PEM.
        certificate: of that key, in PEM.
        other: a certificate of another key, in PEM.
        request: what a certificate authority is asked with, in PEM.
        passphrase: the same key, encrypted.
    """

    text: bytes
    key: bytes
    certificate: bytes
    other: bytes
    request: bytes
    passphrase: bytes

    @classmethod
    def of(cls, machine) -> Material:
        text, key, certificate = re.fullmatch(
            rb"(.*?)(-----BEGIN [^\n]*KEY.*?KEY-----\n)(.*)", machine.read(IMAPD), re.DOTALL
        ).groups()
        machine.run(
            "openssl req -x509 -newkey rsa:2048 -nodes -keyout /root/other.key -out /root/other.pem -subj /CN=other;"
            "openssl req -new -key /root/other.key -out /root/other.csr -subj /CN=other;"
            f"openssl pkey -in {IMAPD} -aes128 -passout pass:x -out /root/locked.key"
        )
        made = (machine.read(f"/root/{name}") for name in ("other.pem", "other.csr", "locked.key"))
        return cls(text, key, certificate, *made)

    def cases(self) -> dict[str, tuple[bytes, str, str, bool]]:
        """By name: content, effect with OpenSSL, effect with GnuTLS, repairable.

        The effect is ``works``, ``advice`` (it works, and there is something to say) or ``fails``.
        """
        whole = self.text + self.key + self.certificate
        group = b"-----BEGIN DH PARAMETERS-----\nMEYCQQ==\n"
        lines = whole.splitlines(keepends=True)
        return {
            "sound": (whole, "works", "works", False),
            "crlf": (whole.replace(b"\n", b"\r\n"), "advice", "advice", True),
            "cr": (whole.replace(b"\n", b"\r"), "fails", "advice", True),
            "mixed": (self.key + self.certificate.replace(b"\n", b"\r"), "fails", "advice", True),
            "bom": (b"\xef\xbb\xbf" + self.key + self.certificate, "advice", "advice", True),
            "glued": (glued(whole), "fails", "advice", True),
            "indented": (b"".join(b"  " + line for line in lines), "fails", "advice", True),
            "doublespaced": ((self.key + self.certificate).replace(b"\n", b"\n\n"), "fails", "advice", True),
            "comment": (
                whole.replace(b"END CERTIFICATE-----", b"END CERTIFICATE----- # mine"),
                "fails",
                "advice",
                True,
            ),
            "utf16": (whole.decode().encode("utf-16"), "fails", "fails", True),
            "endline": (whole.replace(b"END CERTIFICATE-----", b"END CERTIFICATE----"), "fails", "works", False),
            "dhcutoff": (whole + group, "fails", "works", False),
            "request": (whole + self.request, "works", "fails", False),
            "cutoff": (whole[:-200], "fails", "fails", False),
            "empty": (b"", "fails", "fails", False),
            "nokey": (self.certificate, "fails", "fails", False),
            "nocertificate": (self.key, "fails", "fails", False),
            "locked": (self.passphrase + self.certificate, "fails", "fails", False),
            "mismatch": (self.key + self.other, "fails", "fails", False),
            "order": (self.key + self.other + self.certificate, "fails", "fails", False),
        }


@pytest.mark.hosts_all
@pytest.mark.parametrize("base", NAMES)
def test_every_damage_to_a_pem_file_has_the_effect_that_is_reported(machine_of, shown, base):
    """Each damage is in the file of a name of its own, so that one machine shows them all."""
    machine = machine_of(base)
    cases = Material.of(machine).cases()
    paths = {f"{IMAPD}.{name}.example.test": name for name in cases}
    for path, name in paths.items():
        machine.write(path, cases[name][0], mode=0o640, owner="root:courier")

    def works(name: str) -> bool:
        shake = machine.handshake(993, arguments=["-servername", f"{name}.example.test"])
        # s_client names the cipher even if it then refuses the server's signature.
        return shake.ok and "bad signature" not in shake.output

    effects = {name: case[1] if base == OPENSSL else case[2] for name, case in cases.items()}
    assert {name for name in cases if not works(name)} == {name for name in cases if effects[name] == "fails"}

    def found() -> dict[str, set[str]]:
        report = machine.salt_call("courier.check_pem_eol").value
        assert report["unknown"] == []
        return {
            kind: {
                paths[finding["where"]]
                for finding in report["findings"]
                if finding["where"] in paths and (finding["severity"] == "high") == (kind == "fails")
            }
            for kind in ("fails", "advice")
        }

    expected = {kind: {name for name in cases if effects[name] == kind} for kind in ("fails", "advice")}
    assert found() == expected
    fixed = machine.salt_call("courier.fix_pem_eol").value
    repaired = {name for name in cases if effects[name] != "works" and cases[name][3]}
    assert {paths[path] for path in fixed["changes"]} == repaired
    assert all(works(name) for name in repaired)
    assert found() == {kind: names - repaired for kind, names in expected.items()}
    assert machine.salt_call("courier.fix_pem_eol").value["changes"] == {}
    shown("pem-unreadable", "repaired", machine)
    shown("pem-line-ends", "repaired" if base == OPENSSL else "cannot occur", machine)


NO_LIBRARY_READS = {
    "missing": f"rm {DHPARAMS}",
    "empty": f": >{DHPARAMS}",
    "garbage": f"echo hello >{DHPARAMS}",
    "X9.42": f"openssl genpkey -genparam -algorithm DHX -pkeyopt dh_rfc5114:3 -out {DHPARAMS}",
    "cut off": f"sed -i '$d' {DHPARAMS}",
}
ONLY_OPENSSL_MINDS = {
    "1024 bits": f"openssl dhparam -out {DHPARAMS} 1024",
    "damaged END line": f"sed -i '$s/-----$/---/' {DHPARAMS}",
    "indented": f"sed -i 's/^/  /' {DHPARAMS}",
    "CR": f"tr '\\n' '\\r' <{DHPARAMS} >/root/cr; cat /root/cr >{DHPARAMS}",
}


@pytest.mark.hosts_all
@pytest.mark.parametrize("base", NAMES)
def test_every_damage_to_dh_parameters_has_the_effect_that_is_reported(machine_of, shown, base):
    machine = machine_of(base)
    sound = machine.read(DHPARAMS)
    for name, damage in {**NO_LIBRARY_READS, **ONLY_OPENSSL_MINDS}.items():
        hurts = base == OPENSSL or name in NO_LIBRARY_READS
        machine.write(DHPARAMS, sound)
        machine.run(damage, timeout=120)
        assert machine.handshake(993).ok, name
        assert machine.handshake(993, tls12_dhe_only=True).ok != hurts, name
        report = machine.salt_call("courier.check_dh").value
        assert {finding["where"] for finding in report["findings"]} == ({DHPARAMS} if hurts else set()), name
        fixed = machine.salt_call("courier.fix_dh", group="ffdhe2048").value
        assert set(fixed["changes"]) == ({DHPARAMS} if hurts else set()), name
        # GnuTLS sends the published group of 2048 bits for a file with 1024.
        bits = 2048 if hurts or name == "1024 bits" else 3072
        assert machine.handshake(993, tls12_dhe_only=True).key_exchange == f"DH, {bits} bits", name
        assert machine.salt_call("courier.check_dh").value["findings"] == [], name
    shown("dh-params-unusable", "repaired", machine)
    shown("dh-params-weak", "repaired" if base == OPENSSL else "cannot occur", machine)


@pytest.mark.hosts_all
def test_short_block_in_a_certificate_counts_where_nothing_else_is_set_and_is_replaced_in_place(machine_of):
    machine = machine_of(OPENSSL)
    machine.run(f"openssl dhparam 1024 >>{IMAPD}; sed -i '/^TLS_DHPARAMS/d' /etc/courier/imapd-ssl", timeout=120)
    machine.run("systemctl restart courier-imap-ssl")
    machine.wait_ready(993)
    before = machine.read(IMAPD)
    assert not machine.handshake(993, tls12_dhe_only=True).ok
    report = machine.salt_call("courier.check_dh").value
    assert [finding["where"] for finding in report["findings"]] == [IMAPD]
    machine.salt_call("courier.fix_dh", group="ffdhe4096")
    assert machine.handshake(993, tls12_dhe_only=True).key_exchange == "DH, 4096 bits"
    after = machine.read(IMAPD)
    marker = b"-----BEGIN DH PARAMETERS-----"
    assert after.partition(marker)[0] == before.partition(marker)[0]


@pytest.mark.hosts_all
@pytest.mark.parametrize("group", ["ffdhe2048", "ffdhe3072", "ffdhe4096"])
def test_group_that_is_written_is_byte_for_byte_that_of_openssl(machine_of, group):
    machine = machine_of(OPENSSL)
    machine.run(f"rm {DHPARAMS}")
    machine.salt_call("courier.fix_dh", group=group)
    made = machine.run(f"openssl genpkey -genparam -algorithm DH -pkeyopt group:{group}").stdout
    assert machine.read(DHPARAMS).decode() == made
