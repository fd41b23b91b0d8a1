// Completions for shells, made from what --help says of the options.

/** A line of --help that begins an option, and one that goes on. */
const OPTION = /^ {2}(?:(-\w), )?(--[\w-]+)(?:\[=(\S+)\]| (\S+))?(?: {2,}(\S.*))?$/;
const MORE = /^ {3,}(\S.*)$/;

const SIGNALS = 'HUP INT QUIT TERM USR1 USR2 ALRM VTALRM CONT WINCH TSTP XCPU URG IO PWR';

/** The jobs and directories of the sessions that live, a line each. */
const SESSIONS = `jobbus-run --list --json 2>/dev/null | sed -n '/"state": "live"/,/"directory"/s/^ *"\\(job\\|directory\\)": "\\(.*\\)",$/\\2/p'`;

/** What a word of --help stands for, as each shell completes it; null: nobody can know. */
const VALUES = {
  DIR: {bash: '_filedir -d', zsh: '_files -/', fish: "-x -a '(__fish_complete_directories)'"},
  FILE: {bash: '_filedir', zsh: '_files', fish: '-r -F'},
  BINARY: {bash: '_filedir', zsh: '_files', fish: '-r -F'},
  USER: {bash: 'mapfile -t COMPREPLY < <(compgen -u -- "$cur")', zsh: '_users', fish: "-x -a '(__fish_complete_users)'"},
  SESSION: {bash: '_jobbus_run_sessions', zsh: '_jobbus_run_sessions', fish: "-x -a '(__jobbus_run_sessions)'"},
  'FROM:TO': {bash: `mapfile -t COMPREPLY < <(compgen -W '${SIGNALS}' -- "$cur")`, zsh: '_jobbus_run_signals', fish: "-x -a '(__jobbus_run_signals)'"},
  NAME: null,
  SECONDS: null,
};

/** @returns for each option its names, what it means, and its value: which, and whether it may be left out; whether it makes sense twice */
function optionsIn(help) {
  const [, , block] = help.split('\n\n');
  const options = [];
  for (const line of block.trimEnd().split('\n')) {
    const [, text] = MORE.exec(line) ?? [];
    const [, short, long, attached, separate, meaning] = text === undefined ? OPTION.exec(line) ?? [] : [];
    const value = attached ?? separate;
    if ((text ?? long) === undefined || (value !== undefined && !(value in VALUES))) {
      throw new Error(`A line of --help that cannot be completed: ${line}`);
    }

    if (text === undefined) {
      options.push({names: [short, long].filter(Boolean), long, value, isOptional: attached !== undefined, meaning: meaning ?? ''});
    } else {
      options.at(-1).meaning += ` ${text}`;
    }
  }

  return options.map(({meaning, ...rest}) => ({...rest, meaning: meaning.split(';', 1)[0].trim(), isRepeated: meaning.endsWith('may be repeated')}));
}

/** Behind the options, its loader completes the command. A value that begins with a hyphen is taken for an option. */
export function bashCompletion(help) {
  const options = optionsIn(help);
  const valued = options.filter(({value}) => value !== undefined);
  const completed = valued.filter(({value}) => VALUES[value] !== null);
  return `# Completion of jobbus-run for bash, made from its --help; bash-completion loads it.

_jobbus_run_sessions() {
  mapfile -t COMPREPLY < <(compgen -W "$(${SESSIONS})" -- "$cur")
}

_jobbus_run_value() {
  case $1 in
${completed.map(({long, value}) => `    ${long}) ${VALUES[value].bash} ;;\n`).join('')}  esac
}

_jobbus_run() {
  local cur=\${COMP_WORDS[COMP_CWORD]} option='' expected='' index word
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    case $word in
      [=:]*) expected=$option ;; # readline divides --option=value, and a value at a colon
      --) _command_offset $((index + 1)); return ;;
      ${valued.filter(({isOptional}) => !isOptional).map(({long}) => long).join(' | ')}) option=$word expected=$word ;;
      -*) option=$word expected='' ;;
      *) [[ $expected ]] || { _command_offset "$index"; return; }
        expected='' ;;
    esac
  done

  [[ $cur != [=:]* ]] || cur='' expected=$option
  case $cur in
    -*) mapfile -t COMPREPLY < <(compgen -W '${options.flatMap(({names}) => names).join(' ')}' -- "$cur") ;;
    *) if [[ $expected ]]; then _jobbus_run_value "$expected"; else _command_offset "$COMP_CWORD"; fi ;;
  esac
}

complete -F _jobbus_run jobbus-run
`;
}

export function zshCompletion(help) {
  return `#compdef jobbus-run
# Completion of jobbus-run for zsh, made from its --help.

_jobbus_run_sessions() {
  local -a expl sessions=(\${(f)"$(${SESSIONS})"})
  _wanted sessions expl session compadd -a sessions
}

_jobbus_run_signals() {
  compset -P '*:'
  _signals
}

_arguments -S -A '-*' : \\
${optionsIn(help).map(option => `  ${zshOption(option)} \\\n`).join('')}  '(-)1:command: _command_names -e' \\
  '*::argument: _normal'
`;
}

function zshOption({names: [name, ...others], value, isOptional, meaning, isRepeated}) {
  const often = isRepeated ? '*' : '';
  const sign = value === undefined ? '' : isOptional ? '=-' : '=';
  const values = value === undefined ? '' : `${isOptional ? '::' : ':'}${value.replace(':', '\\:')}:${VALUES[value]?.zsh ?? ''}`;
  const [excluded, written] = others.length === 0 ? ['', `'${often}${name}`] : [`'(${[name, ...others].join(' ')})'`, `{${[name, ...others].join(',')}}'`];
  return `${excluded}${written}${sign}[${quote(meaning).replace(/[[\]]/g, '\\$&')}]${values}'`;
}

export function fishCompletion(help) {
  const options = optionsIn(help);
  const known = options.map(({names, value, isOptional}) => `${names.map(name => name.replace(/^-+/, '')).join('/')}${value === undefined ? '' : isOptional ? '=?' : '='}`);
  return `# Completion of jobbus-run for fish, made from its --help.

function __jobbus_run_sessions
    ${SESSIONS}
end

function __jobbus_run_signals
    string replace -r '[^:]*$' '' -- (commandline -ct) | read -l before
    printf '%s\\n' $before{${SIGNALS.replaceAll(' ', ',')}}
end

# The command and its arguments before the cursor: none, as long as options may come.
function __jobbus_run_words
    set -l argv (commandline -opc)[2..]
    argparse -s ${known.map(word => `'${word}'`).join(' ')} -- $argv 2>/dev/null
    and set -q argv[1]
    and string escape -- $argv
end

function __jobbus_run_command
    set -l words (__jobbus_run_words) (commandline -ct)
    complete --do-complete="$words"
end

complete -c jobbus-run -x -a '(__jobbus_run_command)'
${options.map(fishOption).join('\n')}
`;
}

function fishOption({names, value, isOptional, meaning}) {
  const words = names.map(name => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const values = value === undefined ? [] : [VALUES[value]?.fish ?? '-x'].map(text => (isOptional ? text.replace(/^-[rx] ?/, '') : text));
  return ['complete -c jobbus-run -n "not __jobbus_run_words >/dev/null"', ...words, ...values.filter(Boolean), `-d '${quote(meaning)}'`].join(' ');
}

/** Between single quotes; those inside become typographic ones, in every shell the same. */
function quote(text) {
  return text.replaceAll("'", '’').replaceAll('\\', '\\\\');
}
