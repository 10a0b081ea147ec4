import { nearest } from '../../src/config/values.js';

/** `Did you mean X?`, by the beginning of a word or by its letters; else the names that there are. */
export function suggestion(word: string, candidates: readonly string[]): string {
  const typed = word.toLowerCase();
  const completed = typed.length < 3 ? [] : candidates.filter((name) => name.toLowerCase().startsWith(typed));
  const meant = completed.length === 1 ? completed[0] : nearest(word, candidates);
  if (meant !== undefined && meant !== null) return `Did you mean ${meant}?`;
  return candidates.length === 0 ? 'There are none.' : `There are: ${candidates.join(', ')}.`;
}
