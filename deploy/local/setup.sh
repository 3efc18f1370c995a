#!/usr/bin/env bash
# Check what the machine must have, then install requirements.lock into .venv, if it is not what stands there.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Print the command of this machine's package manager that installs what is missing.
way() {
  if command -v apt-get >/dev/null; then
    local jre=openjdk-17-jre-headless
    apt-cache show "$jre" >/dev/null 2>&1 || jre=default-jre-headless
    case $1 in python) echo "sudo apt-get install -y python3 python3-venv" ;; java) echo "sudo apt-get install -y $jre" ;; *) echo "sudo apt-get install -y $1" ;; esac
  elif command -v dnf >/dev/null; then
    case $1 in python) echo "sudo dnf install -y python3.12" ;; java) echo "sudo dnf install -y java-latest-openjdk-headless" ;; *) echo "sudo dnf install -y $1" ;; esac
  elif command -v pacman >/dev/null; then
    case $1 in java) echo "sudo pacman -S --noconfirm jre-openjdk-headless" ;; *) echo "sudo pacman -S --noconfirm $1" ;; esac
  elif command -v zypper >/dev/null; then
    case $1 in python) echo "sudo zypper install -y python312" ;; java) echo "sudo zypper install -y java-21-openjdk-headless" ;; *) echo "sudo zypper install -y $1" ;; esac
  else
    echo "your package manager, package $1"
  fi
}

missing=0
miss() {
  echo "Missing: $1. Install it with: $(way "$2")"
  missing=1
}

python=
for candidate in ${PYTHON3:-} python3 python3.14 python3.13 python3.12 python3.11; do
  if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || miss "Python 3.11 or later, with venv" python

if [ -z "${CARNET_KAFKA:-}" ]; then
  java=$(java -version 2>&1 | sed -nE '1s/.*version "([0-9]+).*/\1/p' || true)
  [ "${java:-0}" -ge 17 ] || miss "Java 17 or later (for Kafka; or name brokers in CARNET_KAFKA)" java
  command -v mvn >/dev/null || miss "Maven (it fetches Kafka; or name brokers in CARNET_KAFKA)" maven
fi
[ "$missing" = 0 ] || exit 1

stamp=.venv/installed-lock
wanted=$(sha256sum <requirements.lock)
[ -e "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && .venv/bin/python -c '' 2>/dev/null && exit 0

echo "Installing requirements.lock into .venv (a minute or two, once)"
.venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
echo "$wanted" >"$stamp"
