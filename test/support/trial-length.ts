/** Random trials are as long as their tests say: without this a `maxLength` is only a limit, and fast-check ends at about four steps. */
import fc from 'fast-check';

fc.configureGlobal({ ...fc.readConfigureGlobal(), defaultSizeToMaxWhenMaxSpecified: true });
