# shellcheck shell=sh
# Restores what Node has changed, and becomes the command: LIMIT IGNORED LINES ESCAPED... - WORD..., where words that
# Node can pass come last, or, if one is none, all come first, as printf takes them for %b. No variables: whatever its name,
# one could be in the environment of the command.
# shellcheck disable=SC3045 # beyond POSIX, and in dash, bash and busybox
ulimit -Sn "$1"
# shellcheck disable=SC2086 # a list of signal numbers
[ "$2" = - ] || trap '' $2
eval "$3"
shift 3
while [ "$1" != - ]; do
  # The full stop keeps the newlines before it.
  set -- "$(printf '%b.' "${1#%}")" "$@"
  set -- "$@" "${1%.}"
  shift 2
done
shift
exec "$@"
