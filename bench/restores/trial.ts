/** What one restore and one drill of a backup came to, beside the bare tools on the same bytes. Milliseconds. */
export interface RestoreTrial {
  readonly bare: BareRestore;
  readonly drill: {
    /** From the command until it has ended, proofs and all. */
    readonly wallMs: number;
    /** By its report: from the off-site to the disk; pg_restore and ANALYZE. */
    readonly fetchMs: number;
    readonly loadMs: number;
    readonly steps: readonly TimedStep[];
    /** What was proven, and how long that took. */
    readonly checks: readonly { readonly name: string; readonly tookMs: number }[];
  };
  /** In place, into a living instance. */
  readonly restore: {
    readonly wallMs: number;
    /** By its report: a new database, pg_restore and ANALYZE, while media are compared. */
    readonly loadMs: number;
    /** Seen from outside: the services' own stop and start included. */
    readonly outageMs: number;
    readonly reportedDowntimeMs: number;
    readonly steps: readonly TimedStep[];
  };
  readonly undo: { readonly wallMs: number; readonly outageMs: number };
}

/** An activity of a run: from the run's beginning, and how long it took. */
export interface TimedStep {
  readonly name: string;
  readonly fromMs: number;
  readonly tookMs: number;
}

/** With what is there anyway: restic and pg_restore, nothing proven. */
export interface BareRestore {
  /** `restic restore` of the small parts: database, secrets, Redis. */
  readonly fetchMs: number;
  /** `pg_restore -j1`, and `-j2`, into a new database of the instance's server; no ANALYZE. */
  readonly loadOneMs: number;
  readonly loadTwoMs: number;
}
