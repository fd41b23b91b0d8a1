/** What is to work on every system: shell lines there, and what they print. */

export interface Case {
  readonly name: string;
  readonly lines: string;
  readonly prints: RegExp;
  /** Whether it becomes another user, which nobody can in the namespace of an emulator. */
  readonly becomesUser?: boolean;
}

/** Cases that need the same programs. */
export interface Topic {
  readonly title: string;
  /** Debian's. */
  readonly packages: readonly string[];
  /** A shell line that prints it. */
  readonly version: string;
  /** Shell lines in front of each case. */
  readonly before: string;
  /** Whether the project and this machine's Node are in /opt/suite, which is on no PATH. */
  readonly needsSuite?: boolean;
  readonly cases: readonly Case[];
}

/**
 * In front of every case: `jobbus-run`; `ask` prints the bus's id; `saves` says each signal, and at TERM needs its bus and saves; `ready FILE [N]` waits for N of them;
 * `term-once WORDS` sends them one TERM; `left` waits until no process of a run and nothing of a session is there, or says what is.
 */
const TOOLS = `
  cd /usr/local/bin
  ln -s /opt/jobbus-run/bin/jobbus-run .
  cat >ask <<'END'
#!/bin/sh
exec dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId
END
  cat >saves <<'END'
#!/bin/bash
sleep 600 & sleeper=$!
trap 'echo USR1' USR1
trap 'echo TERM; asked=1; kill $sleeper' TERM
echo ready
until [ "$asked" ]; do wait $sleeper; done 2>/dev/null
ask >/dev/null && echo saved
exit 3
END
  cat >ready <<'END'
#!/bin/sh
until [ -e "$1" ] && [ "$(grep -c ready "$1")" = "\${2:-1}" ]; do sleep 0.05; done
END
  cat >term-once <<'END'
#!/bin/bash
"$@" >/tmp/out &
ready /tmp/out; kill $!; wait $!; echo $?; cat /tmp/out; rm /tmp/out
END
  cat >left <<'END'
#!/bin/bash
look() { ls -A /tmp /dev/shm | grep jobbus; readlink /proc/[0-9]*/exe | grep -E '/(sleep|jobbus-run|supervisor|dbus-daemon|qemu-aarch64)$'; }
for i in $(seq 200); do [ -n "$(look)" ] || { echo nothing left; exit; }; sleep 0.1; done; echo left:; look
END
  chmod +x ask saves ready term-once left
  cd /`;

/** All that is to be run for a case. */
export function scriptOf({lines}: Pick<Case, 'lines'>, {before}: Pick<Topic, 'before'> = PLAIN): string {
  return [TOOLS, before, lines].join('\n');
}

/** Without any program but the daemon. */
export const PLAIN: Topic = {
  title: 'dbus-daemon, glibc',
  packages: [],
  version: 'echo "$(dbus-daemon --version | sed -n "1s/.* //p"), $(ldd --version | sed -n "1s/.* //p")"',
  before: '',
  cases: [
    {name: 'neither Node nor compiler', lines: 'command -v node nodejs cc gcc; echo none', prints: /^none$/},
    {name: '--version', lines: 'jobbus-run --version', prints: /^jobbus-run \d+\.\d+\.\d+\S*$/},
    {name: '--doctor', lines: 'jobbus-run --doctor', prints: /ok trial run[^]*\nAll is well\.$/},
    {name: 'a bus answers', lines: 'jobbus-run -- ask; left', prints: /^ *[0-9a-f]{32}nothing left$/},
    {name: 'exit status', lines: 'jobbus-run -- sh -c "exit 7"; echo $?; jobbus-run -- /nowhere 2>/dev/null; echo $?', prints: /^7\n127$/},
    {name: 'death by signal', lines: "jobbus-run -- sh -c 'kill -KILL $$'; echo $?", prints: /^137$/},
    {name: 'TERM, once', lines: 'term-once jobbus-run -- saves; left', prints: /^3\nready\nTERM\nsaved\nnothing left$/},
    {
      name: 'kill -9',
      lines: "jobbus-run -- sh -c 'sleep 602 & setsid sleep 603 & echo ready; exec sleep 604' >/tmp/out & ready /tmp/out; kill -9 $!; wait $! 2>/dev/null; echo $?; left",
      prints: /137\nnothing left$/,
    },
    {name: 'a session for a shell', lines: `bash -c 'eval "$(jobbus-run --sh-syntax)" && ask; sleep 605 & exit 5'; echo $?; left`, prints: /^ *[0-9a-f]{32}5\nnothing left$/},
    {name: 'an ordinary user', becomesUser: true, lines: 'setpriv --reuid 65534 --regid 65534 --clear-groups jobbus-run -- ask; left', prints: /^ *[0-9a-f]{32}nothing left$/},
    {name: 'user 0 of a user namespace', lines: 'unshare --user --map-root-user jobbus-run -- ask; left', prints: /^ *[0-9a-f]{32}nothing left$/},
  ],
};
