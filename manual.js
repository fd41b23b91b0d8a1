// The manual page, made from what --help says: one source, and nothing of it may be lost on the way.

const MORE = `
.SH SIGNALS
HUP, INT, QUIT, TERM, USR1, USR2, ALRM, VTALRM, CONT, WINCH, TSTP, XCPU, URG, IO and PWR reach COMMAND exactly once, whether the sender
signals jobbus\\-run alone, its process group or every process of the tree. If somebody kills jobbus\\-run with KILL, its keeper ends the session.
.SH FILES
.TP
.I /tmp/jobbus\\-UID/JOB\\-RANDOM/
The session, which is the command's XDG_RUNTIME_DIR. If /tmp does not work, it is below $TMPDIR, /dev/shm or ~/.cache.
.TP
.IR bus ,\\  dbus\\-daemon.log ,\\  session.json
Files in it: the bus, what the daemon and its services print, and what shows other runs whether the session lives.
.SH EXAMPLES
.EX
srun jobbus\\-run \\-\\- python app.py
x=$(jobbus\\-run secret\\-tool lookup service example)
jobbus\\-run \\-v \\-\\-kill\\-after 20 \\-\\- ./simulate input.json
.EE
.SH SEE ALSO
.BR dbus\\-run\\-session (1),
.BR dbus\\-daemon (1),
.BR srun (1),
.BR timeout (1)
`;

/** The columns before what an option means. */
const INDENTED = /^ {3,}(\S.*)$/;
const ITEM = /^ {2}(\S.*?)(?: {2,}(\S.*))?$/;
const HEADING = /^([A-Z][a-z ]+):(?: (.*))?$/;

/** @returns the page in the man macros of roff */
export function manualPage(help, version) {
  const [usage, ...blocks] = help.trimEnd().split('\n\n').map(block => block.split('\n'));
  const page = [
    `.TH JOBBUS\\-RUN 1 "" "jobbus\\-run ${version}" "User Commands"`,
    '.SH NAME',
    'jobbus\\-run \\- run a command with a D\\-Bus session of its own',
    '.SH SYNOPSIS',
    ...usage.flatMap(line => ['.nf', `.B ${escape(line.replace(/^Usage:|^ {6}/, '').trim())}`, '.fi']),
    '.SH DESCRIPTION',
    ...blocks.flatMap(blockLines),
  ];
  return page.join('\n') + MORE;
}

function blockLines([first, ...rest]) {
  const [, title, text] = HEADING.exec(first) ?? [];
  if (title !== undefined) {
    return [`.SH ${title.toUpperCase()}`, ...(text === undefined ? items(rest) : [text, ...rest].map(escape))];
  }

  return first.startsWith('  ') ? ['.SH OPTIONS', ...items([first, ...rest])] : ['.PP', ...[first, ...rest].map(escape)];
}

function items(lines) {
  return lines.flatMap(line => {
    const [, more] = INDENTED.exec(line) ?? [];
    const [, term, meaning] = more === undefined ? ITEM.exec(line) ?? [] : [];
    if (more === undefined && term === undefined) {
      throw new Error(`A line of --help that the manual page has no form for: ${line}`);
    }

    return more === undefined ? ['.TP', `.B ${escape(term)}`, ...(meaning === undefined ? [] : [escape(meaning)])] : [escape(more)];
  });
}

/** Hyphens and quotes stay what they are typed as, and no line is taken for a request. */
function escape(text) {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('"', '\\(dq').replace(/^(?=[.'])/, '\\&');
}
