// The pictures of the documents, from what this file says and from the table in docs/cost.md. Usage: pictures.js [DIRECTORY]
import {readFileSync, writeFileSync} from 'node:fs';
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

/** Whom Slurm signals, by plugin. */
const REACH = {
  'proctrack/cgroup': 'the task alone',
  'proctrack/pgid': 'the task’s process group',
  'proctrack/linuxproc': 'the task and all below it',
};

const LANES = ['Slurm', 'wrapper', 'command', 'bus'];

const SAVED = [
  {command: 'saves', bus: 'still answers'},
  ['command', ['wrapper'], 'status 7'],
  ['wrapper', ['bus'], 'TERM, and waits'],
  {wrapper: 'removes the directory'},
  ['wrapper', ['Slurm'], 'status 7'],
];

/** What `scancel` does, step by step: from whom, to whom, and what; or what happens to each. */
const SCANCEL = {
  'srun COMMAND': {
    'each plugin': [['Slurm', ['command'], 'CONT, TERM'], {command: 'saves'}, ['command', ['Slurm'], 'status 7']],
  },
  'srun dbus-run-session -- COMMAND': {
    'proctrack/cgroup': [
      ['Slurm', ['wrapper'], 'CONT, TERM'],
      {wrapper: 'dies', command: 'never hears of it'},
      ['Slurm', ['command', 'bus'], 'KILL'],
      {Slurm: 'status 143', bus: 'socket stays'},
    ],
    'proctrack/pgid': [
      ['Slurm', ['wrapper', 'command', 'bus'], 'CONT, TERM'],
      {wrapper: 'dies', command: 'begins to save', bus: 'ends'},
      ['Slurm', ['command'], 'KILL'],
      {Slurm: 'status 143'},
    ],
    'proctrack/linuxproc': [
      ['Slurm', ['wrapper', 'command', 'bus'], 'CONT, TERM'],
      {wrapper: 'dies', command: 'runs on alone', bus: 'ends'},
      {Slurm: 'srun hangs', bus: 'services stay'},
      {Slurm: 'status 143'},
    ],
  },
  'srun jobbus-run -- COMMAND': {
    'proctrack/cgroup': [['Slurm', ['wrapper'], 'CONT, TERM'], ['wrapper', ['command'], 'CONT, TERM'], ...SAVED],
    'proctrack/pgid, proctrack/linuxproc': [['Slurm', ['wrapper', 'command'], 'CONT, TERM'], {wrapper: 'does not repeat it'}, ...SAVED],
  },
};

/** Which rows of the table in docs/cost.md are drawn, by their first words, and for whom. */
const MEASURES = ['`true`, wall', '`true`, CPU', 'Private_Dirty of all but the daemon while it waits'];
const MEASURED = ['jobbus-run', 'dbus-run-session', 'tini', 'foreground-child'];

/** The distance of two steps, and of two panels. */
const STEP = 38;
const PANEL = 500;

/** A text has an edge of the page's colour, which the lines below it end at. */
const STYLE = `text{font:14px sans-serif;fill:#222;stroke:#fff;stroke-width:4px;paint-order:stroke}.box+text{stroke:none}.name{font-weight:bold}
.page{fill:#fff}.box{fill:#e8eef7;stroke:#456}.line{stroke:#456;fill:none}.tip{fill:#456}.ours{fill:#15693b}
@media(prefers-color-scheme:dark){text{fill:#ddd;stroke:#15191f}.page{fill:#15191f}.box{fill:#234;stroke:#9ab}.line{stroke:#9ab}.tip{fill:#9ab}.ours{fill:#5fc98f}}`;

Object.entries({processes: processes(), scancel: scancel(), cost: cost()}).forEach(([name, svg]) => writeFileSync(join(directory, `${name}.svg`), svg));

function processes() {
  const row = 44;
  const x = depth => 10 + depth * 40;
  const parentOf = index => PROCESSES.findLastIndex(([depth], place) => place < index && depth === PROCESSES[index][0] - 1);
  const shapes = PROCESSES.flatMap(([depth, name, words], index) => {
    const y = 10 + index * row;
    const branch = depth === 0 ? [] : [`<path class="line" d="M${x(depth - 1) + 16} ${10 + parentOf(index) * row + 30}V${y + 15}H${x(depth)}"/>`];
    return [...branch, box(x(depth), y, 130, 30), text(x(depth) + 10, y + 20, name, 'name'), text(x(depth) + 142, y + 20, words)];
  });
  const told = PROCESSES.map(([depth, name, words], index) => `${name}${depth === 0 ? '' : `, below ${PROCESSES[parentOf(index)][1]}`} (${words})`);
  return picture(620, 10 + PROCESSES.length * row, 'The processes of a run', told, shapes);
}

function scancel() {
  const [bare, incumbent, ours] = Object.entries(SCANCEL);
  const top = column(bare, 10, 0).bottom;
  const columns = [column(bare, 10, 0), column(incumbent, 10, top), column(ours, 10 + PANEL, top)];
  const reach = Object.entries(REACH).flatMap(([plugin, whom], index) => [text(15 + PANEL, 58 + index * 26, plugin), text(165 + PANEL, 58 + index * 26, whom)]);
  const told = [
    ...Object.entries(REACH).map(([plugin, whom]) => `With ${plugin} Slurm signals ${whom}`),
    ...Object.entries(SCANCEL).flatMap(([title, plugins]) => Object.entries(plugins).map(([plugin, steps]) => `${title}, ${plugin}: ${steps.map(sentence).join('; ')}`)),
  ];
  const shapes = [...columns.flatMap(({shapes}) => shapes), text(15 + PANEL, 24, 'Whom Slurm signals', 'name'), ...reach];
  return picture(2 * PANEL, Math.max(...columns.map(({bottom}) => bottom)), 'What scancel does', told, shapes);
}

function sentence(step) {
  return Array.isArray(step) ? `${step[0]} → ${step[1].join(' and ')}: ${step[2]}` : Object.entries(step).map(([lane, words]) => `${lane}: ${words}`).join(', ');
}

/** The panels of a command, one below the other. */
function column([title, plugins], left, top) {
  const shapes = [text(left + 5, top + 24, title, 'name')];
  let bottom = top + 30;
  for (const [plugin, steps] of Object.entries(plugins)) {
    shapes.push(...panel(plugin, steps, left, bottom));
    bottom += 98 + steps.length * STEP;
  }

  return {shapes, bottom};
}

/** The steps under a title, in the lanes that they name. */
function panel(title, steps, left, top) {
  const x = lane => left + 50 + LANES.indexOf(lane) * 120;
  const named = new Set(steps.flatMap(step => (Array.isArray(step) ? [step[0], ...step[1]] : Object.keys(step))));
  const heads = LANES.filter(lane => named.has(lane)).flatMap(lane => [
    `<path class="line" stroke-dasharray="3 4" d="M${x(lane)} ${top + 58}V${top + 68 + steps.length * STEP}"/>`, box(x(lane) - 45, top + 30, 90, 28), text(x(lane), top + 49, lane, 'name', 'middle'),
  ]);
  return [text(left + 5, top + 18, title), ...heads, ...steps.flatMap((step, index) => stepShapes(step, x, top + 88 + index * STEP))];
}

function stepShapes(step, x, y) {
  if (!Array.isArray(step)) {
    return Object.entries(step).flatMap(([lane, words]) => [`<circle class="tip" cx="${x(lane)}" cy="${y}" r="4"/>`, text(x(lane), y - 8, words, '', 'middle')]);
  }

  const [from, to, words] = step;
  const back = x(to[0]) < x(from) ? 8 : -8;
  return [
    `<path class="line" d="M${x(from)} ${y}H${x(to.at(-1))}"/>`, ...to.map(lane => `<path class="tip" d="M${x(lane)} ${y}l${back} -5v10z"/>`),
    text((x(from) + x(to[0])) / 2, y - 6, words, '', 'middle'),
  ];
}

function cost() {
  const measures = readMeasures();
  const row = 24;
  const group = 50 + MEASURED.length * row;
  const x = ratio => 160 + ratio * 240;
  const shapes = measures.flatMap(({title, ratios}, index) => {
    const top = 10 + index * group;
    const bars = MEASURED.flatMap((name, place) => bar(name, ratios[name], top + 32 + place * row, x));
    return [text(10, top + 18, title, 'name'), `<path class="line" stroke-dasharray="3 4" d="M${x(1)} ${top + 26}V${top + 32 + MEASURED.length * row}"/>`, ...bars];
  });
  const told = measures.map(({title, ratios}) => `${title}: ${MEASURED.map(name => `${name} ${ratios[name]} ×`).join(', ')}`);
  const end = 10 + measures.length * group;
  return picture(680, end + 30, 'The bench as bars', told, [...shapes, text(x(1), end + 10, 'The dashed lines are Node: 1 ×', '', 'middle')]);
}

function bar(name, ratio, y, x) {
  const [textStyle, barStyle] = name === 'jobbus-run' ? ['name', 'ours'] : ['', 'tip'];
  return [text(150, y + 14, name, textStyle, 'end'), `<rect class="${barStyle}" x="${x(0)}" y="${y}" width="${Math.round(x(ratio) - x(0))}" height="18"/>`, text(x(ratio) + 8, y + 14, `${ratio} ×`)];
}

/** @returns the rows to draw: what was measured, and how much by whom */
function readMeasures() {
  const page = readFileSync(join(import.meta.dirname, 'docs/cost.md'), 'utf8');
  const [head, , ...rows] = page.split('\n').filter(line => line.startsWith('|')).map(line => line.split('|').slice(1, -1).map(cell => cell.trim()));
  return MEASURES.map(words => {
    const row = rows.find(([measure]) => measure.startsWith(words));
    return {title: row[0].replaceAll('`', ''), ratios: Object.fromEntries(MEASURED.map(name => [name, Number(/^([\d.]+) ×$/.exec(row[head.indexOf(name)])[1])]))};
  });
}

function box(x, y, width, height) {
  return `<rect class="box" x="${x}" y="${y}" width="${width}" height="${height}" rx="4"/>`;
}

function text(x, y, words, style = '', anchor = 'start') {
  return `<text class="${style}" x="${x}" y="${y}" text-anchor="${anchor}">${words}</text>`;
}

/** @param told what the picture shows, in sentences: the page has the same for who cannot see it */
function picture(width, height, title, told, shapes) {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>${title}</title>
<desc>${[title, ...told].join('. ')}.</desc>
<style>${STYLE}</style>
<rect class="page" width="${width}" height="${height}" rx="6"/>
${shapes.join('\n')}
</svg>
`;
}
