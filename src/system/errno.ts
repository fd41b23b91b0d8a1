/** Numbers of errno(3), for the architectures that we run on: those of asm-generic, which x86-64 and arm64 share. */

const NUMBERS = {
  EPERM: 1, ENOENT: 2, ESRCH: 3, EINTR: 4, EIO: 5, E2BIG: 7, ENOEXEC: 8, EBADF: 9, EAGAIN: 11, ENOMEM: 12, EACCES: 13, EBUSY: 16, EEXIST: 17, ENOTDIR: 20, EISDIR: 21,
  EINVAL: 22, ENFILE: 23, EMFILE: 24, ETXTBSY: 26, EFBIG: 27, ENOSPC: 28, EROFS: 30, ENAMETOOLONG: 36, ENOSYS: 38, ENOTEMPTY: 39, ELOOP: 40, ELIBBAD: 80, EADDRINUSE: 98,
  ENOTCONN: 107, ETIMEDOUT: 110, ECONNREFUSED: 111, ESTALE: 116, EDQUOT: 122,
} as const;

export const {ENOENT, ESRCH, E2BIG, ENOEXEC, EAGAIN, EACCES, EBUSY, ENOTDIR, ENAMETOOLONG, ELOOP, ETIMEDOUT} = NUMBERS;

/** A failed call as an error with a `code`, as Node's own calls give it: what words it needs no other way for ours. */
export function systemError(errno: number): NodeJS.ErrnoException {
  const code = Object.entries(NUMBERS).find(([, number]) => number === errno)?.[0] ?? `errno ${errno}`;
  return Object.assign(new Error(code), {code, errno});
}
