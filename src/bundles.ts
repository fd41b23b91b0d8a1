/** What a plain run does not need is in files of its own: a launch pays for every byte that it loads, and so does every waiting process. */

/* eslint-disable @typescript-eslint/no-require-imports -- at the moment of need, which an import cannot say */
export function loadDoctor(): typeof import('./doctor.js') {
  return require('./doctor.cjs') as typeof import('./doctor.js');
}

export function loadHelp(): typeof import('./help.js') {
  return require('./help.cjs') as typeof import('./help.js');
}

export function loadUpkeep(): typeof import('./upkeep.js') {
  return require('./upkeep.cjs') as typeof import('./upkeep.js');
}

export function loadShell(): typeof import('./shell.js') {
  return require('./shell.cjs') as typeof import('./shell.js');
}
