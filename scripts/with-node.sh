#!/bin/sh
# Runs a script of this project under the Node that the project pins (devDependency `node`),
# whatever Node >= 20 the machine has. Installs the dependencies first where they are missing.
set -eu
cd "$(dirname "$0")/.."
if [ ! -x node_modules/node/bin/node ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "livecore: installing dependencies (npm ci)" >&2
  npm ci --no-fund --no-audit --loglevel=error >&2
fi
exec node_modules/node/bin/node "$@"
