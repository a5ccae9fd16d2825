/** Why a connection has not come about, for a person: in Relight's words, without hints for whoever starts Node.js by hand. */
import { errorMessage } from './errors.ts';

/** Empty where the error says nothing. */
export function connectReason(thrown: unknown): string {
  const { code, hostname } = (thrown ?? {}) as { readonly code?: unknown; readonly hostname?: unknown };
  if ((code === 'ENOTFOUND' || code === 'EAI_AGAIN') && typeof hostname === 'string') {
    return `cannot resolve ${hostname}${code === 'EAI_AGAIN' ? ': no name server answers' : ''}`;
  }
  // OpenSSL's words name its own source files.
  if (/wrong version number/.test(errorMessage(thrown)))
    return 'what listens there speaks no TLS; a collector does not before it was restarted after relight-collector init (systemctl restart relight-collector)';
  const message = errorMessage(thrown).replace(
    /[;,.]? if the root CA is installed locally, try running Node\.js with --use-system-ca\.?/i,
    '',
  );
  return message || (typeof code === 'string' ? code : '');
}
