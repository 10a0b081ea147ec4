export { backup } from './backup.js';
export { guard } from './guard.js';
export { reconcile } from './reconcile.js';
export { startServices } from './start-services.js';
