import type { Measured } from '../data/dataset.js';
import type { RestoreTrial } from '../restores/trial.js';
import type { Night, WayName } from '../ways/way.js';

/** One round: every way once, on the same data. */
export interface Round {
  /** The services' own stop and start, with nothing between them; once for each try. */
  readonly ownMs: readonly number[];
  readonly nights: Partial<Record<WayName, Night[]>>;
  /** One night more, after which nothing has changed: of the ways that are compared in it. */
  readonly quiet: Partial<Record<WayName, Night>>;
  /** A backup drilled and restored, when that was asked for. */
  readonly restores?: RestoreTrial;
}

/** Everything that a bench has measured; `--json` writes it as it is. */
export interface Results {
  readonly command: string;
  readonly at: string;
  readonly machine: Record<string, string>;
  readonly data: Measured & { readonly mediaFiles: number; readonly mediaBytes: number };
  readonly rounds: Round[];
}
