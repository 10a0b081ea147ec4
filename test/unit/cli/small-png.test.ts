import { deflateSync, inflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { smallPng } from '../../../scripts/pictures/small-png.js';

const WIDTH = 40;
const HEIGHT = 30;

/** A PNG of RGB pixels whose lines are filtered in all five ways in turn. */
function pngOf(colourAt: (x: number, y: number) => readonly number[]): { png: Buffer; pixels: Buffer } {
  const stride = WIDTH * 3;
  const pixels = Buffer.alloc(stride * HEIGHT);
  for (let y = 0; y < HEIGHT; y += 1)
    for (let x = 0; x < WIDTH; x += 1) pixels.set(colourAt(x, y), y * stride + x * 3);
  const lines: number[] = [];
  for (let y = 0; y < HEIGHT; y += 1) {
    const filter = y % 5;
    lines.push(filter);
    for (let x = 0; x < stride; x += 1) {
      const at = (dx: number, dy: number) =>
        x + dx < 0 || y + dy < 0 ? 0 : (pixels[(y + dy) * stride + x + dx] ?? 0);
      const [left, up, corner] = [at(-3, 0), at(0, -1), at(-3, -1)];
      const nearest = [left, up, corner].sort(
        (one, other) => Math.abs(left + up - corner - one) - Math.abs(left + up - corner - other),
      );
      const guesses = [0, left, up, (left + up) >> 1, nearest[0] ?? 0];
      lines.push((at(0, 0) - (guesses[filter] ?? 0)) & 0xff);
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(WIDTH, 0);
  header.writeUInt32BE(HEIGHT, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const chunk = (type: string, content: Buffer) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(content.length);
    return Buffer.concat([length, Buffer.from(type, 'latin1'), content, Buffer.alloc(4)]);
  };
  const data = deflateSync(Buffer.from(lines));
  const png = Buffer.concat([
    Buffer.alloc(8),
    chunk('IHDR', header),
    chunk('IDAT', data),
    chunk('IEND', Buffer.alloc(0)),
  ]);
  return { png, pixels };
}

/** The pixels of a PNG with a palette, as `smallPng` writes it. */
function shown(png: Buffer): Buffer {
  const content = (type: string) => {
    const at = png.indexOf(type, 0, 'latin1');
    return png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4));
  };
  const palette = content('PLTE');
  const lines = inflateSync(content('IDAT'));
  const pixels: number[] = [];
  for (let y = 0; y < HEIGHT; y += 1) {
    for (let x = 0; x < WIDTH; x += 1) {
      const colour = lines[y * (WIDTH + 1) + 1 + x] ?? 0;
      pixels.push(...palette.subarray(colour * 3, colour * 3 + 3));
    }
  }
  return Buffer.from(pixels);
}

describe('a picture with a palette', () => {
  test('shows the same pixels when it had few colours', () => {
    const { png, pixels } = pngOf((x, y) =>
      (x * y) % 7 === 0 ? [200, 30, (y % 9) * 20] : [255, x % 3, 250],
    );
    expect(shown(smallPng(png)).equals(pixels)).toBe(true);
  });

  test('shows nearly the same ones when it had many', () => {
    const { png, pixels } = pngOf((x, y) => [x * 6, y * 8, 128]);
    const small = shown(smallPng(png));
    expect(Math.max(...small.map((value, index) => Math.abs(value - (pixels[index] ?? 0))))).toBeLessThan(32);
  });

  test('what is no PNG of that kind is said to be none', () => {
    expect(() => smallPng(Buffer.alloc(40))).toThrowError(/not a PNG/);
  });
});
