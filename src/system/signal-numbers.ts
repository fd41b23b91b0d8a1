/** Signals by name and number, as kill(1) has them; signals.ts has what the kernel does with them. */

/** Numbers of signal(7), for x86-64 and arm64. */
export const SIGNALS = {
  HUP: 1, INT: 2, QUIT: 3, ILL: 4, TRAP: 5, ABRT: 6, BUS: 7, FPE: 8, KILL: 9, USR1: 10, SEGV: 11, USR2: 12, PIPE: 13, ALRM: 14, TERM: 15, STKFLT: 16, CHLD: 17, CONT: 18,
  STOP: 19, TSTP: 20, TTIN: 21, TTOU: 22, URG: 23, XCPU: 24, XFSZ: 25, VTALRM: 26, PROF: 27, WINCH: 28, IO: 29, PWR: 30, SYS: 31,
} as const;

/** As the C library has it: it keeps 32 and 33 to itself. */
const FIRST_REALTIME = 34;

export const LAST_SIGNAL = 64;

/** A thread of the engine's does not block these, and would say that it has crashed. So they end us, as they end any program. */
export const FAULTS: readonly number[] = [SIGNALS.ILL, SIGNALS.TRAP, SIGNALS.ABRT, SIGNALS.BUS, SIGNALS.FPE, SIGNALS.SEGV, SIGNALS.SYS];

/** Nor do these come to us: the C library has two for itself, blocks them nowhere, and so they end us. */
const OUT_OF_REACH: readonly number[] = [...FAULTS, SIGNALS.KILL, SIGNALS.STOP, 32, 33];

export function isForwardable(number: number): boolean {
  return !OUT_OF_REACH.includes(number);
}

/** As kill(1) names it, with the SIG in front. */
export function signalName(number: number): string {
  const name = Object.entries(SIGNALS).find(([, value]) => value === number)?.[0];
  return `SIG${name ?? (number >= FIRST_REALTIME ? `RTMIN${number > FIRST_REALTIME ? `+${number - FIRST_REALTIME}` : ''}` : String(number))}`;
}

/** @param word a name with or without SIG, RTMIN+n and RTMAX-n among them, or a number. @returns undefined where it is none of these */
export function signalNumber(word: string): number | undefined {
  const name = word.toUpperCase().replace(/^SIG/, '');
  const [, end, distance = '0'] = /^RT(MIN|MAX)([+-]\d{1,2})?$/.exec(name) ?? [];
  if (end !== undefined) {
    const number = (end === 'MIN' ? FIRST_REALTIME : LAST_SIGNAL) + Number(distance);
    return number >= FIRST_REALTIME && number <= LAST_SIGNAL ? number : undefined;
  }

  const number = Object.hasOwn(SIGNALS, name) ? SIGNALS[name as keyof typeof SIGNALS] : /^\d{1,2}$/.test(word) ? Number(word) : 0;
  return number > 0 && number <= LAST_SIGNAL ? number : undefined;
}
