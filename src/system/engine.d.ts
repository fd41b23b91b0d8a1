/** What we use of the engine's own modules: Bun's types as a whole would change those of Node for every other file. */

declare module 'bun:ffi' {
  export const FFIType: {readonly i32: 5; readonly u32: 6; readonly i64: 7; readonly u64: 8; readonly ptr: 12; readonly void: 13};
  type Kind = (typeof FFIType)[keyof typeof FFIType];
  type Argument = number | bigint | NodeJS.TypedArray | null;
  export function dlopen<const Name extends string>(
    library: string,
    symbols: Readonly<Record<Name, {readonly args: readonly Kind[]; readonly returns: Kind}>>,
  ): {readonly symbols: Readonly<Record<Name, (...words: readonly Argument[]) => number | bigint>>};
  /** The address of the first byte; the memory stays where it is for as long as somebody refers to it. */
  export function ptr(memory: NodeJS.TypedArray): number;
  export const read: {readonly i32: (address: number, offset: number) => number};
}

declare module 'bun' {
  export class CryptoHasher {
    constructor(algorithm: 'sha256');
    update(text: string): this;
    digest(encoding: 'hex'): string;
  }
}

declare module 'bun:jsc' {
  /** Runs what promises have made ready, until nothing is. */
  export function drainMicrotasks(): void;
}
