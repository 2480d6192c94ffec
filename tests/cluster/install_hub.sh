#!/bin/sh
# Install what a hub needs beyond install.sh: sudo, a browser, and the proxy from npm; do nothing if it is there.
set -eu

if [ ! -x /usr/bin/sudo ] || [ ! -x /usr/bin/chromium ] || ! command -v npm >/dev/null 2>&1; then
    if [ "$(id -u)" != 0 ]; then
        echo "install_hub.sh: sudo, chromium or npm are missing, run this as root" >&2
        exit 1
    fi
    missing=""
    [ -x /usr/bin/sudo ] || missing="sudo"
    # a browser without any font draws no letters
    [ -x /usr/bin/chromium ] || missing="$missing chromium fonts-dejavu-core"
    command -v npm >/dev/null 2>&1 || missing="$missing nodejs npm"
    export DEBIAN_FRONTEND=noninteractive
    wait="-o DPkg::Lock::Timeout=600"
    # shellcheck disable=SC2086 # the words of these lists are the arguments
    {
        apt-get $wait --quiet --quiet update
        apt-get $wait --quiet --quiet --yes --no-install-recommends install $missing
    }
fi
command -v configurable-http-proxy >/dev/null 2>&1 ||
    npm install --global --silent configurable-http-proxy@5
