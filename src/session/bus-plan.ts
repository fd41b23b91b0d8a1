/** Which daemon a session's bus is, how it is configured, and at which address. */

import {existsSync} from 'node:fs';
import {absolutePath, findExecutable} from '../system/executable.js';
import {failed, success, type Named, type Result} from '../cli/failure.js';
import {askedFor, type RunOptions} from '../cli/options.js';
import {randomLetters} from './name.js';

type BusOptions = Pick<RunOptions, 'runtimeBase' | 'dbusDaemon' | 'sources' | 'configFile' | 'services'>;

/** What keeper and daemon need to know before there is a directory. */
export interface BusPlan {
  readonly binary: string;
  /** By whom, if that is not our choice. */
  readonly asked: Named | undefined;
  readonly directory: string;
  readonly address: string;
  /** Written into the directory for the daemon to read, where the daemon has none that serves. */
  readonly configuration: string | undefined;
  readonly words: readonly string[];
}

/**
 * Decides on binary, configuration and address.
 *
 * @param abstractName for a socket without a path
 * @param path the caller's PATH
 */
export function planBus(options: BusOptions, directory: string, abstractName: string | undefined, path: string | undefined): Result<BusPlan> {
  const asked = askedFor('dbusDaemon', options);
  const binary = findDaemon(options.dbusDaemon, path);
  if (binary === undefined) {
    return failed({kind: 'no-daemon', asked, problem: isRelative(options.dbusDaemon) ? 'it is not an absolute path' : 'it is not an executable file'});
  }

  // With letters of its own: the session's name can be seen by all, since it is locked.
  const address = abstractName === undefined ? pathAddress(directory) : `unix:abstract=jobbus-run-bus/${abstractName}-${randomLetters(16)}`;
  const own = options.configFile === undefined && (!options.services || !hasSessionConfiguration(binary));
  const configuration = own ? ownConfiguration(address, options.services) : undefined;
  const chosen = own ? `${directory}/${CONFIGURATION_NAME}` : options.configFile;
  return success({
    binary,
    asked,
    directory,
    address,
    configuration,
    words: [chosen === undefined ? '--session' : `--config-file=${chosen}`, '--nofork', '--nopidfile', `--address=${address}`],
  });
}

export const CONFIGURATION_NAME = 'session.conf';

/** Conda's daemon, put first on PATH by an activated environment, must not shadow the system's: it has other services. */
function findDaemon(asked: string | undefined, path: string | undefined): string | undefined {
  for (const name of isRelative(asked) ? [] : asked === undefined ? ['/usr/bin/dbus-daemon', 'dbus-daemon'] : [asked]) {
    const found = findExecutable(name, absolutePath(path));
    if (found.ok) {
      return found.value;
    }
  }

  return undefined;
}

/** A variable that names one would name another wherever it is read. */
function isRelative(daemon = ''): boolean {
  return daemon.includes('/') && !daemon.startsWith('/');
}

/** A daemon under another prefix looks for its configuration there. */
export function hasSessionConfiguration(binary: string): boolean {
  const prefix = binary.replace(/\/[^/]*\/[^/]*$/, '');
  return existsSync(`${prefix}/share/dbus-1/session.conf`);
}

/** Without a <listen> the daemon refuses it, although --address overrides it. */
function ownConfiguration(address: string, services: boolean): string {
  return `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>${address}</listen>
  <keep_umask/>
  <auth>EXTERNAL</auth>
  ${services ? '<standard_session_servicedirs/>' : ''}
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
  <limit name="max_incoming_bytes">1000000000</limit>
  <limit name="max_outgoing_bytes">1000000000</limit>
  <limit name="max_message_size">1000000000</limit>
  <limit name="service_start_timeout">120000</limit>
  <limit name="auth_timeout">240000</limit>
  <limit name="pending_fd_timeout">150000</limit>
  <limit name="max_completed_connections">100000</limit>
  <limit name="max_incomplete_connections">10000</limit>
  <limit name="max_connections_per_user">100000</limit>
  <limit name="max_pending_service_starts">10000</limit>
  <limit name="max_names_per_connection">50000</limit>
  <limit name="max_match_rules_per_connection">50000</limit>
  <limit name="max_replies_per_connection">50000</limit>
</busconfig>
`;
}

/** Where to connect to a bus: the socket in the session's directory, or the one without a path. */
export function busSocket(directory: string, address?: string): string {
  const abstractName = /^unix:abstract=(.*)/.exec(address ?? '')?.[1];
  return abstractName === undefined ? `${directory}/bus` : `\0${abstractName}`;
}

/** Escaped as the D-Bus specification wants it, "Server Addresses", and no byte more than the daemon does when it reports its address. */
function pathAddress(directory: string): string {
  const path = Buffer.from(busSocket(directory)).toString('latin1');
  return `unix:path=${path.replace(/[^-0-9A-Za-z_/.\\*]/g, byte => `%${byte.charCodeAt(0).toString(16).padStart(2, '0')}`)}`;
}

/**
 * The `NAME=value` entries of an environment that tell a session's processes.
 *
 * @param address the bus's, where it is known
 */
export function daemonMarks(directory: string, address = pathAddress(directory)): readonly string[] {
  return [`XDG_RUNTIME_DIR=${directory}`, `DBUS_SESSION_BUS_ADDRESS=${address}`];
}
