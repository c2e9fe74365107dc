# Builds couriertls against OpenSSL, in a throwaway Debian root, and leaves it as /couriertls.
# Debian's own is GnuTLS; upstream's default, the RPMs, Gentoo, Arch and FreeBSD use OpenSSL and fail differently.
export DEBIAN_FRONTEND=noninteractive
sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > /etc/apt/sources.list.d/source.list
apt-get update -qq -o Acquire::Check-Valid-Until=false
apt-get install -qq --no-install-recommends dpkg-dev gcc g++ make pkg-config file libc6-dev libssl-dev \
    libcourier-unicode-dev courier-authlib-dev libidn2-dev libidn-dev libgdbm-dev libpcre2-dev zlib1g-dev libltdl-dev
mkdir /build
cd /build
apt-get source -qq --download-only courier
dpkg-source --no-check -x courier_*.dsc courier
cd courier/libs

# tcpd's configure reads what the top-level configure, which would configure all of Courier, leaves here.
echo 'dblibrary="../gdbmobj/libgdbmobj.la"' > ../dbobj.config
# What debian/rules passes, but for the TLS library.
options="--without-gnutls --without-socks --with-db=gdbm --sysconfdir=/etc/courier --libexecdir=/usr/lib/courier
--localstatedir=/var/lib/courier --with-certsdir=/etc/courier --with-certsdb=/etc/ssl/certs/ca-certificates.crt"

quietly() {
    "$@" > quietly.out 2>&1 || { tail -n 20 quietly.out; return 1; }
}
for library in rfc822 numlib md5 soxwrap random128 liblock rfc1035 tcpd; do
    echo "$library"
done | xargs -P "$(nproc)" -I{} sh -euc "cd {} && ./configure -q $(echo $options) > configure.out 2>&1 || { tail -n 20 configure.out; exit 255; }"

# Single targets: their test programs do not all build outside the full tree.
build() (
    cd "$1"
    quietly make -s "$2"
)
build numlib libnumlib.la
build md5 libmd5.la
build soxwrap libsoxwrap.a
build random128 librandom128.la
build liblock liblock.la
build rfc1035 librfc1035.a
build tcpd couriertls
ldd tcpd/couriertls | grep -q libssl
install -m 755 -s tcpd/couriertls /couriertls
