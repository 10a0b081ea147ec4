/** How many columns of a terminal a text takes: letters of East Asian scripts and emoji take two, combining marks none. */

const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|\ufe0f/u;
const none = /^[\p{Mark}\p{Format}]+$/u;
const narrow = /^[\u0020-\u02ff]*$/;

const letters = new Intl.Segmenter('en', { granularity: 'grapheme' });

export function textWidth(text: string): number {
  if (narrow.test(text)) return text.length;
  let width = 0;
  for (const { segment } of letters.segment(text)) width += widthOfLetter(segment);
  return width;
}

/** The longest beginning of a text that fits into so many columns; no letter is cut in two. */
export function cutToWidth(text: string, columns: number): string {
  if (narrow.test(text)) return text.slice(0, Math.max(0, columns));
  let cut = '';
  let width = 0;
  for (const { segment } of letters.segment(text)) {
    width += widthOfLetter(segment);
    if (width > columns) break;
    cut += segment;
  }
  return cut;
}

export function padEndTo(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - textWidth(text)));
}

export function padStartTo(text: string, columns: number): string {
  return ' '.repeat(Math.max(0, columns - textWidth(text))) + text;
}

function widthOfLetter(letter: string): number {
  return none.test(letter) ? 0 : wide.test(letter) ? 2 : 1;
}
