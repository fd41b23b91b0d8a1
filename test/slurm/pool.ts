/** Lends nodes two by two, to as many as there are nodes for. */

export type Pair = readonly string[];

export interface Pool {
  readonly lend: <Value>(use: (nodes: Pair) => Promise<Value>) => Promise<Value>;
}

export function makePool(nodes: readonly string[]): Pool {
  const free = nodes.filter((_, index) => index % 2 === 0).map((node, index) => [node, nodes[2 * index + 1]!]);
  const waiting: Array<(pair: Pair) => void> = [];
  const borrow = async (): Promise<Pair> => free.pop() ?? new Promise(resolve => waiting.push(resolve));
  const giveBack = (pair: Pair): void => {
    const next = waiting.shift();
    if (next === undefined) {
      free.push([...pair]);
    } else {
      next(pair);
    }
  };

  return {
    async lend(use) {
      const pair = await borrow();
      try {
        return await use(pair);
      } finally {
        giveBack(pair);
      }
    },
  };
}
