// Reads https://HOST/ through HTTPS_PROXY and prints the answer. Node's own https module knows no proxy, so the tunnel
// is opened by hand, as axios does.
const http = require('http');
const tls = require('tls');

const host = process.argv[2];
const proxy = new URL(process.env.HTTPS_PROXY);

http.request({ host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: `${host}:443` })
  .on('connect', (_, socket) => {
    const inner = tls.connect({ socket, servername: host }, () => inner.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`));
    inner.on('data', (data) => { process.stdout.write(String(data).split('\r\n\r\n')[1] || ''); inner.end(); });
    inner.on('error', (error) => { console.error(String(error)); process.exitCode = 1; });
  })
  .end();
