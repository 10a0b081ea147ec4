import type { Dice } from './dice.js';

const vocabulary = 12_000;
const syllables = (
  'an ar be ca che con da de di e el en er es fi fro ge gra ha i in is ka la le li lo ma me mi mo na ne ' +
  'ni no o on or pa per po pro ra re ri ro sa se si so sta sti su ta te ter th ti to tra tu u un va ve ' +
  'vi wa we wi y ze'
).split(' ');

/**
 * Text that compresses as posts do (about three to one with the rest of its row): words as often as Zipf's law has
 * them, not random letters, which do not compress, and not the same line again, which vanishes.
 */
export class Words {
  readonly #dice: Dice;
  readonly #words: string[];
  /** A word's place for each of 65 536 draws. */
  readonly #draws = new Uint16Array(65_536);

  constructor(dice: Dice) {
    this.#dice = dice;
    this.#words = Array.from({ length: vocabulary }, (_, rank) => this.#make(rank));
    const weights = this.#words.map((_, rank) => 1 / (rank + 2));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    let rank = 0;
    let reached = (weights[0] ?? 0) / total;
    for (let draw = 0; draw < this.#draws.length; draw++) {
      while (draw / this.#draws.length > reached && rank < vocabulary - 1) {
        rank++;
        reached += (weights[rank] ?? 0) / total;
      }
      this.#draws[draw] = rank;
    }
  }

  /** `count` words. */
  text(count: number): string {
    let text = '';
    for (let index = 0; index < count; index += 2) {
      const draw = this.#dice.next();
      text += `${text === '' ? '' : ' '}${this.#word(draw & 0xffff)}`;
      if (index + 1 < count) text += ` ${this.#word(draw >>> 16)}`;
    }
    return text;
  }

  /** As long as posts are: most of them short, some as long as they may be. */
  post(): string {
    const share = this.#dice.share();
    return this.text(4 + Math.floor(12 + 70 * share ** 4));
  }

  #word(draw: number): string {
    return this.#words[this.#draws[draw] ?? 0] ?? '';
  }

  /** Frequent words are short. */
  #make(rank: number): string {
    const length = 1 + Math.floor(Math.log10(rank + 1) * 0.8 + this.#dice.share());
    return Array.from({ length }, () => syllables[this.#dice.below(syllables.length)]).join('');
  }
}
