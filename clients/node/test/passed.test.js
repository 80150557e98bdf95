'use strict';
// Which listen() gets which passed socket, what is explained, and what is said
// to the supervisor.

const assert = require('node:assert');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { Process, Client, bind, get, portOf, refuses, test, until } = require('../fixtures/rig.js');

const SERVER = `
  const http = require('http');
  const server = http.createServer((req, res) => res.end('here.'));
  const told = () => console.log('port ' + (server.address() ? server.address().port : 'none'));
`;
const WORKER = { LASTCALL_WORKER: 'web.0' };

test('an unchanged listen(port) takes the passed socket, and READY=1 is said', async (t) => {
  for (const args of ['PORT, told', "String(PORT), '127.0.0.1', told", '{ port: PORT }, told', "{ port: PORT, host: '127.0.0.1', backlog: 10 }, told",
    'PORT, 20, told', '{ fd: 3 }, told']) {
    const s = await bind();
    const p = new Process(t, `${SERVER} server.listen(${args.replace('PORT', s.port)});`, { sockets: [s], names: ['web'], env: WORKER });
    assert.strictEqual(await portOf(p), s.port, args);
    await p.hears('READY=1');
    assert.strictEqual((await get({ port: s.port, host: '127.0.0.1' })).text, 'here.');
    p.term();
    await p.exits(0);
    assert.strictEqual(p.lines().filter((l) => l === 'READY=1').length, 1);
  }
});

test('several sockets are told apart by port, and by path', async (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'lastcall'));
  t.after(() => fs.rmSync(dir, { recursive: true }));
  const [a, b] = [await bind(), await bind()];
  const [d, c] = [await bind({ path: path.join(dir, 'other') }), await bind({ path: path.join(dir, 'bound') })];
  const file = path.join(dir, 'file');
  fs.linkSync(path.join(dir, 'bound'), file); // what this process has bound it unlinks
  c.where = `unix:${file}`;
  const p = new Process(t, `${SERVER}
    const { sockets } = require(process.env.LASTCALL_JS);
    http.createServer((req, res) => res.end('path.')).listen(${JSON.stringify(file)}, () => {
      server.listen(${b.port}, () => { told(); console.log(JSON.stringify(sockets())); });
    });`, { sockets: [a, b, d, c], names: ['a', 'b', 'd', 'c'], env: WORKER });
  assert.strictEqual(await portOf(p), b.port);
  assert.strictEqual((await get({ port: b.port, host: '127.0.0.1' })).text, 'here.');
  assert.strictEqual((await get({ socketPath: file })).text, 'path.');
  await p.said(']');
  assert.deepStrictEqual(JSON.parse(p.stdout.match(/\[.*\]/)[0]), [
    { name: 'a', fd: 3, address: `127.0.0.1:${a.port}`, taken: false },
    { name: 'b', fd: 4, address: `127.0.0.1:${b.port}`, taken: true },
    { name: 'd', fd: 5, address: path.join(dir, 'other'), taken: false },
    { name: 'c', fd: 6, address: file, taken: true },
  ]);
  p.term();
  await p.exits(0);
});

test('the only socket is taken where addresses are not told, as under systemd', async (t) => {
  const s = await bind();
  const p = new Process(t, `${SERVER} server.listen(1, told);`, { sockets: [s], env: { LASTCALL_LISTENERS: '' } });
  assert.strictEqual(await portOf(p), s.port);
  p.term();
  await p.exits(0);
});

test('other ports are left alone, and serve to the end', async (t) => {
  const s = await bind();
  const p = new Process(t, `${SERVER}
    http.createServer((req, res) => { console.log('held'); require(process.env.LASTCALL_JS).draining.onabort = () => setTimeout(() => res.end('held.'), 300); }).listen(${s.port});
    server.listen(0, told);`, { sockets: [s], env: WORKER });
  const other = await portOf(p);
  assert.notStrictEqual(other, s.port);
  const held = get({ port: s.port, host: '127.0.0.1' });
  await p.said('held');
  p.term();
  await until('the passed socket is closed', () => refuses({ port: s.port, host: '127.0.0.1' }));
  assert.strictEqual((await get({ port: other, host: '127.0.0.1' })).text, 'here.');
  assert.strictEqual((await held).text, 'held.');
  await p.exits(0);
  assert.strictEqual(p.stderr, '');
});

test('a port that is none of the passed ones is explained when nobody takes those', async (t) => {
  const [s, free] = [await bind(), await bind()];
  free.close();
  const p = new Process(t, `${SERVER} server.listen(${free.port}, '127.0.0.1', told);`, { sockets: [s], names: ['web'], env: WORKER });
  assert.strictEqual(await portOf(p), free.port);
  await p.explained(`has bound port ${free.port} itself, which is none of the sockets that were passed (web 127.0.0.1:${s.port})`);
  assert.ok(!p.lines().includes('READY=1'), p.told);
});

test('a socket that was closed is not taken twice, and that is explained', async (t) => {
  const s = await bind();
  const p = new Process(t, `${SERVER}
    const probe = http.createServer().listen(${s.port}, () => probe.close(() => server.listen(${s.port}, '127.0.0.1', told)));`,
  { sockets: [s], names: ['web'], env: WORKER });
  assert.strictEqual(await portOf(p), s.port); // this test has closed it too
  await p.explained(`wants port ${s.port} again, but the socket that was passed for it was closed`);
});

test('another host is explained once', async (t) => {
  const s = await bind();
  const p = new Process(t, `${SERVER} server.listen(${s.port}, '0.0.0.0', told);`, { sockets: [s], names: ['web'], env: WORKER });
  assert.strictEqual(await portOf(p), s.port);
  await p.explained(`wants port ${s.port} of 0.0.0.0; it gets the socket web, which is bound to 127.0.0.1:${s.port}`);
});

test('a wrapper between is explained, and nothing is taken or said', async (t) => {
  const s = await bind();
  const p = new Process(t, `${SERVER} server.on('error', (err) => console.log(err.code)).listen(${s.port}, '127.0.0.1');`,
    { sockets: [s], wrapper: true, env: WORKER });
  await p.said('EADDRINUSE');
  await p.explained('but the socket for it was passed to pid ');
  assert.match(p.stderr, /command = \["node", "-r", "\.\/lastcall\.js", "server\.js"\]/);
  await p.exits(0);
  assert.strictEqual(p.told, '');
});

test('a process that only loads the file ends by SIGTERM as ever', async (t) => {
  const s = await bind();
  const p = new Process(t, "setInterval(() => {}, 1000); console.log('up');", { sockets: [s], env: WORKER });
  await p.said('up');
  p.term();
  const [, signal] = await p.ended;
  assert.strictEqual(signal, 'SIGTERM');
});

test('children and threads do not get what was said to this process', async (t) => {
  const s = await bind();
  const p = new Process(t, `${SERVER}
    const vars = 'process.env.NOTIFY_SOCKET + process.env.WATCHDOG_USEC + process.env.LASTCALL_CHANNEL';
    console.log('child', require('child_process').execFileSync(process.execPath, ['-p', vars]).toString().trim());
    const { Worker } = require('worker_threads');
    new Worker("require(process.env.LASTCALL_JS); require('http').createServer().on('error', (e) => console.log('thread', e.code)).listen(" + ${s.port} + ", '127.0.0.1')", { eval: true })
      .on('exit', () => server.listen(${s.port}, told));`,
  { sockets: [s], env: { ...WORKER, NOTIFY_SOCKET: '@none', WATCHDOG_USEC: '50000' } });
  assert.strictEqual(await portOf(p), s.port);
  assert.match(p.stdout, /child undefinedundefinedundefined|child NaN/);
  assert.match(p.stdout, /thread EADDRINUSE/);
  await p.hears('WATCHDOG=1');
});

test('cluster: the primary takes the socket once, and its children drain', async (t) => {
  const s = await bind();
  const p = new Process(t, `
    const cluster = require('cluster');
    if (cluster.isPrimary) {
      cluster.setupPrimary({ exec: 'cluster.js', execArgv: ['-r', process.env.LASTCALL_JS], args: ['${s.port}'] });
      cluster.fork(); cluster.fork();
    }`, { sockets: [s], env: WORKER });
  await until('both serve', () => p.stdout.split('listens').length === 3);
  await p.hears('READY=1');
  const held = Array.from({ length: 4 }, () => get({ port: s.port, host: '127.0.0.1', path: '/held' }));
  await until('they hold', () => p.stdout.split('held').length === 5);
  p.term();
  const answers = await Promise.all(held);
  assert.deepStrictEqual([...new Set(answers.map((a) => a.text))].sort().length, 2, 'both have answered');
  await p.exits(0);
  assert.strictEqual(p.stderr, '');
});

test('a channel that is full, or broken, stops nothing', async (t) => {
  const p = new Process(t, `
    const fs = require('fs');
    const { writeSync } = fs;
    let full = 3;
    fs.writeSync = (...args) => { if (full-- > 0) throw Object.assign(new Error('full'), { code: 'EAGAIN' }); return writeSync(...args); };
    const lastcall = require(process.env.LASTCALL_JS);
    setInterval(() => {}, 1000);
    lastcall.status('one\\ntwo'); lastcall.ready(); lastcall.begin('a\\u0000b');
    setTimeout(() => {
      fs.writeSync = () => { throw Object.assign(new Error('broken'), { code: 'EPIPE' }); };
      lastcall.status('gone'); lastcall.status('gone');
      console.log('lives');
    }, 500);`, { env: WORKER });
  await p.said('lives');
  assert.deepStrictEqual(p.lines(), ['STATUS=one two', 'READY=1', 'X_LASTCALL_CLASS=critical', 'X_LASTCALL_BEGIN=a b']);
});

test('a broken stdout does not end a worker that drains', async (t) => {
  const s = await bind();
  const p = new Process(t, `
    require('http').createServer((req, res) => {
      process.stdout.write('one\\n'); process.stdout.write('two\\n');
      setTimeout(() => res.end('here.'), 50);
    }).listen(${s.port}, () => console.log('port ${s.port}'));`, { sockets: [s], env: WORKER });
  await portOf(p);
  p.child.stdout.destroy();
  const c = new Client({ port: s.port, host: '127.0.0.1' });
  assert.match(await c.ask('/'), /here\./);
  assert.match(await c.ask('/'), /here\./);
  p.term();
  await p.exits(0);
});
