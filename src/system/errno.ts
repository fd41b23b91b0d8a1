/** Numbers of errno(3), for the architectures that we run on: those of asm-generic, which x86-64 and arm64 share. */

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const E2BIG = 7;
export const ENOEXEC = 8;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EBUSY = 16;
export const ENOTDIR = 20;
export const EMFILE = 24;
export const ENFILE = 23;
export const ETXTBSY = 26;
export const ELOOP = 40;
export const ENAMETOOLONG = 36;
export const ETIMEDOUT = 110;

const CODES: Readonly<Record<number, string>> = {
  1: 'EPERM', 2: 'ENOENT', 3: 'ESRCH', 4: 'EINTR', 5: 'EIO', 7: 'E2BIG', 8: 'ENOEXEC', 9: 'EBADF', 11: 'EAGAIN', 12: 'ENOMEM', 13: 'EACCES', 16: 'EBUSY', 17: 'EEXIST',
  20: 'ENOTDIR', 21: 'EISDIR', 22: 'EINVAL', 23: 'ENFILE', 24: 'EMFILE', 26: 'ETXTBSY', 27: 'EFBIG', 28: 'ENOSPC', 30: 'EROFS', 36: 'ENAMETOOLONG', 38: 'ENOSYS', 39: 'ENOTEMPTY',
  40: 'ELOOP', 80: 'ELIBBAD', 98: 'EADDRINUSE', 107: 'ENOTCONN', 110: 'ETIMEDOUT', 111: 'ECONNREFUSED', 116: 'ESTALE', 122: 'EDQUOT',
};

/** A failed call as an error with a `code`, as Node's own calls give it: what words it needs no other way for ours. */
export function systemError(errno: number): NodeJS.ErrnoException {
  const code = CODES[errno] ?? `errno ${errno}`;
  return Object.assign(new Error(code), {code, errno});
}
