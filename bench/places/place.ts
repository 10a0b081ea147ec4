/** The kinds of off-sites, and of the bare tools that they are made with. */
export const kinds = ['restic', 'rclone', 'rsync'] as const;
export type Kind = (typeof kinds)[number];

/** An empty place for backups on this machine, reached as one elsewhere would be. */
export interface Place {
  readonly kind: Kind;
  /** Everything that is stored lies below it. */
  readonly folder: string;
  /** As the configuration of Permafrost names it. */
  readonly config: Readonly<Record<string, unknown>>;
  /**
   * What somebody without Permafrost would type to have a folder there, with the tool's own defaults. Run again, only
   * what is new is sent.
   *
   * @param without a folder in it that stays out.
   */
  copy(folder: string, without: string): Promise<void>;
  close(): Promise<void>;
}
