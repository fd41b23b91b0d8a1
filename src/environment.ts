/** The environment of the command, and of the daemon, whose services inherit it. */

/** What tells of another bus than ours. */
export const REMOVED = ['DBUS_SESSION_BUS_PID', 'DBUS_SESSION_BUS_WINDOWID', 'DBUS_STARTER_ADDRESS', 'DBUS_STARTER_BUS_TYPE'];

/** @returns the variables of the session, as names and values */
export function sessionVariables(directory: string, address: string, busOnly: boolean): Readonly<Record<string, string>> {
  return {...(busOnly ? {} : {XDG_RUNTIME_DIR: directory}), DBUS_SESSION_BUS_ADDRESS: address};
}

export function commandEnvironment(callers: Readonly<Record<string, string>>, session: Readonly<Record<string, string>>): Record<string, string> {
  const kept = Object.entries(callers).filter(([name]) => !REMOVED.includes(name));
  return {...Object.fromEntries(kept), ...session};
}
