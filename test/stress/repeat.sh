#!/bin/sh
# Runs the test suite again and again, to find what fails now and then: COUNT [busy], after a build. Ends at the first failure.
# With `busy`, as many endless loops as there are processors run beside it.
set -eu
cd "$(dirname "$0")/../.."
count=$1
loops=
if [ "${2:-}" = busy ]; then
  for _ in $(seq "$(nproc)"); do
    sh -c 'while :; do :; done' &
    loops="$loops $!"
  done
fi
# shellcheck disable=SC2086 # a list of pids
trap '[ -z "$loops" ] || kill $loops' EXIT
for round in $(seq "$count"); do
  started=$(date +%s)
  npx ava >repeat.log 2>&1 || { cat repeat.log; echo "round $round of $count failed"; exit 1; }
  echo "round $round of $count: $(grep -E 'tests? passed' repeat.log | tr -s ' '), $(($(date +%s) - started)) s"
done
