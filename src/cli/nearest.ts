/** What somebody meant who has mistyped it. */

/** Letters that may be wrong, missing, too many or exchanged; in half of a word, everything is like everything. */
const MOST_MISTAKES = 2;

/** @returns the one of the names that is nearest to the word, if any is near; or the only one that begins with it */
export function nearest(word: string, names: readonly string[]): string | undefined {
  const begun = names.filter(name => name.startsWith(word) && word.length > '--'.length);
  const near = names.map(name => ({name, mistakes: mistakesIn(word, name)})).sort((one, other) => one.mistakes - other.mistakes)[0];
  const isNear = near !== undefined && near.mistakes <= MOST_MISTAKES && near.mistakes * 2 < near.name.replace(/^-+/, '').length;
  return isNear ? near.name : begun.length === 1 ? begun[0] : undefined;
}

/** The distance of Damerau and Levenshtein, as far as no letter is moved twice. */
function mistakesIn(word: string, name: string): number {
  const rows: number[][] = [Array.from({length: name.length + 1}, (_, column) => column)];
  for (let row = 1; row <= word.length; row++) {
    rows[row] = [row];
    for (let column = 1; column <= name.length; column++) {
      const isSame = word[row - 1] === name[column - 1];
      const isExchanged = word[row - 1] === name[column - 2] && word[row - 2] === name[column - 1];
      rows[row]![column] = Math.min(
        rows[row - 1]![column]! + 1,
        rows[row]![column - 1]! + 1,
        rows[row - 1]![column - 1]! + (isSame ? 0 : 1),
        isExchanged ? (rows[row - 2]?.[column - 2] ?? 0) + 1 : Infinity,
      );
    }
  }

  return rows[word.length]![name.length]!;
}
