/** The same programs under a higher number: what an upgrade does to a host does not depend on what is new. */
export const laterVersion = '0.1.1~test';
