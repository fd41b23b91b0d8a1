/** What `--help` prints, and the manual page shows. A bundle of its own: no run needs it. */

export const HELP = `Usage: jobbus-run [OPTION...] [--] COMMAND [ARGUMENT...]
       eval "$(jobbus-run --sh-syntax [OPTION...])"
       eval "$(jobbus-run --stop)"
       jobbus-run --join SESSION [[--] COMMAND [ARGUMENT...]]
       jobbus-run --list [--json]
       jobbus-run --sweep [--uid USER | DIRECTORY]
       jobbus-run --doctor [--runtime-base DIR] [--dbus-daemon BINARY] [--json]

Run COMMAND with a D-Bus session of its own: a private XDG_RUNTIME_DIR and a
private session bus. Signals reach COMMAND; when it ends, everything that the
session started is ended and removed, and its exit status is returned.

  --runtime-base DIR    make the session directory under DIR, or fail
  --bus-only            give only a bus; leave XDG_RUNTIME_DIR as it is
  --dbus-daemon BINARY  run this dbus-daemon [/usr/bin/dbus-daemon, else PATH]
  --config-file FILE    configure dbus-daemon by FILE instead of --session
  --no-services         a bus that starts no services by itself
  --keyring[=FILE]      start a secret service that is unlocked, with keyrings
                        that go with the session; or with yours, by the
                        password in FILE, which nobody else may read
  --kill-after SECONDS  KILL COMMAND if it is still there this long after the
                        first TERM, INT or HUP [never]
  --stop-timeout SECONDS
                        at the end, the time between TERM and KILL for what
                        COMMAND has left running [1]
  --signal-all          send signals to all that COMMAND has started, too; who
                        has got TERM, INT or HUP gets no TERM at the end, but
                        --stop-timeout to end by itself
  --map-signal FROM:TO  what comes as FROM reaches COMMAND as TO, without a TO
                        not at all; but what is sent to the whole process
                        group has reached it as FROM already; may be repeated
  --wait                end with the last process that COMMAND has started, not
                        with COMMAND; then signals go to all that is left
  --share[=NAME]        share one session with all on this node that say so in
                        the same step of a job; with NAME, with all that say
                        NAME in the same job, or outside of any
  --keep                leave the session directory for inspection
  -v, --verbose         say each step on stderr
  --sh-syntax           instead of a COMMAND, serve the shell that evaluates
                        this, sh, bash or zsh, until it ends
  --csh-syntax          the same for csh: eval \`jobbus-run --csh-syntax\`
  --fish-syntax         the same for fish: jobbus-run --fish-syntax | source
  --stop                end the session of the shell that evaluates this, and
                        restore its variables
  --join SESSION        run COMMAND in a session that lives: its directory, job
                        id or pid, as --list shows them; without a COMMAND,
                        print its variables for a shell to evaluate
  --list                show the sessions of this user on this node
  --json                with --list and --doctor: as JSON
  --sweep               end and remove what dead sessions left on this node
  --uid USER            with --sweep, for root: the sessions of this user, by
                        number or name
  --doctor              check what this node offers and what a run would
                        choose; exit status 0 if all is well, else 1
  --help                show this text
  --version             show the version

Options end at -- or at the first word that is not an option.

Environment:
  JOBBUS_RUNTIME_BASE   as --runtime-base
  JOBBUS_DBUS_DAEMON    as --dbus-daemon
  JOBBUS_VERBOSE=1      as --verbose

Exit status: that of COMMAND; 128+n if signal n ended it, or came before it was
started; 127 if it was not found; 126 if it cannot be executed; 125 if
jobbus-run itself failed.
`;
