/** `--list`: the sessions of this user on this node, a line each, or as JSON. */

import {answering} from '../session/place/answers.js';
import {findProcesses} from '../session/members/belonging.js';
import {daemonMarks} from '../session/bus-plan.js';
import {dirname} from '../session/place/directory.js';
import {printable, printableJson, warn} from '../cli/log.js';
import {listedJob} from '../session/job.js';
import {jobOfName} from '../session/name.js';
import {membersOf} from '../session/register.js';
import type {SessionRecord} from '../session/record.js';
import {findSessions, type FoundSession} from '../session/sessions.js';

const COLUMNS = ['STATE', 'JOB', 'STEP', 'PID', 'AGE', 'PROCESSES', 'SHARED', 'COMMAND', 'DIRECTORY'] as const;

export async function listSessions(bases: readonly string[], json: boolean): Promise<string> {
  const sessions = findSessions(await answering(bases, warn));
  if (json) {
    return `${printableJson(sessions.map(describe))}\n`;
  }

  const rows = sessions.map(describe).map(({state, job, step, pid, age, processes, members, command, directory}) => [
    state, job ?? '-', step ?? '-', text(pid), age === null ? '-' : duration(age), text(processes), text(members?.length ?? null), command ?? '-', directory,
  ].map(printable));
  return rows.length === 0 ? '' : table([[...COLUMNS], ...rows]);
}

/** As the JSON shows it; null where nobody knows. */
function describe({directory, name, state, reason, record}: FoundSession) {
  return {
    state,
    reason,
    job: (record && listedJob(record.job)) ?? null,
    step: record?.step ?? null,
    pid: record?.owner.pid ?? null,
    /** Seconds. */
    age: record === undefined ? null : Math.max(0, Math.round((Date.now() - record.startedAt) / 1000)),
    processes: state === 'elsewhere' ? null : busProcesses(dirname(directory), name, record),
    /** Who shares it with the process that has made it. */
    members: record?.share === undefined ? null : membersOf(directory).map(({pid}) => pid),
    command: record?.command ?? null,
    directory,
    bus: record?.address ?? null,
  };
}

function busProcesses(parent: string, name: string, record: SessionRecord | undefined): number {
  return findProcesses({marks: daemonMarks(`${parent}/${name}`, record?.address), job: record?.job ?? jobOfName(name)}).members.length;
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
