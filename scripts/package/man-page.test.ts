/** Help and man pages as they come out of the command lines: on a terminal of 80 columns, and in a locale that knows ASCII alone. */
import { expect, test } from 'vitest';
import { manPage } from './man-page.ts';
import { products } from './products.ts';
import { allCommands, notesOf, programOf } from './programs.ts';

const programs = products.flatMap(({ programs: names, files }) =>
  names.map((name) => ({ name, files, program: programOf(name, '0.1.0') })),
);

test.each(programs)('the man page of $name is ASCII: groff warns of any other character in the C locale', ({ program, files }) => {
  const page = manPage({ program, version: '0.1.0', date: new Date(0), files, seeAlso: ['systemctl(1)'] });
  expect(page.match(/[^\n\u0020-\u007e]+/gu)).toBeNull();
  expect(page).toMatch(/^\.TH .*\n[^]*\n\.SH COMMANDS\n/);
});

test.each(programs)('what stands below a help of $name fits 80 columns: nothing wraps it', ({ program }) => {
  const wide = allCommands(program).flatMap(({ command }) =>
    notesOf(command)
      .split('\n')
      .filter((line) => line.length > 80),
  );
  expect(wide).toEqual([]);
});
