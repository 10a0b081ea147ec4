const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** A size in decimal units: `512 B`, `1.2 GB`, `340 MB`. */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  while (unit < units.length - 1 && Number(rounded(value, unit)) >= 1000) {
    value /= 1000;
    unit += 1;
  }
  return `${rounded(value, unit)} ${units[unit] ?? 'B'}`;
}

function rounded(value: number, unit: number): string {
  return unit === 0 || value >= 99.95 ? String(Math.round(value)) : value.toFixed(1);
}
