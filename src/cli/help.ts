/** What `--help` prints, and the manual page shows. */

export const HELP = `Usage: jobbus-run [OPTION...] [--] COMMAND [ARGUMENT...]
       eval "$(jobbus-run --sh-syntax [OPTION...])"
       eval "$(jobbus-run --stop)"
       jobbus-run --join SESSION [[--] COMMAND [ARGUMENT...]]
       jobbus-run --list [--json]
       jobbus-run --sweep [--uid USER | DIRECTORY]
       jobbus-run --doctor [--runtime-base DIR] [--dbus-daemon BINARY] [--json]

Run COMMAND with a D-Bus session of its own: a private XDG_RUNTIME_DIR and a
private session bus. Signals reach COMMAND. When it ends, jobbus-run ends and
removes everything that the session started, and returns its exit status.

  --runtime-base DIR    make the session directory under DIR, or fail
  --bus-only            give only a bus; leave XDG_RUNTIME_DIR as it is
  --dbus-daemon BINARY  run this dbus-daemon [/usr/bin/dbus-daemon, else PATH]
  --config-file FILE    configure dbus-daemon by FILE instead of --session
  --no-services         start a bus that starts no services by itself
  --keyring[=FILE]      start and unlock a secret service, with keyrings that
                        vanish with the session; with FILE, with your own
                        keyrings: FILE, which nobody else may read, has their
                        password
  --kill-after SECONDS  KILL COMMAND if it is still there this long after its
                        first TERM, INT or HUP [never]
  --stop-timeout SECONDS
                        at the end, send TERM to what COMMAND has left running,
                        and KILL this much later [1]
  --signal-all          send signals to all that COMMAND has started, too; at
                        the end, what has got TERM, INT or HUP gets no TERM,
                        and has --stop-timeout to end by itself
  --map-signal FROM:TO  turn signal FROM into TO, or drop it if there is no TO;
                        if the sender signals the whole process group, COMMAND
                        gets FROM as well; may be repeated
  --wait                end with the last process that COMMAND has started, not
                        with COMMAND; then signals go to all that is left
  --share[=NAME]        share one session with all on this node that say so in
                        the same step of a job; with NAME, with all that say
                        NAME in the same job, or outside of any job
  --keep                leave the session directory for inspection
  -v, --verbose         say each step on stderr
  --sh-syntax           run no COMMAND, but give a session to the shell that
                        evaluates this (sh, bash or zsh), until it ends
  --csh-syntax          the same for csh: eval \`jobbus-run --csh-syntax\`
  --fish-syntax         the same for fish: jobbus-run --fish-syntax | source
  --stop                end the session of the shell that evaluates this, and
                        restore its variables
  --join SESSION        run COMMAND in a session that runs already; SESSION is
                        its directory, job id or pid, as --list shows them;
                        without a COMMAND, print its variables for a shell
  --list                show your sessions on this node
  --json                with --list and --doctor: print JSON
  --sweep               end and remove what dead sessions left on this node;
                        with DIRECTORY, only what that one left
  --uid USER            with --sweep, for root: the sessions of this user, by
                        number or name
  --doctor              check this node, say what a run would choose, and try
                        a run; exit status 0 if all is well, else 1
  --help                show this text
  --version             show the version

Options end at -- or at the first word that is not an option.

Environment:
  JOBBUS_RUNTIME_BASE   as --runtime-base
  JOBBUS_DBUS_DAEMON    as --dbus-daemon
  JOBBUS_VERBOSE=1      as --verbose

Exit status: that of COMMAND; 128+n if signal n ended it, or came before it
started; 127 if it was not found; 126 if it cannot be executed; 125 if
jobbus-run itself failed.
`;
