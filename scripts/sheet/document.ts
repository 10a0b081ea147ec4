/** A text of headings, paragraphs and commands, to be written as Markdown and as a page. Pure. */

/** In texts, words between backticks are code, and between two asterisks bold. */
export type Block =
  | { readonly kind: 'heading'; readonly text: string }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'warning'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly string[] }
  | { readonly kind: 'fields'; readonly rows: readonly (readonly [string, string])[] }
  /** To be run as they stand, in bash, as root, in the order in which they come. */
  | { readonly kind: 'commands'; readonly text: string }
  /** To be read, or changed before it is run. */
  | { readonly kind: 'example'; readonly text: string };

export interface Document {
  readonly title: string;
  /** A line below it. */
  readonly lead: string;
  readonly blocks: readonly Block[];
}

/** Text as a table's cell. */
function cell(text: string): string {
  return text.replace(/\s+/g, ' ').replaceAll('|', '\\|');
}

/** A fence that no line of the text ends. */
function fenced(language: string, text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${text.replace(/\n$/, '')}\n${fence}`;
}

/** Markdown (CommonMark, with tables). Commands are blocks of `sh`, and nothing else is. */
export function markdown({ title, lead, blocks }: Document): string {
  return `${[`# ${title}`, lead, ...blocks.map(blockText)].join('\n\n')}\n`;
}

function blockText(block: Block): string {
  switch (block.kind) {
    case 'heading':
      return `## ${block.text}`;
    case 'text':
      return block.text;
    case 'warning':
      return `> **${block.text.replaceAll('**', '')}**`;
    case 'list':
      return block.items.map((item) => `- ${item}`).join('\n');
    case 'fields':
      return tableText(['', ''], block.rows);
    case 'commands':
      return fenced('sh', block.text);
    case 'example':
      return fenced('text', block.text);
  }
}

function tableText(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`;
  return [line(head), `|${' --- |'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}
