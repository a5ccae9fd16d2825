/** The version of all programs, as --version, hello and status give it. The test beside it holds it to package.json. */
declare const RELIGHT_VERSION: string | undefined;
/** A build of another version (npm run package -- --version) puts it in. */
export const version = typeof RELIGHT_VERSION === 'undefined' ? '0.1.0' : RELIGHT_VERSION;
