// Makes the calls of a plan with Node's https or http2, and prints what came of each. Arguments: KIND URL PLAN.
// Node's own modules know no proxy, so each connection's tunnel is opened by hand, as agents from npm do.
const fs = require('fs');
const http = require('http');
const http2 = require('http2');
const https = require('https');
const tls = require('tls');

const [kind, base, text] = process.argv.slice(2);
const target = new URL(base.replace('SITUATION', ''));
const proxy = new URL(process.env.HTTPS_PROXY);
const ca = fs.readFileSync(process.env.SSL_CERT_FILE);

function connect(protocols) {
  return new Promise((resolve, reject) => {
    http.request({ host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: `${target.hostname}:${target.port || 443}`, agent: false })
      .on('connect', (answer, socket) => {
        if (answer.statusCode !== 200) { reject(new Error(`CONNECT ${answer.statusCode}`)); return; }
        const inner = tls.connect({ socket, servername: target.hostname, ca, ALPNProtocols: protocols }, () => resolve(inner));
        inner.on('error', reject);
      })
      .on('error', reject)
      .end();
  });
}

class Tunnelling extends https.Agent {
  createConnection(options, done) {
    connect(['http/1.1']).then((socket) => done(null, socket), done);
  }
}

function read(stream, began, status, resolve, reject) {
  let size = 0, first = 0;
  const now = () => Number(process.hrtime.bigint() - began) / 1e9;
  stream.on('data', (data) => { first = first || now(); size += data.length; });
  stream.on('end', () => resolve([status(), size, first, now()]));
  stream.on('error', reject);
  stream.on('aborted', () => reject(new Error('aborted')));
}

function by1(agent, method, path, body, headers) {
  return new Promise((resolve, reject) => {
    const began = process.hrtime.bigint();
    const request = https.request({ hostname: target.hostname, port: target.port || 443, path, method, agent,
      headers: { ...headers, ...(body ? { 'Content-Length': body } : {}) } });
    request.on('response', (answer) => read(answer, began, () => answer.statusCode, resolve, reject));
    request.on('error', reject);
    if (headers.Expect) {
      request.on('continue', () => request.end(Buffer.alloc(body, 'x')));
      request.flushHeaders();
    } else request.end(body ? Buffer.alloc(body, 'x') : undefined);
  });
}

function by2(session, method, path, body) {
  return new Promise((resolve, reject) => {
    const began = process.hrtime.bigint();
    const stream = session.request({ ':method': method, ':path': path }, { endStream: !body });
    let status = 0, length = null;
    stream.on('response', (fields) => { status = fields[':status']; length = fields['content-length']; });
    // Node ends a stream whose connection was lost as if it were complete.
    const check = (result) => (status && (!length || Number(length) === result[1]) ? resolve(result) : reject(new Error('cut')));
    read(stream, began, () => status, check, reject);
    if (body) stream.end(Buffer.alloc(body, 'x'));
  });
}

async function open2() {
  const socket = await connect(['h2']);
  const session = http2.connect(`https://${target.hostname}`, { createConnection: () => socket });
  session.on('error', () => {});
  return session;
}

(async () => {
  for (const [situation, calls] of Object.entries(JSON.parse(text))) {
    const results = [];
    const agent = new Tunnelling({ keepAlive: true, maxSockets: 1 });
    let session = null;
    for (const [number, [method, body, pause, headers]] of calls.entries()) {
      await new Promise((resolve) => { setTimeout(resolve, pause * 1000 + 5); });
      const url = new URL(base.replace('SITUATION', `${situation}/${number}`));
      const path = url.pathname + url.search;
      const limit = new Promise((_, reject) => { setTimeout(() => reject(new Error('too long')), 15000).unref(); });
      try {
        if (kind === 'node-2') {
          if (!session || session.closed || session.destroyed) session = await open2();
          results.push(await Promise.race([by2(session, method, path, body), limit]));
        } else results.push(await Promise.race([by1(agent, method, path, body, headers), limit]));
      } catch (error) { results.push(['error', 0, 0, 0, String(error).slice(0, 200)]); }
    }
    agent.destroy();
    if (session) session.destroy();
    console.log(JSON.stringify([situation, results]));
  }
  process.exit(0);
})();
process.on('uncaughtException', () => {});
