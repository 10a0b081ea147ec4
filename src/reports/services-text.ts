import type { ServicesState } from '../backups/report.js';

/** How a run left Mastodon's services. */
export const servicesText: Readonly<Record<ServicesState, string>> = {
  untouched: 'not touched',
  stopping: 'were being stopped',
  stopped: 'stopped',
  starting: 'were being started',
  up: 'up, proven',
};
