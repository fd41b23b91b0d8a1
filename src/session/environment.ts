/** The environment of the command, and of the daemon, whose services inherit it. */

/** What tells of another bus than ours. */
export const REMOVED = ['DBUS_SESSION_BUS_PID', 'DBUS_SESSION_BUS_WINDOWID', 'DBUS_STARTER_ADDRESS', 'DBUS_STARTER_BUS_TYPE'];

/** What becomes of the caller's variables; null: removed. */
export type Changes = Readonly<Record<string, string | null>>;

export function sessionChanges(directory: string, address: string, busOnly: boolean): Changes {
  return {...(busOnly ? {} : {XDG_RUNTIME_DIR: directory}), DBUS_SESSION_BUS_ADDRESS: address, ...Object.fromEntries(REMOVED.map(name => [name, null]))};
}

/** What becomes of a variable; null: it is not set. */
export interface Change {
  readonly name: string;
  readonly from: string | null;
  readonly to: string | null;
}

/** For a shell to do: with its own variables, of which only those that it exports are seen here. */
export function environmentChanges(callers: Readonly<Record<string, string>>, changes: Changes): readonly Change[] {
  return Object.entries(changes).map(([name, to]) => ({name, from: callers[name] ?? null, to}));
}

/** The way back, but for what has been changed since. */
export function undoing(changes: readonly Change[], current: Readonly<Record<string, string>>): readonly Change[] {
  return changes.filter(({name, from, to}) => from !== to && (current[name] ?? null) === to).map(({name, from, to}) => ({name, from: to, to: from}));
}

export function isChange(value: Readonly<Record<string, unknown>>): value is Readonly<Record<string, unknown>> & Change {
  const isValue = (part: unknown): boolean => part === null || typeof part === 'string';
  return CHANGED.includes(String(value.name)) && isValue(value.from) && isValue(value.to);
}

const CHANGED = Object.keys(sessionChanges('', '', false));
