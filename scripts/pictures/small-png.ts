import { deflateSync, inflateSync } from 'node:zlib';
import { Failure } from '../../src/errors.js';

/** A PNG's first eight bytes (PNG specification, 3rd edition, §5.2). */
const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** As many colours as one byte tells apart. */
const MOST_COLOURS = 256;

/**
 * The same picture with at most 256 colours: a screenshot of text is a few of them and the shades between, and becomes a
 * third of its size. Where there are more, near ones become one.
 *
 * @param png as Chromium writes it: 8 bits, RGB or RGBA without transparency, not interlaced.
 */
export function smallPng(png: Buffer): Buffer {
  const { width, height, pixels } = decode(png);
  for (let bits = 8; ; bits -= 1) {
    const indexed = toPalette(pixels, bits);
    if (indexed !== undefined) return encode(width, height, indexed.palette, indexed.indexes);
  }
}

interface Image {
  width: number;
  height: number;
  /** Three bytes each. */
  pixels: Buffer;
}

function decode(png: Buffer): Image {
  let header: Buffer | undefined;
  const data: Buffer[] = [];
  for (let at = SIGNATURE.length; at < png.length;) {
    const length = png.readUInt32BE(at);
    const type = png.toString('latin1', at + 4, at + 8);
    const content = png.subarray(at + 8, at + 8 + length);
    if (type === 'IHDR') header = content;
    if (type === 'IDAT') data.push(content);
    at += length + 12;
  }
  const [depth, colour, , , interlaced] = header?.subarray(8) ?? [];
  if (header === undefined || depth !== 8 || (colour !== 2 && colour !== 6) || interlaced !== 0)
    throw new Failure('Unexpected', 'this is not a PNG as Chromium writes it');
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const channels = colour === 2 ? 3 : 4;
  const bytes = unfilter(inflateSync(Buffer.concat(data)), width * channels, height, channels);
  const pixels = Buffer.alloc(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel += 1)
    bytes.copy(pixels, pixel * 3, pixel * channels, pixel * channels + 3);
  return { width, height, pixels };
}

/** Takes back what was done to each line so that it could be packed better (§9.2). */
function unfilter(packed: Buffer, stride: number, height: number, channels: number): Buffer {
  const lines = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y += 1) {
    const filter = packed[y * (stride + 1)] ?? 0;
    for (let x = 0; x < stride; x += 1) {
      const left = x < channels ? 0 : (lines[y * stride + x - channels] ?? 0);
      const up = y === 0 ? 0 : (lines[(y - 1) * stride + x] ?? 0);
      const corner = y === 0 || x < channels ? 0 : (lines[(y - 1) * stride + x - channels] ?? 0);
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter] ?? 0;
      lines[y * stride + x] = ((packed[y * (stride + 1) + 1 + x] ?? 0) + guess) & 0xff;
    }
  }
  return lines;
}

function paeth(left: number, up: number, corner: number): number {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

/** Every pixel as the number of its colour, of which so many bits count; undefined when there are too many colours. */
function toPalette(pixels: Buffer, bits: number): { palette: Buffer; indexes: Buffer } | undefined {
  const numbers = new Map<number, number>();
  const palette: number[] = [];
  const indexes = Buffer.alloc(pixels.length / 3);
  for (let pixel = 0; pixel < indexes.length; pixel += 1) {
    const [red = 0, green = 0, blue = 0] = pixels.subarray(pixel * 3, pixel * 3 + 3);
    const shift = 8 - bits;
    const key = ((red >> shift) << 16) | ((green >> shift) << 8) | (blue >> shift);
    let index = numbers.get(key);
    if (index === undefined) {
      index = numbers.size;
      if (index === MOST_COLOURS) return undefined;
      numbers.set(key, index);
      palette.push(red, green, blue);
    }
    indexes[pixel] = index;
  }
  return { palette: Buffer.from(palette), indexes };
}

function encode(width: number, height: number, palette: Buffer, indexes: Buffer): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 3, 0, 0, 0], 8);
  const lines = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y += 1) indexes.copy(lines, y * (width + 1) + 1, y * width, (y + 1) * width);
  const content = deflateSync(lines, { level: 9 });
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('PLTE', palette),
    chunk('IDAT', content),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, content: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), content]);
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(content.length);
  checksum.writeUInt32BE(crc32(named));
  return Buffer.concat([length, named, checksum]);
}

/** Annex D of the specification; zlib's own has no name in Node 20. */
function crc32(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
