'use strict';
// A supervisor as small as the tests need it: it passes a listening socket and
// one end of a channel to a server, and reads what the server says there.

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');

const preload = path.join(__dirname, '..', 'lastcall.js');
const LIMIT = 30000; // for what has to happen; never for how fast

// until waits for a condition, which is tried whenever something may have
// happened.
async function until(what, ok) {
  for (const end = Date.now() + LIMIT; !(await ok());) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
}

// A Process is a server under test: what it says on stdout, stderr and the
// channel, and its end.
class Process {
  constructor(t, script, { sockets = [], names, env = {}, wrapper = false, preloaded = true, execArgv = [] } = {}) {
    this.stdout = '';
    this.stderr = '';
    this.told = '';
    const all = { ...process.env, ...env };
    delete all.NODE_TEST_CONTEXT;
    if (sockets.length > 0) {
      all.LISTEN_FDS = String(sockets.length);
      all.LISTEN_FDNAMES = sockets.map((_, i) => names?.[i] ?? `s${i}`).join(':');
      all.LASTCALL_LISTENERS ??= sockets.map((s, i) => `${names?.[i] ?? `s${i}`}=${s.where}`).join(';');
    }
    const channel = 3 + sockets.length;
    if (env.LASTCALL_WORKER) all.LASTCALL_CHANNEL = String(channel);
    const node = `"${process.execPath}" ${execArgv.join(' ')} ${preloaded ? `-r "${preload}"` : ''} -e "$SCRIPT"`;
    all.SCRIPT = script;
    all.LASTCALL_JS = preload;
    const command = wrapper ? `LISTEN_PID=$$; export LISTEN_PID; ${node}; exit $?` : `LISTEN_PID=$$ exec ${node}`;
    this.child = spawn('sh', ['-c', command], {
      env: all, cwd: __dirname,
      stdio: ['ignore', 'pipe', 'pipe', ...sockets.map((s) => s._handle.fd), 'pipe'],
    });
    for (const s of sockets) s.close();
    this.child.stdout.on('data', (b) => { this.stdout += b; });
    this.child.stderr.on('data', (b) => { this.stderr += b; });
    this.child.stdio[channel].on('data', (b) => { this.told += b; }).on('error', () => {});
    this.ended = once(this.child, 'close');
    t.after(() => this.child.kill('SIGKILL'));
  }

  // said waits for a word on stdout.
  said(text) {
    return until(`stdout says ${text}; it says ${this.stdout} ${this.stderr}`, () => this.stdout.includes(text));
  }

  explained(text) {
    return until(`stderr says ${text}; it says ${this.stderr}`, () => this.stderr.includes(text));
  }

  term() {
    this.child.kill('SIGTERM');
  }

  // lines are the assignments on the channel, whose messages follow each other
  // without a boundary here: the pipe is a stream.
  lines() {
    return this.told.split(/(?<=\})(?=\{"v")/).filter(Boolean).flatMap((m) => JSON.parse(m).notify.text.split('\n'));
  }

  hears(line) {
    return until(`the channel says ${line}; it says ${this.told}`, () => this.lines().includes(line));
  }

  async exits(code) {
    const [got, signal] = await this.ended;
    if (got !== code) throw new Error(`it ended with ${got ?? signal}, want ${code}: ${this.stdout}${this.stderr}`);
  }
}

function where(server) {
  const a = server.address();
  return typeof a === 'string' ? `unix:${a}` : `tcp:${a.address}:${a.port}`;
}

// bind returns a listening socket to be passed to one Process, which then has it
// alone: as long as it is open here too, this process would accept from it.
async function bind(at = { port: 0, host: '127.0.0.1' }) {
  const server = net.createServer();
  server.listen(at);
  await once(server, 'listening');
  server.where = where(server);
  server.port = server.address().port;
  return server;
}

// portOf is that of a server that tells it on stdout.
async function portOf(p) {
  await p.said('port ');
  return Number(/port (\d+)/.exec(p.stdout)[1]);
}

// A Client is one connection that sends what it is told, and nothing twice.
class Client {
  constructor(to) {
    this.socket = net.connect(to);
    this.text = '';
    this.closed = false;
    this.socket.on('data', (b) => { this.text += b; });
    this.socket.on('close', () => { this.closed = true; });
    this.socket.on('error', (err) => { this.error = err; });
  }

  send(target, { method = 'GET', headers = '' } = {}) {
    this.text = '';
    this.socket.write(`${method} ${target} HTTP/1.1\r\nHost: test\r\n${headers}\r\n`);
  }

  // answer waits for a whole response of the servers here: its body ends in a dot.
  answer() {
    return until(`an answer; ${this.text} ${this.error ?? ''}`, () => this.text.endsWith('.'));
  }

  async ask(target, options) {
    this.send(target, options);
    await this.answer();
    return this.text;
  }

  gone() {
    return until('the connection is closed', () => this.closed);
  }
}

const get = (options) => new Promise((resolve, reject) => {
  http.get({ agent: false, ...options }, (response) => {
    let text = '';
    response.on('data', (b) => { text += b; }).on('end', () => resolve({ text, headers: response.headers })).on('error', reject);
  }).on('error', reject);
});

// refuses tells whether nobody listens there any more.
const refuses = (to) => new Promise((resolve) => {
  net.connect(to).on('connect', function () { this.destroy(); resolve(false); }).on('error', () => resolve(true));
});

module.exports = { Process, Client, bind, get, portOf, refuses, until };
