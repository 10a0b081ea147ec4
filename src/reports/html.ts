/** HTML that is put together from texts which may hold anything. Pure. */

/** Text that is HTML already. */
export class Html {
  constructor(readonly text: string) {}

  toString(): string {
    return this.text;
  }
}

export type Content = string | number | Html | null | undefined | readonly Content[];

/** What is put into it is text and stays text, except HTML made here; lists are joined, null is nothing. */
export function markup(strings: TemplateStringsArray, ...values: readonly Content[]): Html {
  const parts = strings.flatMap((string, index) =>
    index < values.length ? [string, htmlOf(values[index])] : [string],
  );
  return new Html(parts.join(''));
}

function htmlOf(content: Content): string {
  if (content === null || content === undefined) return '';
  if (content instanceof Html) return content.text;
  if (typeof content === 'string') return escapeHtml(content);
  return typeof content === 'number' ? String(content) : content.map(htmlOf).join('');
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/**
 * A text for an element's content or a quoted attribute. What would not be seen but change what is (control characters,
 * those that turn the direction of writing, halves of surrogate pairs) becomes U+FFFD.
 */
export function escapeHtml(text: string): string {
  return text
    .replace(/[\p{Cs}\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/gu, '\ufffd')
    .replace(/[&<>"']/g, (character) => entities[character] ?? '');
}

/** `(see permafrost show)`: what stands between backticks is set as code, between two asterisks bold. */
export function marked(text: string): Html {
  const parts = text.split(/(`[^`]+`|\*\*[^*]+\*\*)/);
  return markup`${parts.map((part, index) => {
    if (index % 2 === 0) return part;
    return part.startsWith('`')
      ? markup`<code>${part.slice(1, -1)}</code>`
      : markup`<strong>${part.slice(2, -2)}</strong>`;
  })}`;
}
