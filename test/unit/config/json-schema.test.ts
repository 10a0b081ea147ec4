import { expect, test } from 'vitest';
import { configurationJsonSchema } from '../../../src/config/json-schema.js';

test('an editor can complete and explain what operators write', () => {
  const schema = JSON.parse(JSON.stringify(configurationJsonSchema())) as Record<string, unknown>;
  expect(schema).toMatchObject({
    required: ['instances', 'offsites'],
    additionalProperties: false,
    properties: {
      instances: {
        additionalProperties: {
          required: ['host', 'mastodon'],
          properties: {
            quiesce: {
              properties: {
                mode: { enum: ['brief', 'full', 'none'], default: 'brief' },
                lease: {
                  type: 'string',
                  default: '15m',
                  description: expect.stringContaining('host') as string,
                },
              },
            },
          },
        },
      },
      state: { default: '/var/lib/permafrost' },
    },
  });
});
