import { z } from 'zod';
import { configurationSchema } from './schema.js';

/** The JSON Schema (draft 7, as editors read it) of what an operator writes: for completion and checks in an editor. */
export function configurationJsonSchema(): Record<string, unknown> {
  return {
    ...z.toJSONSchema(configurationSchema, { io: 'input', target: 'draft-7' }),
    title: 'Permafrost configuration',
  };
}
