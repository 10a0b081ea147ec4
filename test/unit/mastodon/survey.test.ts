import { expect, test } from 'vitest';
import { mastodonVersion } from '../../../src/mastodon/survey.js';

/** As Mastodon's lib/mastodon/version.rb has been written over the years. */
const versionFile = (prerelease: string) => `module Mastodon
  module Version
    module_function
    def major
      4
    end

    def minor
      6
    end

    def patch
      5
    end

    ${prerelease}
  end
end
`;

test.each([
  ["def default_prerelease\n      ''\n    end", '4.6.5'],
  ["def default_prerelease\n      'alpha.2'\n    end", '4.6.5-alpha.2'],
  ["def flags\n      ''\n    end", '4.6.5'],
  ["def flags\n      '-beta1'\n    end", '4.6.5-beta1'],
])('%j', (prerelease, version) => {
  expect(mastodonVersion(versionFile(prerelease))).toBe(version);
});

test('what is not a version file has no version', () => {
  expect(mastodonVersion('')).toBeNull();
});
