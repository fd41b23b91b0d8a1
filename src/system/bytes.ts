/**
 * Words and variables need not be UTF-8. In a string here, a byte that fits nowhere is a lone surrogate, U+DC00 above
 * itself; the engine would make it U+FFFD, for good.
 */

const VALID = '[\\x00-\\x7f]|[\\xc2-\\xdf][\\x80-\\xbf]|\\xe0[\\xa0-\\xbf][\\x80-\\xbf]|[\\xe1-\\xec\\xee\\xef][\\x80-\\xbf]{2}|\\xed[\\x80-\\x9f][\\x80-\\xbf]'
  + '|\\xf0[\\x90-\\xbf][\\x80-\\xbf]{2}|[\\xf1-\\xf3][\\x80-\\xbf]{3}|\\xf4[\\x80-\\x8f][\\x80-\\xbf]{2}';

const STRAY = /[\udc80-\udcff]/u;

const SURROGATES = 0xdc00;

export function decode(bytes: Buffer): string {
  const text = bytes.toString();
  return text.includes('\ufffd') ? decodeEach(bytes.toString('latin1')) : text;
}

function decodeEach(latin1: string): string {
  return latin1.replace(new RegExp(`((?:${VALID})+)|[^]`, 'g'), (stray, valid?: string) =>
    valid === undefined ? String.fromCharCode(SURROGATES + stray.charCodeAt(0)) : Buffer.from(valid, 'latin1').toString());
}

export function encode(text: string): Buffer {
  return isText(text) ? Buffer.from(text) : encodeEach(text);
}

function encodeEach(text: string): Buffer {
  return Buffer.concat(text.split(/([\udc80-\udcff])/u).map(part => (isText(part) ? Buffer.from(part) : Buffer.from([part.charCodeAt(0) & 0xff]))));
}

/** Whether each byte is of a character. */
export function isText(word: string): boolean {
  return !STRAY.test(word);
}
