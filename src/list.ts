/** `--list`: the sessions of this user on this node, a line each, or as JSON. */

import {daemonMarks} from './bus.js';
import {dirname} from './directory.js';
import {printable} from './log.js';
import {findProcesses} from './processes.js';
import type {SessionRecord} from './record.js';
import {findSessions, type FoundSession} from './sessions.js';

const COLUMNS = ['STATE', 'JOB', 'STEP', 'PID', 'AGE', 'PROCESSES', 'COMMAND', 'DIRECTORY'] as const;

export function listSessions(bases: readonly string[], json: boolean): string {
  const sessions = findSessions(bases);
  if (json) {
    return `${JSON.stringify(sessions.map(describe), undefined, 2)}\n`;
  }

  const rows = sessions.map(describe).map(({state, job, step, pid, age, processes, command, directory}) => [
    state, job ?? '-', step ?? '-', text(pid), age === null ? '-' : duration(age), text(processes), command ?? '-', printable(directory),
  ]);
  return rows.length === 0 ? '' : table([[...COLUMNS], ...rows]);
}

/** As the JSON shows it; null where nobody knows. */
function describe({directory, name, state, reason, record}: FoundSession): Record<string, string | number | null> & Listed {
  return {
    state,
    reason,
    job: shown(record?.job.identity[0]?.replace(/^[^=]*=/, '')),
    step: shown(record?.step),
    pid: record?.owner.pid ?? null,
    age: record === undefined ? null : Math.max(0, Math.round((Date.now() - record.startedAt) / 1000)),
    processes: state === 'elsewhere' ? null : busProcesses(`${dirname(directory)}/${name}`, record),
    command: shown(record?.command),
    directory,
    bus: record?.address ?? null,
  };
}

interface Listed {
  readonly state: string;
  readonly job: string | null;
  readonly step: string | null;
  readonly pid: number | null;
  /** Seconds. */
  readonly age: number | null;
  readonly processes: number | null;
  readonly command: string | null;
  readonly directory: string;
}

function busProcesses(directory: string, record: SessionRecord | undefined): number {
  return findProcesses({marks: daemonMarks(directory, record?.address), job: record?.job}).members.length;
}

function shown(value: string | undefined): string | null {
  return value === undefined ? null : printable(value);
}

function text(value: number | null): string {
  return value === null ? '-' : String(value);
}

function duration(seconds: number): string {
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  const clock = [hours, minutes, seconds % 60].map(part => String(part).padStart(2, '0')).join(':');
  return days > 0 ? `${days}-${clock}` : clock;
}

function table(rows: ReadonlyArray<readonly string[]>): string {
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map(row => row[column]!.length)));
  return rows.map(row => `${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd()}\n`).join('');
}
