"""One installation: its layout, build, settings and TLS files are read from its own files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from installation import install

from courierlib.host import Host, System
from courierlib.issue import Unknown
from courierlib.services import Completed


def test_debians_layout_is_read_from_the_start_scripts(tmp_path):
    host = Host(str(install(tmp_path)))
    assert host.installed
    assert host.layout.sysconfdir == "/etc/courier"
    assert host.layout.libexecdir == "/usr/lib/courier"
    assert host.layout.localstatedir == "/var/lib/courier"
    assert (host.layout.mailuser, host.layout.mailgroup) == ("courier", "courier")
    assert host.components == {"mta", "imap", "pop", "maildrop"}


def test_upstreams_prefix_is_found_and_its_defaults_hold(tmp_path):
    share = tmp_path / "usr/lib/courier/share"
    share.mkdir(parents=True)
    (tmp_path / "usr/lib/courier/etc").mkdir()
    (share / "imapd-ssl").write_text(
        "#!/bin/sh\nprefix=/usr/lib/courier\nexec_prefix=/usr/lib/courier\nsysconfdir=/usr/lib/courier/etc\n"
    )
    layout = Host(str(tmp_path)).layout
    assert layout.sysconfdir == "/usr/lib/courier/etc"
    assert layout.bindir == "/usr/lib/courier/bin"
    assert layout.libexecdir == "/usr/lib/courier/libexec"
    assert layout.localstatedir == "/usr/lib/courier/var"


def test_courier_installed_under_upstreams_own_prefix_is_read_whole():
    host = Host(str(Path(__file__).parent / "data/upstream"))
    assert host.version == "1.4.1"
    assert host.tls_library == "openssl"
    assert host.components == {"mta", "imap", "pop", "maildrop", "authdaemon"}
    assert host.layout.sysconfdir == "/usr/lib/courier/etc"
    assert host.layout.localstatedir == "/usr/lib/courier/var"
    assert (host.layout.mailuser, host.layout.mailgroup) == ("courier", "courier")
    assert host.maildrop.courier_build
    assert host.authdaemonvar == "/run/courier/authdaemon"
    assert {service.certfile for service in host.tls_services} == {
        f"/usr/lib/courier/share/{name}.pem" for name in ("esmtpd", "imapd", "pop3d")
    }


def test_a_machine_without_courier_is_not_an_error(tmp_path):
    host = Host(str(tmp_path))
    assert not host.installed
    with pytest.raises(Unknown, match="not installed"):
        _ = host.layout


def test_configuration_left_by_a_removed_package_is_no_installation(tmp_path):
    (tmp_path / "etc/courier").mkdir(parents=True)
    (tmp_path / "etc/courier/esmtpd").write_text("PORT=smtp\n")
    assert not Host(str(tmp_path)).installed


@pytest.mark.parametrize("library", ["gnutls", "openssl"])
def test_the_tls_library_is_what_couriertls_is_linked_with(tmp_path, library):
    host = Host(str(install(tmp_path, library)))
    assert host.tls_library == library
    assert "/usr/bin/couriertls needs lib" in host.tls_library_known


def test_a_missing_couriertls_leaves_the_library_unknown(tmp_path):
    install(tmp_path)
    (tmp_path / "usr/bin/couriertls").unlink()
    with pytest.raises(Unknown, match="/usr/bin/couriertls: no such file"):
        _ = Host(str(tmp_path)).tls_library


def test_the_version_is_what_the_programs_carry(tmp_path):
    assert Host(str(install(tmp_path, version="2.0.6"))).version == "2.0.6"


def test_tls_files_are_evaluated_with_the_start_scripts_variables(tmp_path):
    install(tmp_path)
    services = {service.name: service for service in Host(str(tmp_path)).tls_services}
    assert services["imapd-ssl"].certfile == "/etc/courier/imapd.pem"
    assert services["imapd-ssl"].dhparams == "/etc/courier/dhparams.pem"
    assert services["esmtpd-ssl"].certfile == "/etc/courier/esmtpd.pem"


def test_files_for_names_are_found_and_leftovers_are_not(tmp_path):
    install(tmp_path)
    for name in (
        "imapd.pem",
        "imapd.pem.mail.example.com",
        "imapd.pem.192.0.2.1",
        "imapd.pem.bak",
        "imapd.pem.dpkg-old",
        "imapd.pem.x~",
    ):
        (tmp_path / "etc/courier" / name).write_text("")
    (service,) = [s for s in Host(str(tmp_path)).tls_services if s.name == "imapd-ssl"]
    assert service.vhost_certfiles == ("/etc/courier/imapd.pem.192.0.2.1", "/etc/courier/imapd.pem.mail.example.com")


def test_a_removed_listener_is_not_looked_at_though_its_configuration_is_left(tmp_path):
    install(tmp_path)
    (tmp_path / "usr/lib/courier/pop3d-ssl").unlink()
    assert "pop3d-ssl" not in {service.name for service in Host(str(tmp_path)).tls_services}


def test_a_certificate_file_computed_by_the_shell_is_unknown(tmp_path):
    install(tmp_path)
    (tmp_path / "etc/courier/imapd-ssl").write_text("TLS_CERTFILE=$(hostname).pem\n")
    with pytest.raises(Unknown, match="imapd-ssl:1"):
        _ = Host(str(tmp_path)).tls_services


def test_what_needs_the_running_host_is_unknown_under_a_root(tmp_path):
    host = Host(str(install(tmp_path)))
    for fact in ("services", "processes", "accounts"):
        with pytest.raises(Unknown, match="needs the running host"):
            getattr(host, fact)


def test_a_host_without_a_service_manager_says_so(tmp_path):
    host = Host(str(install(tmp_path)), System(lambda command: Completed(0, "", ""), None))
    with pytest.raises(Unknown, match="no service manager"):
        _ = host.services


def test_accounts_are_what_authenumerate_prints(tmp_path):
    install(tmp_path)
    (tmp_path / "usr/sbin/authenumerate").write_bytes(b"")
    printed = (
        "alice\t1000\t1000\t/home/alice\t\nbob@example.com\t900\t900\t/srv/bob\t/srv/bob/Maildir\t\n"
        "nonsense\ncarol\t1001\t1001\t/home/carol"
    )
    host = Host(str(tmp_path), System(lambda command: Completed(0, printed, ""), None))
    assert [(a.name, a.uid, a.maildir) for a in host.accounts] == [
        ("alice", 1000, ""),
        ("bob@example.com", 900, "/srv/bob/Maildir"),
        ("carol", 1001, ""),
    ]


def test_accounts_are_unknown_while_authdaemon_does_not_answer(tmp_path):
    install(tmp_path)
    (tmp_path / "usr/sbin/authenumerate").write_bytes(b"")
    host = Host(str(tmp_path), System(lambda command: Completed(1, "", ""), None))
    with pytest.raises(Unknown, match="is authdaemon running"):
        _ = host.accounts


def test_a_settings_file_that_is_a_directory_is_named(tmp_path):
    install(tmp_path)
    (tmp_path / "etc/courier/courierd").unlink()
    (tmp_path / "etc/courier/courierd").mkdir()
    with pytest.raises(Unknown, match="/etc/courier/courierd: not a regular file"):
        _ = Host(str(tmp_path)).default_delivery


def test_courier_imap_alone_has_no_mta(tmp_path):
    install(tmp_path)
    shutil.rmtree(tmp_path / "usr/lib/courier/courier")
    (tmp_path / "etc/courier/courierd").unlink()
    assert "mta" not in Host(str(tmp_path)).components


def test_the_rpms_layout_is_found(tmp_path):
    """Programs under upstream's prefix, configuration and queue elsewhere (read: courier.spec.in, 1.4.1)."""
    share = tmp_path / "usr/lib/courier/share"
    share.mkdir(parents=True)
    (tmp_path / "etc/courier").mkdir(parents=True)
    (share / "esmtpd").write_text(
        '#! /bin/sh\nprefix="/usr/lib/courier"\nexec_prefix="/usr/lib/courier"\nsysconfdir="/etc/courier"\n'
        'sbindir="/usr/lib/courier/sbin"\n'
    )
    (share / "filterctl").write_text('#! /bin/sh\nprefix="/usr/lib/courier"\nlocalstatedir="/var/spool/courier"\n')
    layout = Host(str(tmp_path)).layout
    assert layout.sysconfdir == "/etc/courier"
    assert layout.localstatedir == "/var/spool/courier"
    assert layout.bindir == "/usr/lib/courier/bin"
    assert layout.libexecdir == "/usr/lib/courier/libexec"
