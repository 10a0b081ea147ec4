import type { Browser, Page } from 'playwright-core';
import { smallPng } from './small-png.js';

const PATIENCE_MS = 60_000;

/** Tables and texts (which are in frames) are filled a moment after the page is there. Milliseconds. */
const SETTLE_MS = 4_000;

/** A page of Temporal's UI as a picture. */
export interface UiPicture {
  readonly name: string;
  readonly png: Buffer;
}

/** Where the UI (2.54) keeps the columns of its list, in the browser alone; by namespace. */
const COLUMNS_KEY = 'namespace-workflow-table-columns';
const columns = JSON.stringify({
  default: ['Status', 'Workflow ID', 'PermafrostStatus', 'PermafrostPhase', 'Start', 'End'].map((label) => ({
    label,
    pinned: false,
  })),
});

/** The menu at the left and the bar at the top are the UI's, not ours. CSS pixels. */
const NAVIGATION = 256;
const TOP = 48;
const clip = { x: NAVIGATION, y: TOP, width: 1080, height: 820 };

/** Takes pictures of pages of Temporal's UI, one after the other, in one browser window. */
export class TemporalUi {
  private constructor(private readonly page: Page) {}

  static async open(browser: Browser): Promise<TemporalUi> {
    const page = await browser.newPage({
      viewport: { width: NAVIGATION + clip.width, height: TOP + clip.height },
    });
    await page.addInitScript(
      `localStorage.setItem(${JSON.stringify(COLUMNS_KEY)}, ${JSON.stringify(columns)})`,
    );
    return new TemporalUi(page);
  }

  async picture(name: string, address: string, until: string): Promise<UiPicture> {
    // Not until the network is idle: the page of an open run keeps asking.
    await this.page.goto(address, { waitUntil: 'load' });
    await this.page.getByText(until).first().waitFor({ timeout: PATIENCE_MS });
    await this.page.waitForTimeout(SETTLE_MS);
    return { name, png: smallPng(await this.page.screenshot({ type: 'png', clip })) };
  }

  close(): Promise<void> {
    return this.page.close();
  }
}
