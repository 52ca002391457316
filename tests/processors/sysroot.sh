#!/bin/sh
# Makes a folder in which `qemu-aarch64` runs Python 3.11 with the engines, from Debian's packages and PyPI's wheels of the
# versions in constraints.txt; changes nothing of the system. Needs a Debian 12 host, pip and some 400 MB. Usage: sysroot.sh FOLDER
set -eu
root=$(realpath -m "$1") && here=$(realpath "$(dirname "$0")")
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
mkdir -p "$root/site" "$root/proc" "$work/lists/partial" "$work/archives/partial" "$work/debs"

arm() { apt-get -q -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State::lists="$work/lists" \
    -o Dir::State::status=/dev/null -o Dir::Cache="$work" -o APT::Sandbox::User=root "$@"; }
arm update
(cd "$work/debs" && arm download python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 libstdc++6 libgcc-s1 \
    zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5 libssl3 libuuid1 libsqlite3-0 libcrypt1)
for package in "$work"/debs/*.deb; do dpkg-deb -x "$package" "$root"; done

platforms=$(for glibc in 17 27 28 31 34 35 36; do printf ' --platform manylinux_2_%s_aarch64' $glibc; done)
# shellcheck disable=SC2086
python3 -m pip install --quiet --target "$root/site" $platforms --platform manylinux2014_aarch64 --python-version 3.11 \
    --only-binary :all: --constraint "$here/../../constraints.txt" numpy onnx onnxruntime openvino pyyaml

# ONNX Runtime asks /proc/cpuinfo at import and crashes over the host's; qemu looks into the sysroot first.
printf 'processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n' > "$root/proc/cpuinfo"
qemu-aarch64 -L "$root" "$root/usr/bin/python3.11" --version
