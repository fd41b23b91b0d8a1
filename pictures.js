// The pictures of the documents, from what this file says of a run. Usage: pictures.js [DIRECTORY]
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';

const [directory = 'docs/pictures'] = process.argv.slice(2);

/** The processes of a run: depth, name, what it does. */
const PROCESSES = [
  [0, 'slurmstepd', 'or a shell: who calls jobbus-run'],
  [1, 'jobbus-run', 'forwards signals, waits, cleans up'],
  [2, 'COMMAND', 'your program, and all that it starts'],
  [2, 'sentinel', 'hears the signals that your program hears'],
  [0, 'init', 'outside of the job’s tree of processes'],
  [1, 'keeper', 'cleans up if jobbus-run is killed'],
  [2, 'dbus-daemon', 'the session bus'],
  [3, 'services', 'what the bus has started'],
];

/** What `scancel` does with proctrack/cgroup: from whom, to whom, and what; or, with one name, what happens there. */
const LANES = ['Slurm', 'wrapper', 'command', 'bus'];
const SCANCEL = {
  'srun dbus-run-session -- COMMAND': [
    ['Slurm', 'wrapper', 'TERM'],
    ['wrapper', 'dies at once'],
    ['command', 'never hears of it'],
    ['Slurm', 'command', 'KILL'],
    ['Slurm', 'bus', 'KILL'],
    ['bus', 'its socket stays'],
  ],
  'srun jobbus-run -- COMMAND': [
    ['Slurm', 'wrapper', 'TERM'],
    ['wrapper', 'command', 'TERM, once'],
    ['command', 'saves'],
    ['bus', 'still answers'],
    ['command', 'wrapper', 'ends with status 7'],
    ['wrapper', 'bus', 'TERM; waits'],
    ['wrapper', 'removes the directory'],
    ['wrapper', 'Slurm', 'status 7'],
  ],
};

const STYLE = `text{font:14px sans-serif;fill:#222}.name{font-weight:bold}.box{fill:#e8eef7;stroke:#456}.line{stroke:#456;fill:none}.tip{fill:#456}
@media(prefers-color-scheme:dark){text{fill:#ddd}.box{fill:#234;stroke:#9ab}.line{stroke:#9ab}.tip{fill:#9ab}}`;

writeFileSync(join(directory, 'processes.svg'), processes());
writeFileSync(join(directory, 'scancel.svg'), scancel());

function processes() {
  const row = 44;
  const x = depth => 10 + depth * 40;
  const boxes = PROCESSES.flatMap(([depth, name, words], index) => {
    const y = 10 + index * row;
    const parent = PROCESSES.findLastIndex(([above], place) => place < index && above === depth - 1);
    const branch = depth === 0 ? [] : [`<path class="line" d="M${x(depth - 1) + 16} ${10 + parent * row + 30}V${y + 15}H${x(depth)}"/>`];
    return [...branch, `<rect class="box" x="${x(depth)}" y="${y}" width="130" height="30" rx="4"/>`, text(x(depth) + 10, y + 20, name, 'name'), text(x(depth) + 142, y + 20, words)];
  });
  return picture(620, 10 + PROCESSES.length * row, 'The processes of a run', boxes);
}

function scancel() {
  const panels = Object.entries(SCANCEL);
  const height = 90 + Math.max(...panels.map(([, steps]) => steps.length)) * 38;
  const shapes = panels.flatMap(([title, steps], index) => panel(title, steps, 10 + index * 500, height));
  return picture(1000, height, 'What scancel does, with dbus-run-session and with jobbus-run', shapes);
}

function panel(title, steps, left, height) {
  const x = lane => left + 50 + LANES.indexOf(lane) * 120;
  const heads = LANES.flatMap(lane => [
    `<path class="line" stroke-dasharray="3 4" d="M${x(lane)} 70V${height - 10}"/>`,
    `<rect class="box" x="${x(lane) - 45}" y="40" width="90" height="28" rx="4"/>`, text(x(lane), 59, lane, 'name', 'middle'),
  ]);
  return [text(left + 5, 24, title, 'name'), ...heads, ...steps.flatMap((step, index) => stepShapes(step, x, 98 + index * 38))];
}

function stepShapes([from, ...rest], x, y) {
  const [to, words] = rest.length === 2 ? rest : [from, rest[0]];
  if (from === to) {
    return [`<circle class="tip" cx="${x(from)}" cy="${y}" r="4"/>`, text(x(from), y - 8, words, '', 'middle')];
  }

  const back = x(to) < x(from) ? 8 : -8;
  return [
    `<path class="line" d="M${x(from)} ${y}H${x(to)}"/>`, `<path class="tip" d="M${x(to)} ${y}l${back} -5v10z"/>`, text((x(from) + x(to)) / 2, y - 6, words, '', 'middle'),
  ];
}

function text(x, y, words, style = '', anchor = 'start') {
  return `<text class="${style}" x="${x}" y="${y}" text-anchor="${anchor}">${words}</text>`;
}

function picture(width, height, title, shapes) {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>${title}</title>
<style>${STYLE}</style>
${shapes.join('\n')}
</svg>
`;
}
