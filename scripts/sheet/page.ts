import { markup, type Html, marked } from '../../src/reports/html.js';
import { bullets, fields, note, pageText, section } from '../../src/reports/page.js';
import type { Block, Document } from './document.js';

/** The sheet as a page to print: self-contained HTML. Pure. */
export function sheetPage({ title, lead, blocks }: Document): string {
  const [before, ...parts] = bySection(blocks);
  return pageText({
    title,
    over: 'Permafrost',
    ...{ headline: title, mood: 'mind' },
    lead: markup`<p>${marked(lead)}</p>${(before?.blocks ?? []).map(blockHtml)}`,
    figures: [],
    sections: parts.map((part) => section(part.heading, markup`${part.blocks.map(blockHtml)}`)),
    foot: null,
  });
}

interface Part {
  readonly heading: string;
  readonly blocks: Block[];
}

/** What comes before the first heading is the first part. */
function bySection(blocks: readonly Block[]): Part[] {
  const parts: Part[] = [{ heading: '', blocks: [] }];
  for (const block of blocks) {
    if (block.kind === 'heading') parts.push({ heading: block.text, blocks: [] });
    else parts.at(-1)?.blocks.push(block);
  }
  return parts;
}

function blockHtml(block: Block): Html | null {
  switch (block.kind) {
    case 'heading':
      return null;
    case 'text':
      return markup`<p>${marked(block.text)}</p>`;
    case 'warning':
      return note('bad', markup`<p><strong>${marked(block.text)}</strong></p>`);
    case 'list':
      return bullets(block.items.map(marked));
    case 'fields':
      return fields(block.rows.map(([name, value]) => [name, marked(value)]));
    case 'commands':
      return markup`<pre class="sh"><code>${block.text}</code></pre>`;
    case 'example':
      return markup`<pre class="example"><code>${block.text}</code></pre>`;
  }
}
