/** What `--help` prints, and the README and the manual page show. A bundle of its own: no run needs it. */

export const HELP = `Usage: jobbus-run [OPTION...] [--] COMMAND [ARGUMENT...]
       eval "$(jobbus-run --sh-syntax [OPTION...])"
       eval "$(jobbus-run --stop)"
       jobbus-run --list [--json]
       jobbus-run --sweep [--uid USER | DIRECTORY]
       jobbus-run [--runtime-base DIR] [--dbus-daemon BINARY] --doctor

Run COMMAND with a D-Bus session of its own: a private XDG_RUNTIME_DIR and a
private session bus. Signals reach COMMAND; when it ends, everything that the
session started is ended and removed, and its exit status is returned.

  --runtime-base DIR    make the session directory under DIR, or fail
  --bus-only            give only a bus; leave XDG_RUNTIME_DIR as it is
  --dbus-daemon BINARY  run this dbus-daemon [/usr/bin/dbus-daemon, else PATH]
  --config-file FILE    configure dbus-daemon by FILE instead of --session
  --no-services         a bus that starts no services by itself
  --kill-after SECONDS  KILL COMMAND if it is still there this long after the
                        first TERM, INT or HUP [never]
  --stop-timeout SECONDS
                        at the end, the time between TERM and KILL for what
                        COMMAND has left running [1]
  --keep                leave the session directory for inspection
  -v, --verbose         say each step on stderr
  --sh-syntax           instead of a COMMAND, serve the shell that evaluates
                        this, sh, bash or zsh, until it ends
  --csh-syntax          the same for csh: eval \`jobbus-run --csh-syntax\`
  --fish-syntax         the same for fish: jobbus-run --fish-syntax | source
  --stop                end the session of the shell that evaluates this, and
                        restore its variables
  --list                show the sessions of this user on this node
  --json                with --list: as JSON
  --sweep               end and remove what dead sessions left on this node
  --uid USER            with --sweep, for root: the sessions of the user with
                        this number
  --doctor              check what this node offers and what a run would choose
  --help                show this text
  --version             show the version

Options end at -- or at the first word that is not an option.

Environment:
  JOBBUS_RUNTIME_BASE   as --runtime-base
  JOBBUS_DBUS_DAEMON    as --dbus-daemon
  JOBBUS_VERBOSE=1      as --verbose
  JOBBUS_NODE           the Node to run on [beside jobbus-run, else PATH]

Exit status: that of COMMAND; 128+n if signal n ended it, or came before it was
started; 127 if it was not found; 126 if it cannot be executed; 125 if
jobbus-run itself failed.
`;
