/** The same programs under the number of the next minor version: what an upgrade does to a host does not depend on what is new. */
export const laterVersion = '0.2.0~test';
