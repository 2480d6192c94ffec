#!/bin/sh
# Install what the test cluster needs on a fresh Debian 12, or the packages given; do nothing when
# all is there.
# No service is left running: the test cluster starts its own daemons.
set -eu

cluster="slurm-wlm slurmdbd munge mariadb-server python3-venv python3-pip util-linux passwd procps environment-modules faketime"
packages="${*:-$cluster}"

missing=""
for package in $packages; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "install.sh: missing packages, run this as root:$missing" >&2
    exit 1
fi

# invoke-rc.d asks this program before it starts a service; 101 means no.
guard=/usr/sbin/policy-rc.d
if [ ! -e "$guard" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$guard"
    chmod 755 "$guard"
    trap 'rm -f "$guard"' EXIT
fi

export DEBIAN_FRONTEND=noninteractive
wait="-o DPkg::Lock::Timeout=600"
# shellcheck disable=SC2086 # the words of these lists are the arguments
{
    apt-get $wait --quiet --quiet update
    apt-get $wait --quiet --quiet --yes --no-install-recommends install $missing
}
