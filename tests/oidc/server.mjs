// A real authorization server for tests, on 127.0.0.1: node-oidc-provider, kept in memory.
//
// Environment, each with a default; lengths of time in seconds unless it says otherwise:
//   PORT               where it listens; 0 is a free port
//   OIDC_ACCESS_TTL    how long an access token lives (3600)
//   OIDC_REFRESH_TTL   how long a refresh token lives (86400)
//   OIDC_CODE_TTL      how long a code of the browser lives (60)
//   OIDC_DEVICE_TTL    how long a code of the device flow lives (600)
//   OIDC_LATENCY_MS    how long an answer of the token endpoint is held back, once it is done (0)
//
// It prints one line of JSON when it listens, {"issuer": …}, and ends with its standard input:
// a test that is killed leaves no server behind.
//
// Both clients are public and native, and must use PKCE with S256:
//   codemesh         http://127.0.0.1/callback, http://[::1]/callback, any port (RFC 8252, 7.3)
//   codemesh-paste   https://paste.example/callback, for the flow where a code is pasted
//
// Refresh tokens rotate. One that is used twice takes its whole family along (RFC 9700, 4.14).
// What happened is counted: GET /-/counters.
//
// A login by plain form posts, as a browser would make it, with one jar of cookies:
//   GET  /auth?…              303 to /interaction/UID
//   POST /interaction/UID     prompt=login&login=ANYBODY&password=ANYTHING; 303 to /auth/UID
//   GET  /auth/UID            303 to /interaction/UID2
//   POST /interaction/UID2    prompt=consent; 303 to /auth/UID2
//   GET  /auth/UID2           303 to the redirect with code, state and iss
// A GET of /interaction/UID/abort says no. In the device flow, GET verification_uri_complete
// gives a form to post as it is, twice, and then the same pages.

import crypto from 'node:crypto';
import { createServer } from 'node:http';
import { register } from 'node:module';
import { setTimeout as wait } from 'node:timers/promises';

// What the provider needs of Node 22 and Node 18, as in Debian 12, does not have.
globalThis.crypto ??= crypto.webcrypto;
URL.parse ??= (url, base) => {
  try {
    return new URL(url, base);
  } catch {
    return null;
  }
};
if (!crypto.hash) {
  const inline = (code) => `data:text/javascript,${encodeURIComponent(code)}`;
  const shim = inline(`
    import { createHash } from 'node:crypto';
    export * from 'node:crypto';
    export const hash = (name, data, as) => createHash(name).update(data).digest(as);`);
  register(inline(`
    export const resolve = (name, context, next) =>
      name === 'node:crypto' && context.parentURL.includes('/oidc-provider/')
        ? { url: ${JSON.stringify(shim)}, shortCircuit: true }
        : next(name, context);`));
}
const { default: Provider } = await import('oidc-provider');
const { createMemoryAdapter } = await import('oidc-provider/lib/adapters/memory_adapter.js');

const HOST = '127.0.0.1';
const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
const latency = number('OIDC_LATENCY_MS', 0);

const counters = {
  tokenRequests: {}, // by grant type, whatever became of them
  tokensGiven: {}, // by grant type
  revocations: 0, // requests to the revocation endpoint
  grantsRevoked: 0, // families of tokens that are gone
};
const count = (counts, name) => {
  counts[name] = (counts[name] ?? 0) + 1;
};

const native = (clientId, redirectUris, ...grantTypes) => ({
  client_id: clientId,
  application_type: 'native',
  token_endpoint_auth_method: 'none',
  redirect_uris: redirectUris,
  response_types: ['code'],
  grant_types: ['authorization_code', 'refresh_token', ...grantTypes],
});

const configuration = {
  clients: [
    native(
      'codemesh',
      ['http://127.0.0.1/callback', 'http://[::1]/callback'],
      'urn:ietf:params:oauth:grant-type:device_code',
    ),
    native('codemesh-paste', ['https://paste.example/callback']),
  ],
  adapter: createMemoryAdapter(600), // seconds that it still knows what has expired, to say so
  clockTolerance: 0, // a token that lives a second is not good for sixteen
  scopes: ['openid', 'offline_access', 'user:inference'],
  pkce: { required: () => true },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  issueRefreshToken: () => true,
  rotateRefreshToken: true,
  expiresWithSession: () => false,
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    revocation: {
      enabled: true,
      allowedPolicy: (_, client, token) => token.clientId === client.clientId,
    },
  },
  ttl: {
    AccessToken: number('OIDC_ACCESS_TTL', 3600),
    AuthorizationCode: number('OIDC_CODE_TTL', 60),
    DeviceCode: number('OIDC_DEVICE_TTL', 600),
    Grant: 86400,
    IdToken: 3600,
    Interaction: 3600,
    RefreshToken: number('OIDC_REFRESH_TTL', 86400),
    Session: 86400,
  },
  cookies: { keys: ['made-up'] },
};

const server = createServer();
await new Promise((resolve) => {
  server.listen(number('PORT', 0), HOST, resolve);
});
const issuer = `http://${HOST}:${server.address().port}`;
const provider = new Provider(issuer, configuration);

provider.use(async (ctx, next) => {
  if (ctx.path === '/-/counters') {
    ctx.body = counters;
    return;
  }
  await next();
  if (ctx.path === '/token') {
    count(counters.tokenRequests, ctx.oidc?.params?.grant_type ?? 'none');
    await wait(latency);
  }
  if (ctx.path === '/token/revocation') {
    counters.revocations += 1;
  }
});
provider.on('grant.success', (ctx) => count(counters.tokensGiven, ctx.oidc.params.grant_type));
provider.on('grant.revoked', () => {
  counters.grantsRevoked += 1;
});

server.on('request', provider.callback());
process.stdin.on('end', () => process.exit(0)).resume();
process.stdout.write(`${JSON.stringify({ issuer })}\n`);
