#!/bin/sh
# Runs the process tests as an ordinary user: root sees and may more. As root, after a build: test/as-user.sh [AVA OPTION...]
#
# In a copy, because the user may not read a checkout below /root, and ava writes beside itself. Tests that need root are
# reported as skipped; those of Slurm have a cluster of their own, and stay out.
set -eu

if [ "$(id -u)" != 0 ]; then
  echo 'These tests have run as an ordinary user already: only root can run them as another.'
  exit 0
fi

user=jobbustest
project=$(cd "$(dirname "$0")/.." && pwd)
id "$user" >/dev/null 2>&1 || useradd --create-home "$user"
copy=$(mktemp -d /tmp/jobbus-as-user-XXXXXX)
trap 'rm -rf "$copy"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

for name in bin lib share src engine build fixtures test docs examples .ci node_modules; do
  [ ! -e "$project/$name" ] || cp -RL "$project/$name" "$copy/"
done
find "$project" -maxdepth 1 -type f -exec cp {} "$copy/" ';'
chown -R "$user:" "$copy"

# With the capability that distributions give it, the keyring hides its environment even from its own user.
mkdir "$copy/capable"
cp "$(command -v gnome-keyring-daemon)" "$copy/capable/"
setcap cap_ipc_lock=ep "$copy/capable/gnome-keyring-daemon"

cd "$copy"
case ${JOBBUS_TEST_PROGRAM-} in
  "$project"/*) export JOBBUS_TEST_PROGRAM="$copy/${JOBBUS_TEST_PROGRAM#"$project"/}" ;;
esac
# Root's own pass has the kill storm in full.
runuser -u "$user" -- env --unset=XDG_RUNTIME_DIR JOBBUS_TEST_KILLS="${JOBBUS_TEST_KILLS:-50}" HOME="$(getent passwd "$user" | cut -d: -f6)" PATH="$copy/capable:/usr/local/bin:/usr/bin:/bin:$PATH" \
  node node_modules/ava/entrypoints/cli.mjs "$@" 'build/test/*.test.js'
