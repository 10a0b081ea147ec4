import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { type Document, LineCounter, parseDocument, type YAMLParseError, type YAMLWarning } from 'yaml';
import { Failure } from '../errors.js';

/** A configuration has a few kilobytes; what has more is another file. */
const longestText = 1 << 20;

/** @throws Failure `ConfigInvalid` for a file that is not there, may not be read, or is no text. */
export async function readText(file: string): Promise<string> {
  const refused = (what: string, next: string, cause?: unknown) =>
    new Failure('ConfigInvalid', `The configuration ${file} ${what}.`, { next, cause });
  const path = 'Check the path: --config FILE, else PERMAFROST_CONFIG.';
  // Without waiting for somebody to write into a pipe of that name.
  const opened = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason';
    if (code === 'ENOENT') throw refused('is not there', `${path} To write one: permafrost init`, error);
    if (code !== 'EACCES') throw refused(`cannot be read (${code})`, path, error);
    throw refused('may not be read by this user', `Let it be read, or run as its owner. ${path}`, error);
  });
  try {
    const stat = await opened.stat();
    if (stat.isDirectory()) throw refused('is a folder', `Name the file in it. ${path}`);
    if (!stat.isFile()) throw refused('is not a file', path);
    if (stat.size > longestText) {
      throw refused(`has ${(stat.size / 1e6).toFixed(0)} MB: that is another file`, path);
    }
    const bytes = await opened.readFile();
    const text = decode(bytes);
    if (text === null) throw refused('is not text in UTF-8', `Save it as UTF-8. ${path}`);
    return text;
  } finally {
    await opened.close();
  }
}

/** null for what is not UTF-8; a byte order mark is left out. */
function decode(bytes: Buffer): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return text.includes('\0') ? null : text;
  } catch {
    return null;
  }
}

export type ReadYaml =
  | { readonly document: Document; readonly lines: LineCounter; readonly input: unknown }
  /** Each is one line: `line:column what is wrong`. */
  | { readonly problems: readonly string[] };

/** Reads a text as YAML, or says in an operator's words why it is none. */
export function readYaml(text: string): ReadYaml {
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      stringKeys: true,
      resolveKnownTags: false,
    });
    const strange = document.warnings.filter(({ code }) => code === 'TAG_RESOLVE_FAILED');
    const errors = [...document.errors, ...strange];
    if (errors.length > 0) return { problems: told(text, lines, errors) };
    const input: unknown = document.toJS() ?? null;
    if (input === null) return { problems: ['1:1 the file is empty; expected instances and offsites'] };
    if (typeof input === 'object' && !Array.isArray(input)) return { document, lines, input };
    const found = Array.isArray(input) ? 'a list' : 'a single value';
    return { problems: [`1:1 found ${found}; expected keys and values: instances and offsites`] };
  } catch (error) {
    if (error instanceof ReferenceError) return { problems: [referenceProblem(text, lines, error)] };
    throw error;
  }
}

/** yaml follows at most a hundred times as many references as there are, which a few hundred bytes may exceed. */
function referenceProblem(text: string, lines: LineCounter, error: ReferenceError): string {
  if (error.message.includes('Excessive'))
    return '1:1 it has more references (*name) than a configuration can need';
  const name = /: (.*)$/.exec(error.message)?.[1] ?? '';
  const at = Math.max(0, text.indexOf(`*${name}`));
  return `${position(lines, at)} found a reference to &${name}, which is nowhere before it; expected a value (with quotes when it begins with *)`;
}

/** The first thing that is wrong, as what follows is most often its consequence; but every key that is there twice. */
function told(text: string, lines: LineCounter, errors: readonly (YAMLParseError | YAMLWarning)[]): string[] {
  const twice = errors.filter(({ code }) => code === 'DUPLICATE_KEY');
  return (twice.length > 0 ? twice : errors.slice(0, 1)).map((error) => {
    const [at] = error.pos;
    return `${position(lines, at)} ${inWords(error, text.slice(at))}`;
  });
}

/** `rest` is the text from where it went wrong. */
function inWords(error: YAMLParseError | YAMLWarning, rest: string): string {
  const [line = ''] = rest.split('\n', 1);
  switch (error.code) {
    case 'DUPLICATE_KEY':
      return `found the key ${JSON.stringify(/^[^:]*/.exec(line)?.[0].trim())} again; expected each key once`;
    case 'TAB_AS_INDENT':
      return 'found a tab; expected spaces: YAML is not indented with tabs';
    case 'MULTIPLE_DOCS':
      return 'found a second document (---); expected one';
    case 'TAG_RESOLVE_FAILED':
      return `found the tag ${/^!\S*/.exec(line)?.[0] ?? '!'}; expected a plain value (with quotes when it begins with !)`;
    case 'MULTILINE_IMPLICIT_KEY':
      return `found ${JSON.stringify(line.trim().slice(0, 60))}; expected a key and a value, with a colon and a space between them`;
    default:
      if (error.message.includes('call stack')) return 'it is nested more deeply than a configuration can be';
      return `this is not YAML: ${error.message.split('\n', 1)[0] ?? ''}`;
  }
}

export function position(lines: LineCounter, offset: number): string {
  const { line, col } = lines.linePos(offset);
  return `${String(line)}:${String(col)}`;
}
