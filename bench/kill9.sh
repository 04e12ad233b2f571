#!/usr/bin/env bash
# Builds the server, then kills it with SIGKILL at random moments under load and checks what it promised. See kill9.py --help.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked --bin saccade
exec python3 bench/kill9.py --saccade "${CARGO_TARGET_DIR:-target}/release/saccade" "$@"
