import { expect, it } from 'vitest';
import { expandQuotedHome, markExpansions } from './shell-expansions.ts';

it.each([
  ['-v $HOME/a:/b', '-v <$HOME/a:/b'],
  ['-e \'A=$B\' -e "C=$D" -e E=\\$F', '-e \'A=$B\' -e "C=<$D" -e E=\\$F'],
  ['~/a b~ "~/c" `d` $ 5$', '<~/a b~ "~/c" <`d<` $ 5$'],
])('marks what the shell would expand in %s', (text, expected) => {
  expect(markExpansions(text, '<')).toBe(expected);
});

it.each([
  ['echo "~/a" ~/b \'~/c\'', 'echo "$HOME/a" ~/b \'~/c\''],
  ['echo "\\"~/a\\""', 'echo "\\"$HOME/a\\""'],
])('gives quoted homes their directory in %s', (text, expected) => {
  expect(expandQuotedHome(text)).toBe(expected);
});
