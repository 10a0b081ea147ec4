export { backup } from './backup.js';
export { copy } from './copy.js';
export { guard } from './guard.js';
export { prune } from './prune.js';
export { reconcile } from './reconcile.js';
export { startServices } from './start-services.js';
export { verify } from './verify.js';
