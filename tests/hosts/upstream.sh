# Builds all of Courier as its INSTALL says and installs it under upstream's own prefix, /usr/lib/courier, with OpenSSL.
# Debian's packages move nearly every directory; an administrator who builds from source, and the RPM, do not.
export DEBIAN_FRONTEND=noninteractive
sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > /etc/apt/sources.list.d/source.list
apt-get update -qq -o Acquire::Check-Valid-Until=false
apt-get purge -qq courier-mta courier-imap courier-pop courier-base maildrop
rm -rf /usr/lib/courier
apt-get install -qq --no-install-recommends dpkg-dev gcc g++ make pkg-config file libc6-dev libssl-dev \
    libcourier-unicode-dev courier-authlib-dev libidn2-dev libidn-dev libgdbm-dev libpcre2-dev zlib1g-dev libltdl-dev \
    expect gnupg libperl-dev mailcap
mkdir /build
cd /build
apt-get source -qq --download-only courier
# Upstream's tarball as it is, without Debian's patches.
mkdir courier
tar -xf courier_*.orig.tar.bz2 -C courier --strip-components=1
cd courier

quietly() {
    "$@" > /build/quietly.out 2>&1 || { tail -n 40 /build/quietly.out; return 1; }
}
quietly ./configure --disable-root-check --with-notice=unicode --without-gnutls --with-db=gdbm \
    --with-mailuser=courier --with-mailgroup=courier
quietly make -s -j "$(nproc)"
quietly make -s install
quietly make -s install-configure
/usr/lib/courier/sbin/courier --version
cd /
rm -rf /build
