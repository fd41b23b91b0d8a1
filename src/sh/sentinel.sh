# shellcheck shell=sh
# The sentinel: says which signals it has heard, in our process group (or, started in a session of its own, in our tree).
#
# A line in is a question and comes back with what was heard since the last line out; what interrupts the wait for one
# is said at once. The first line says that the traps are set. Only what has been said is forgotten: a trap may run
# between any two commands.
heard=
for signal in HUP INT QUIT TERM USR1 USR2 ALRM VTALRM CONT WINCH TSTP XCPU URG IO PWR; do
  # shellcheck disable=SC2064 # the signal of now
  trap "heard=\"\$heard $signal\"" "$signal"
done
echo ready
while :; do
  if ! read -r question; then
    [ "$heard" ] || exit
    question=-
  fi
  said=$heard
  echo "$question$said"
  heard=${heard#"$said"}
done
