/**
 * When Redis began to write an RDB file, Unix seconds; null when the file does not say it.
 *
 * Every save since Redis 3.2 notes it in its header, as an auxiliary field `ctime`: opcode 0xFA, then name and value as
 * strings, the value as a 32-bit integer (0xC2, little-endian) while it fits into one (redis/redis src/rdb.c
 * rdbSaveInfoAuxFields, rdbSaveRawString).
 *
 * @param head the first bytes of the file; the header takes some 150.
 */
export function rdbCreatedAt(head: Buffer): number | null {
  const name = Buffer.from('\xfa\x05ctime', 'latin1');
  const at = head.indexOf(name);
  if (at < 0 || head.toString('latin1', 0, 5) !== 'REDIS') return null;
  const value = head.subarray(at + name.length);
  if (value[0] === 0xc2 && value.length >= 5) return value.readInt32LE(1);
  const length = value[0] ?? 0;
  const digits = value.toString('latin1', 1, 1 + length);
  return length < 64 && /^\d+$/.test(digits) ? Number(digits) : null;
}
