/** How fast a number grows, from samples as they come: heartbeats arrive in steps, so it looks back over a while. */
export class Pace {
  /** How far back the rate looks, in milliseconds: longer than the gap between two heartbeats. */
  private readonly window: number;
  private samples: { at: number; value: number }[] = [];

  constructor(windowMs = 30_000) {
    this.window = windowMs;
  }

  /** @param at milliseconds of a clock that never goes back. */
  add(at: number, value: number): void {
    const last = this.samples.at(-1);
    if (last !== undefined && value < last.value) this.samples = [];
    if (last !== undefined && value === last.value) return;
    this.samples.push({ at, value });
    while (this.samples.length > 2 && at - (this.samples[1]?.at ?? at) > this.window) this.samples.shift();
  }

  /** Growth in units a second up to now; undefined while there is too little to say. */
  perSecond(now: number): number | undefined {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    if (first === undefined || last === undefined || last.at === first.at) return undefined;
    // A number that has stopped growing slows down instead of keeping its last speed for ever.
    const seconds = (now - last.at > this.window ? now - first.at : last.at - first.at) / 1000;
    return (last.value - first.value) / seconds;
  }

  /** Milliseconds since it last grew, or since it was first looked at. */
  stillMs(now: number): number {
    return now - (this.samples.at(-1)?.at ?? now);
  }

  /** Milliseconds until `total` is reached at this speed; undefined when nobody can say. */
  leftMs(now: number, total: number): number | undefined {
    const speed = this.perSecond(now);
    const last = this.samples.at(-1);
    if (speed === undefined || speed <= 0 || last === undefined || total <= last.value) return undefined;
    return ((total - last.value) / speed) * 1000;
  }
}
