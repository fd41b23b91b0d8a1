# shellcheck shell=sh
# The keeper and the daemon, started by `sh -c` as: KEEPER DIRECTORY LOG NODE LAUNCHER DAEMON [ARGUMENT...]
#
#   descriptor 3: from jobbus-run; a last word means a clean end, and end of file without it that jobbus-run was killed;
#     `watch PID STARTTIME`, answered with the keeper's own pid, that this process, a shell, is from now on watched instead
#   descriptor 4: the daemon's address, from the daemon
#   descriptor 5: the daemon's pid to jobbus-run, the word to start from it; held by the daemon for as long as it lives
#   descriptor 6: the session's lock, where it is to outlive jobbus-run; held by both, so that one is enough
#
# A pipeline, because what a shell starts with & ignores INT and QUIT for ever, and so would every service on the bus.
# The shell that waits for it is killed: keeper and daemon are then outside of jobbus-run's process tree, where a signal to
# the whole tree (Slurm's proctrack/linuxproc) does not find them.
#
# What the daemon is started from has no variable but the one that it unsets: any other might be one of the user's.
{
  read -r JOBBUS_HELPER <&5 || exit
  [ "$JOBBUS_HELPER" = start ] || exit
  read -r JOBBUS_HELPER </proc/self/stat
  echo "${JOBBUS_HELPER%% *}" >&5
  unset JOBBUS_HELPER
  exec </dev/null >"$2" 2>&1 3<&-
  shift 4
  exec "$@"
} | {
  kill -KILL $$
  exec </dev/null 4>&- 5>&-
  # Caught and not ignored: nothing that is started from here may inherit an ignored signal.
  trap 'interrupted=1' HUP INT QUIT USR1 USR2 PIPE ALRM TERM TSTP TTIN TTOU XCPU XFSZ VTALRM PROF IO PWR SYS
  while interrupted=; ! read -r word owner start <&3; do
    [ "$interrupted" ] || {
      word=killed
      break
    }
  done
  # As the sweep will judge it: a pid may be another process's by now, and a zombie is gone.
  lives() {
    status=
    while read -r line; do
      status=$status$line
    done <"/proc/$owner/stat"
    # shellcheck disable=SC2086 # fields; the name before them may hold anything
    set -- ${status##*) }
    [ "$1" != Z ] && [ "${20}" = "$start" ]
  }
  if [ "$word" = watch ]; then
    read -r status </proc/self/stat
    echo "${status%% *}" >&3
    exec 3<&-
    # A signal may end the sleep; what cannot be started ends the watch.
    while lives && { PATH=/usr/bin:/bin sleep 1 || [ $? -gt 128 ]; }; do
      :
    done
    lives && exit
    word=killed
  fi
  [ "$word" = killed ] || exit
  # This shell's word for itself stays in the environment: no sweeper ends it.
  exec 3<&- 6<&-
  JOBBUS_NODE=$3 exec "$4" --sweep "$1"
}
