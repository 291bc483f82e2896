#!/usr/bin/env bash
# Installs lavapipe, the Vulkan driver of Mesa that runs on the CPU, so that the GPU tests need no GPU (root, Debian or
# Ubuntu). Dawn needs Mesa 23.1 or later: on Debian bookworm it comes from backports, whose address is that of the
# machine's own mirror. The machine's apt sources stay as they are. Prints the path of the driver's ICD file.
set -euo pipefail

icd_file() { find /usr/share/vulkan/icd.d /etc/vulkan/icd.d -name 'lvp_icd*.json' 2>/dev/null | head -n 1; }
mesa_version() { dpkg-query -W -f '${Version}' mesa-vulkan-drivers 2>/dev/null || true; }
new_enough() { [ -n "$1" ] && dpkg --compare-versions "$1" ge 23.1; }

if [ -n "$(icd_file)" ] && new_enough "$(mesa_version)" && ldconfig -p | grep -q libvulkan.so.1; then
  icd_file
  exit 0
fi

export DEBIAN_FRONTEND=noninteractive
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. /etc/os-release

# Only the distribution's own archive is asked: another source of this machine may be out of reach.
apt-get indextargets --format '$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)' |
  awk '$1 == "Packages" && $2 ~ /\/(debian|debian-security|ubuntu)\/?$/ { print "deb", $2, $3, $4 }' |
  sort -u > "$folder/sources.list"
archive=$(awk -v suite="$VERSION_CODENAME" '$3 == suite { print $2; exit }' "$folder/sources.list")
if [ -z "$archive" ]; then
  echo "install-software-gpu: no archive of $VERSION_CODENAME among the apt sources" >&2
  exit 1
fi
if [ "$VERSION_CODENAME" = bookworm ]; then
  echo "deb $archive bookworm-backports main" >> "$folder/sources.list"
  release=(--target-release bookworm-backports)
else
  release=()
fi

mkdir -p "$folder/lists/partial"
apt=(apt-get -q -y -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o "Dir::State::Lists=$folder/lists" -o Acquire::Retries=3)
"${apt[@]}" update >&2
"${apt[@]}" install --no-install-recommends "${release[@]}" mesa-vulkan-drivers libvulkan1 >&2
new_enough "$(mesa_version)" || { echo "install-software-gpu: Mesa $(mesa_version) is too old for Dawn" >&2; exit 1; }
icd_file
