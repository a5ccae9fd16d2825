/**
 * Words on the wire whose list grows with new versions. Whoever does not know one yet must not refuse the message that holds it: the
 * sender would say it again after every new connection, and nothing behind it would ever arrive.
 */
import * as z from 'zod';

const wordLengthMax = 64;

/**
 * One of `words`; any other word (at most 64 UTF-16 units) is read as `instead`. What is said is held to the list by its type alone. As JSON
 * Schema, what comes in is a string and what comes out the list: a longer one breaks nobody (test/releases).
 */
export function openEnum<const Words extends readonly string[]>(
  words: Words,
  instead: NoInfer<Words[number]>,
): z.ZodType<Words[number], Words[number]> {
  const read = (word: string): unknown => (words.includes(word) ? word : instead);
  // Piped, for the references of the API to know what comes out of it.
  return z.string().max(wordLengthMax).transform(read).pipe(z.enum(words));
}
