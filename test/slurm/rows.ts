/** What the cases have counted, handed from the tests to the table. */

import {existsSync, mkdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {Plugin} from './configuration.js';

export interface Row {
  readonly name: string;
  verdict: 'ok' | 'FAILED' | 'known to fail';
  /** Signals, buses, exit codes: as the case gives it. */
  counted: string;
}

/** What a wrapper, or the beginning of a script, made of an event. */
export interface Measurement {
  readonly event: string;
  readonly signals: string;
  readonly status: number | string | undefined;
  readonly left: string;
}

/** By wrapper or beginning. */
export type Measurements = Readonly<Record<string, readonly Measurement[]>>;

const directory = join(import.meta.dirname, 'rows');

export function saveRows(plugin: Plugin, rows: readonly Row[]): void {
  mkdirSync(directory, {recursive: true});
  writeFileSync(join(directory, plugin), JSON.stringify(rows));
}

export function loadRows(plugin: Plugin): readonly Row[] {
  if (!existsSync(join(directory, plugin))) {
    return [];
  }

  return JSON.parse(readFileSync(join(directory, plugin), 'utf8')) as Row[];
}

/** @param of what */
export function saveMeasurements(plugin: Plugin, of: 'wrappers' | 'scripts', measurements: Measurements): void {
  mkdirSync(directory, {recursive: true});
  writeFileSync(join(directory, `${plugin}-${of}`), JSON.stringify(measurements));
}

export function loadMeasurements(plugin: Plugin, of: 'wrappers' | 'scripts'): Measurements {
  const path = join(directory, `${plugin}-${of}`);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Measurements) : {};
}

export function removeRows(): void {
  rmSync(directory, {recursive: true, force: true});
}
