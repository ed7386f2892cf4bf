#!/bin/sh
# Runs a script of this project under the Node that the project pins (devDependency `node`),
# whatever Node >= 20 the machine has. Installs the dependencies first where they are missing
# or are not those of package-lock.json (compared by content: a checkout changes every time stamp).
set -eu
cd "$(dirname "$0")/.."
installed=node_modules/.livecore-lock.json
if [ ! -x node_modules/node/bin/node ] || ! cmp -s package-lock.json "$installed"; then
  echo "livecore: installing dependencies (npm install)" >&2
  # Not `npm ci`: it refuses a lock without the optional packages of every other platform, and a registry
  # mirror may not have them. --no-save keeps to the lock too, and leaves it as it is.
  npm install --no-save --no-fund --no-audit --engine-strict=false --loglevel=error >&2
  cp package-lock.json "$installed"
fi
exec node_modules/node/bin/node "$@"
