/** What runs can be found by. Defined where workflows can reach it. */
export {
  PermafrostBackup,
  PermafrostInstance,
  PermafrostPhase,
  PermafrostStatus,
  searchAttributes,
} from '../workflows/search-attributes.js';
