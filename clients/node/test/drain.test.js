'use strict';
// What becomes of work in progress when SIGTERM comes.

const assert = require('node:assert');
const fs = require('node:fs');
const http2 = require('node:http2');
const https = require('node:https');
const path = require('node:path');
const { Process, Client, get, portOf, refuses, test, until } = require('../fixtures/rig.js');

// A server that holds /held until its client, or another, asks for /go.
const HELD = `
  const http = require('http');
  const waiting = [];
  const server = http.createServer((req, res) => {
    if (req.url.startsWith('/held')) { waiting.push(res); console.log('held'); return; }
    if (req.url === '/go') for (const r of waiting.splice(0)) r.end('done.');
    res.end('here.');
  });
  server.keepAliveTimeout = 60000;
  server.listen(0, '127.0.0.1', () => console.log('port ' + server.address().port));
`;

test('a request in progress is answered, and says that the connection closes', async (t) => {
  const p = new Process(t, HELD);
  const to = { port: await portOf(p), host: '127.0.0.1' };
  const [held, idle, fresh] = [new Client(to), new Client(to), new Client(to)];
  assert.match(await idle.ask('/'), /Connection: keep-alive/);
  held.send('/held');
  await p.said('held');
  p.term();
  await until('nobody listens', () => refuses(to));
  // Within the hold a request on a connection that was idle, or had said
  // nothing, is served; /go releases what is held.
  assert.match(await fresh.ask('/'), /Connection: close/);
  assert.match(await idle.ask('/go'), /Connection: close/);
  await held.answer();
  assert.match(held.text, /Connection: close[^]*done\./);
  await Promise.all([held.gone(), idle.gone(), fresh.gone()]);
  await p.exits(0);
});

test('a connection without a request is closed, and does not hold the drain', async (t) => {
  const p = new Process(t, HELD);
  const to = { port: await portOf(p), host: '127.0.0.1' };
  const [idle, fresh] = [new Client(to), new Client(to)];
  await idle.ask('/');
  p.term();
  await p.exits(0);
  await Promise.all([idle.gone(), fresh.gone()]);
  assert.ok(!idle.error && !fresh.error, 'neither is reset');
});

test('a request whose first half has come is waited for', async (t) => {
  const p = new Process(t, HELD);
  const to = { port: await portOf(p), host: '127.0.0.1' };
  const [half, idle] = [new Client(to), new Client(to)];
  await idle.ask('/');
  half.socket.write('GET / HTTP/1.1\r\nHost: t');
  await idle.ask('/');
  p.term();
  await idle.gone(); // the hold is over
  half.socket.write('est\r\n\r\n');
  await half.answer();
  assert.match(half.text, /Connection: close/);
  await p.exits(0);
});

test('requests that were sent ahead are all answered, and only the last says close', async (t) => {
  const p = new Process(t, HELD);
  const to = { port: await portOf(p), host: '127.0.0.1' };
  const [ahead, other] = [new Client(to), new Client(to)];
  await other.ask('/');
  const request = 'GET /held HTTP/1.1\r\nHost: test\r\n\r\n';
  ahead.socket.write(request + request);
  await until('both are held', () => p.stdout.split('held').length === 3);
  p.term();
  await until('nobody listens', () => refuses(to));
  ahead.socket.write(request);
  await until('the third is held', () => p.stdout.split('held').length === 4);
  await other.ask('/go');
  await ahead.gone();
  assert.deepStrictEqual(ahead.text.match(/Connection: [a-z-]+|done\./g),
    ['Connection: keep-alive', 'done.', 'Connection: keep-alive', 'done.', 'Connection: close', 'done.']);
  await p.exits(0);
});

test('what a client had sent ahead ends with its connection', async (t) => {
  const p = new Process(t, HELD);
  const c = new Client({ port: await portOf(p), host: '127.0.0.1' });
  const request = 'GET /held HTTP/1.1\r\nHost: test\r\n\r\n';
  c.socket.write(request + request);
  await until('both are held', () => p.stdout.split('held').length === 3);
  c.socket.destroy();
  p.term();
  await p.exits(0);
  assert.strictEqual(p.stderr, '', 'nothing was cut');
});

test('a server that comes to listen during the drain is closed', async (t) => {
  const p = new Process(t, `${HELD}
    require(process.env.LASTCALL_JS).draining.onabort = () => {
      const late = http.createServer().listen(0, '127.0.0.1', () => { console.log('late ' + late.address().port); })
        .on('close', () => console.log('closed'));
    };`);
  const c = new Client({ port: await portOf(p), host: '127.0.0.1' });
  c.send('/held');
  await p.said('held');
  p.term();
  await p.said('closed');
  c.socket.destroy();
  await p.exits(0);
});

test('a drain may be longer than a timer', async (t) => {
  const p = new Process(t, HELD, { env: { LASTCALL_DRAIN_USEC: String(40 * 86400 * 1e6) } });
  const to = { port: await portOf(p), host: '127.0.0.1' };
  const [held, other] = [new Client(to), new Client(to)];
  await other.ask('/');
  held.send('/held');
  await p.said('held');
  p.term();
  await until('nobody listens', () => refuses(to));
  await other.ask('/go');
  await held.answer();
  await p.exits(0);
  assert.strictEqual(p.stderr, '');
});

test('the deadline cuts what is left: 1 alone, 0 under a supervisor, which has the names', async (t) => {
  for (const worker of [undefined, 'web.0']) {
    const env = { LASTCALL_DRAIN_USEC: '300000', ...(worker && { LASTCALL_WORKER: worker }) };
    const p = new Process(t, HELD, { env });
    const c = new Client({ port: await portOf(p), host: '127.0.0.1' });
    c.send('/held?secret=1');
    await p.said('held');
    p.term();
    await c.gone();
    await p.exits(worker ? 0 : 1);
    assert.match(p.stderr, /the deadline has cut GET \/held\n/);
    if (worker) {
      assert.ok(p.lines().includes('STOPPING=1'));
      assert.ok(p.lines().includes('X_LASTCALL_BEGIN=GET /held'), p.told);
      assert.ok(!p.lines().some((l) => l.startsWith('X_LASTCALL_END')), 'what was cut has not ended');
    }
  }
});

test("the application's own SIGTERM listener finds what it expects", async (t) => {
  for (const [name, listener] of [
    ['at once', "server.close((err) => { console.log('closed', err); process.exit(err ? 1 : 0); })"],
    ['later', "setTimeout(() => server.close((err) => { console.log('closed', err); process.exit(err ? 1 : 0); }), 100)"],
    ['when all is over', "lateClose = () => server.close((err) => { console.log('closed', err); process.exit(err ? 1 : 0); })"],
  ]) {
    const p = new Process(t, `let lateClose; ${HELD}
      process.on('SIGTERM', () => { ${listener}; setTimeout(() => waiting[0].end('done.'), 400); });
      server.on('close', () => { if (lateClose) setTimeout(lateClose, 10); });`);
    const to = { port: await portOf(p), host: '127.0.0.1' };
    const [held, idle] = [new Client(to), new Client(to)];
    await idle.ask('/');
    held.send('/held');
    await p.said('held');
    p.term();
    await idle.ask('/'); // which Node's own close() would have closed
    await held.answer();
    await p.exits(0);
    assert.match(p.stdout, /closed undefined/, name);
  }
});

test('what keeps the event loop alive does not keep the process', async (t) => {
  const env = { LASTCALL_DRAIN_USEC: String(3600 * 1e6) };
  const p = new Process(t, `${HELD} setInterval(() => {}, 1000); process.on('exit', (code) => console.log('exit', code));`, { env });
  await portOf(p);
  p.term();
  await p.exits(0);
  assert.match(p.stdout, /exit 0/);
});

test('an event loop that ends by itself is left alone', async (t) => {
  const p = new Process(t, `${HELD} process.on('beforeExit', () => console.log('beforeExit'));`);
  await portOf(p);
  p.term();
  await p.exits(0);
  assert.match(p.stdout, /beforeExit/);
});

test('a server that has listened twice counts a request once', async (t) => {
  const p = new Process(t, `${HELD.replace('server.listen(0', "server.once('error', () => {}); server.listen(1, '203.0.113.1'); server.listening || setTimeout(() => server.listen(0")
    .replace("server.address().port));", "server.address().port)), 100);")}`, { env: { LASTCALL_WORKER: 'web.0' } });
  const to = { port: await portOf(p), host: '127.0.0.1' };
  const [held, other] = [new Client(to), new Client(to)];
  held.send('/held');
  await p.said('held');
  p.term();
  await p.hears('X_LASTCALL_BEGIN=GET /held');
  await other.ask('/go');
  await p.exits(0);
  assert.strictEqual(p.lines().filter((l) => l === 'X_LASTCALL_BEGIN=GET /held').length, 1);
});

test('SIGINT drains without a supervisor, and cuts the second time', async (t) => {
  const p = new Process(t, HELD);
  const c = new Client({ port: await portOf(p), host: '127.0.0.1' });
  c.send('/held');
  await p.said('held');
  p.child.kill('SIGINT');
  await until('nobody listens', () => refuses({ port: c.socket.remotePort, host: '127.0.0.1' }));
  assert.ok(!c.closed);
  p.child.kill('SIGINT');
  await c.gone();
  await p.exits(1);
});

test('a raw connection is waited for, and told', async (t) => {
  const p = new Process(t, `
    const { draining } = require(process.env.LASTCALL_JS);
    const server = require('net').createServer((c) => {
      c.write('hello.');
      draining.addEventListener('abort', () => c.write('bye.'));
    }).listen(0, '127.0.0.1', () => console.log('port ' + server.address().port));`);
  const c = new Client({ port: await portOf(p), host: '127.0.0.1' });
  await c.answer();
  p.term();
  await until('it is told', () => c.text.endsWith('bye.'));
  assert.strictEqual(p.child.exitCode, null);
  c.socket.end();
  await p.exits(0);
});

test('a connection that was upgraded is closed when nothing else is in progress', async (t) => {
  const p = new Process(t, `${HELD}
    const { draining } = require(process.env.LASTCALL_JS);
    server.on('upgrade', (req, socket) => {
      socket.write('HTTP/1.1 101 Switching\\r\\n\\r\\nup.');
      draining.addEventListener('abort', () => setTimeout(() => socket.write('goodbye.'), 100));
    });`);
  const to = { port: await portOf(p), host: '127.0.0.1' };
  const [socket, held] = [new Client(to), new Client(to)];
  await socket.ask('/ws', { headers: 'Connection: upgrade\r\nUpgrade: websocket\r\n' });
  held.send('/held');
  await p.said('held');
  const go = new Client(to);
  await go.ask('/');
  p.term();
  await until('the drain has begun', () => refuses(to));
  assert.ok(!socket.closed);
  await go.ask('/go');
  await held.answer();
  await socket.gone();
  assert.match(socket.text, /goodbye\./);
  await p.exits(0);
});

test('TLS: a request in progress is answered', async (t) => {
  const p = new Process(t, `
    const pem = require('fs').readFileSync('tls.pem');
    const server = require('https').createServer({ key: pem, cert: pem }, (req, res) => {
      console.log('held');
      process.once('SIGTERM', () => setTimeout(() => res.end('done.'), 50));
    }).listen(0, '127.0.0.1', () => console.log('port ' + server.address().port));`);
  const port = await portOf(p);
  const agent = new https.Agent({ keepAlive: true });
  const answer = new Promise((resolve, reject) => {
    https.get({ port, agent, ca: fs.readFileSync(path.join(__dirname, '..', 'fixtures', 'tls.pem')), servername: 'localhost' }, (res) => {
      res.on('data', () => {}).on('end', () => resolve(res.headers.connection));
    }).on('error', reject);
  });
  await p.said('held');
  p.term();
  assert.strictEqual(await answer, 'close');
  await p.exits(0);
});

test('HTTP/2: GOAWAY, and the streams that were taken end', async (t) => {
  for (const listener of ["('stream', (stream) => hold(stream))", "('request', (request, response) => hold(response))"]) {
    const p = new Process(t, `
      const hold = (s) => { console.log('held'); process.on('SIGTERM', () => setTimeout(() => s.end('done.'), 100)); };
      const server = require('http2').createServer().on${listener};
      server.listen(0, '127.0.0.1', () => console.log('port ' + server.address().port));`);
    const to = `http://127.0.0.1:${await portOf(p)}`;
    const [busy, idle] = [http2.connect(to), http2.connect(to)];
    const went = [];
    for (const session of [busy, idle]) session.on('goaway', (code, last) => went.push([code, last]));
    await new Promise((resolve) => { idle.on('remoteSettings', resolve); });
    const answer = new Promise((resolve, reject) => {
      let text = '';
      busy.request({ ':path': '/held' }).on('data', (b) => { text += b; }).on('end', () => resolve(text)).on('error', reject);
    });
    await p.said('held');
    p.term();
    assert.strictEqual(await answer, 'done.');
    await until('both are told to go', () => went.length >= 2);
    assert.deepStrictEqual(went[0], [0, 2 ** 31 - 1], 'what crosses it is served');
    await p.exits(0);
  }
});

test('connection per request', async (t) => {
  const p = new Process(t, HELD);
  const port = await portOf(p);
  const { text } = await get({ port, host: '127.0.0.1' });
  assert.strictEqual(text, 'here.');
  p.term();
  await p.exits(0);
});
