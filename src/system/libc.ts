/**
 * The C library: the only place that names its symbols. Nothing here knows what the calls are for.
 *
 * A call returns what the kernel would: zero or more, or a negative number of errno(3). Memory that is handed over is referred to
 * by the call itself, until it has returned; nothing may keep its address.
 */

import {dlopen, FFIType, ptr, read} from 'bun:ffi';

const {i32, i64, u32, u64, ptr: memory, void: nothing} = FFIType;

const {symbols} = dlopen('libc.so.6', {
  __errno_location: {args: [], returns: memory},
  _exit: {args: [i32], returns: nothing},
  bind: {args: [i32, memory, i32], returns: i32},
  close: {args: [i32], returns: i32},
  connect: {args: [i32, memory, i32], returns: i32},
  execve: {args: [memory, memory, memory], returns: i32},
  fcntl: {args: [i32, i32, i64], returns: i32},
  flock: {args: [i32, i32], returns: i32},
  getsockopt: {args: [i32, i32, i32, memory, memory], returns: i32},
  initgroups: {args: [memory, u32], returns: i32},
  isatty: {args: [i32], returns: i32},
  kill: {args: [i32, i32], returns: i32},
  listen: {args: [i32, i32], returns: i32},
  pipe2: {args: [memory, i32], returns: i32},
  poll: {args: [memory, u64, i32], returns: i32},
  posix_spawn: {args: [memory, memory, memory, memory, memory, memory], returns: i32},
  posix_spawn_file_actions_adddup2: {args: [memory, i32, i32], returns: i32},
  posix_spawn_file_actions_destroy: {args: [memory], returns: i32},
  posix_spawn_file_actions_init: {args: [memory], returns: i32},
  posix_spawnattr_destroy: {args: [memory], returns: i32},
  posix_spawnattr_init: {args: [memory], returns: i32},
  posix_spawnattr_setflags: {args: [memory, i32], returns: i32},
  posix_spawnattr_setsigdefault: {args: [memory, memory], returns: i32},
  posix_spawnattr_setsigmask: {args: [memory, memory], returns: i32},
  prctl: {args: [i32, u64, u64, u64, u64], returns: i32},
  read: {args: [i32, memory, u64], returns: i64},
  sigaction: {args: [i32, memory, memory], returns: i32},
  setuid: {args: [u32], returns: i32},
  signalfd: {args: [i32, memory, i32], returns: i32},
  sigprocmask: {args: [i32, memory, memory], returns: i32},
  sigqueue: {args: [i32, i32, u64], returns: i32},
  setgid: {args: [u32], returns: i32},
  socket: {args: [i32, i32, i32], returns: i32},
  syscall: {args: [i64, i64, memory, i64, i64, i64, i64], returns: i64},
  waitpid: {args: [i32, memory, i32], returns: i32},
  write: {args: [i32, memory, u64], returns: i64},
});

type Name = keyof typeof symbols;
type Argument = number | bigint | NodeJS.TypedArray | null;

/** Of the only thread that calls. */
const errno = Number(symbols.__errno_location());

/** @returns what the call returned; where it failed, the negative number of errno(3) */
export function call(name: Name, ...words: readonly Argument[]): number {
  const result = Number(symbols[name](...words));
  return result === -1 ? -read.i32(errno, 0) : result;
}

/** For the functions that return the number of the error, such as posix_spawn(3). */
export function callPosix(name: Name, ...words: readonly Argument[]): number {
  return -Number(symbols[name](...words));
}

/** A string as C has it. */
export function cString(text: string | Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(text), Buffer.alloc(1)]);
}

/** An array of strings as C has it, with what keeps them in memory: to be referred to until the call has returned. */
export function cStrings(texts: ReadonlyArray<string | Uint8Array>): {readonly pointers: BigUint64Array; readonly strings: readonly Uint8Array[]} {
  const strings = texts.map(cString);
  const pointers = new BigUint64Array(strings.length + 1);
  strings.forEach((string, index) => (pointers[index] = BigInt(ptr(string))));
  return {pointers, strings};
}
