'use strict';
// lastcall for Node: drains a server on SIGTERM, and has an unchanged
// listen(3000) take the socket that `lastcall run` passes. One file, no
// dependencies, Node 18 or newer. Either
//
//	node -r ./lastcall.js server.js
//
// or require('./lastcall') ahead of the first listen(); both at once are one.
// docs/node.md is the manual. Everything here belongs to the main thread: in a
// worker thread nothing is patched and nothing counts.

const { AsyncLocalStorage } = require('async_hooks');
const fs = require('fs');
const net = require('net');
const path = require('path');
const { isMainThread } = require('worker_threads');

// How long a connection between two requests, or before its first, is kept for
// a request that may be on its way. Closing it at once, as server.close() does,
// loses that request: who sent it sees a reset.
const HOLD = 1000;
// How long the event loop has to end by itself when nothing is in progress any
// more: an open database pool, or a server on another port, would keep the
// process for ever. An application with a SIGTERM listener of its own is about
// to end things, and gets longer.
const GRACE = 1000, GRACE_OF_LISTENERS = 5000;
// How long those that were cut have to unwind; the supervisor kills 500 ms
// after the deadline.
const UNWIND = 250;
const DRAIN_TIMEOUT = 25000; // without LASTCALL_DRAIN_USEC
const LONGEST = 2 ** 31 - 1; // that a timer can be; one that is longer fires at once

const MAX_NAME = 200, MAX_TEXT = 4096; // bytes, of the notify protocol
const MAX_PENDING = 1000;
const RETRY = 100;

const env = process.env;
const supervised = Boolean(env.LASTCALL_WORKER);
const said = new Set();

// say explains something once. Not process.stderr.write: when the supervisor is
// gone the pipe is broken, which console ignores.
function say(text) {
  if (said.has(text)) return;
  said.add(text);
  console.error(`lastcall: ${text}`);
}

// ---- What the supervisor has said and passed.

// parseSockets reads systemd's variables and LASTCALL_LISTENERS
// ("web=tcp:127.0.0.1:8080;admin=unix:/run/a.sock"). Whose they are is not
// asked here.
function parseSockets(from) {
  const count = Number(from.LISTEN_FDS) || 0;
  const names = (from.LISTEN_FDNAMES || '').split(':');
  const known = (from.LASTCALL_LISTENERS || '').split(';');
  return Array.from({ length: count }, (_, i) => {
    const socket = { name: names[i] || '', fd: 3 + i, taken: false };
    const m = /^([^=]+)=(\w+):(.*)$/.exec(known[i] || '');
    if (!m) return socket;
    socket.name = m[1];
    socket.address = m[3];
    if (m[2] === 'unix') socket.path = pathOf(m[3]);
    else {
      const colon = m[3].lastIndexOf(':');
      socket.port = Number(m[3].slice(colon + 1));
      socket.host = hostOf(m[3].slice(0, colon));
    }
    return socket;
  });
}

const pathOf = (p) => (/^[\0@]/.test(p) ? `@${p.slice(1)}` : path.resolve(p));

// hostOf makes hosts comparable; '' is every address.
function hostOf(host) {
  const bare = (host || '').replace(/^\[|\]$/g, '');
  if (bare === '0.0.0.0' || bare === '::') return '';
  return bare === 'localhost' || bare === '::1' ? '127.0.0.1' : bare;
}

const passed = isMainThread ? parseSockets(env) : [];
const mine = Number(env.LISTEN_PID) === process.pid;
const inherited = mine ? passed : [];

// ---- What is said to the supervisor: the text of sd_notify(3), as messages on
// the channel, since Node cannot send unix datagrams.

let channel = isMainThread ? openChannel(Number(env.LASTCALL_CHANNEL)) : 0;
const pending = [];
let retry = null;

// openChannel returns the descriptor, or 0 if it is none, or not ours: a wrapper
// such as npm passes the variable on, but not what it numbers.
function openChannel(fd) {
  try {
    return fd > 0 && (mine || passed.length === 0) && fs.fstatSync(fd).isSocket() ? fd : 0;
  } catch {
    return 0;
  }
}

// notify sends assignments, in order. What the kernel has no room for, because
// the supervisor is stopped, waits; beyond MAX_PENDING it is dropped. There is
// no event for room: Node cannot watch a descriptor of this kind.
function notify(text) {
  if (!channel) return;
  if (pending.length < MAX_PENDING) pending.push(text);
  flush();
}

function flush() {
  while (channel && pending.length > 0) {
    let n = 1;
    let text = pending[0];
    while (n < pending.length && Buffer.byteLength(text) + Buffer.byteLength(pending[n]) < MAX_TEXT) {
      text += `\n${pending[n++]}`;
    }
    try {
      fs.writeSync(channel, JSON.stringify({ v: 1, notify: { text } }));
    } catch (err) {
      if (err.code === 'EAGAIN' || err.code === 'ENOBUFS') {
        retry ??= setTimeout(() => { retry = null; flush(); }, RETRY).unref();
      } else {
        channel = 0; // EPIPE: the supervisor is gone, and its guard sends the signal
      }
      return;
    }
    pending.splice(0, n);
  }
}

// oneLine is text as the value of an assignment.
function oneLine(text, max) {
  const line = Buffer.from(String(text).replace(/[\0-\x1f\x7f]+/g, ' '));
  // What is cut inside a character ends in U+FFFD, which goes too.
  return line.length <= max ? line.toString() : line.subarray(0, max).toString().replace(/\uFFFD$/, '');
}

let isReady = false;
function ready() {
  install();
  if (isReady) return;
  isReady = true;
  notify('READY=1');
}

function status(text) {
  install();
  notify(`STATUS=${oneLine(text, MAX_TEXT - 100)}`);
}

function watchdog() {
  const every = Number(env.WATCHDOG_USEC) / 2000;
  const other = env.WATCHDOG_PID && Number(env.WATCHDOG_PID) !== process.pid;
  if (!(every > 0) || other || !channel) return;
  // From the event loop, so that a loop that is stuck gives no sign.
  setInterval(() => { if (pending.length === 0) notify('WATCHDOG=1'); }, Math.min(Math.max(1, every), LONGEST)).unref();
}

// ---- Operations: requests, and what the application begins.

const work = new Set(); // {name(), critical, told: the name as it was told, response, controller}
const controller = new AbortController();
let context = null; // who is inside an operation; made when somebody begins one

function add(item) {
  work.add(item);
  if (controller.signal.aborted) tell(item);
  return item;
}

function remove(item) {
  if (!work.delete(item)) return;
  // What was cut has not ended: the supervisor names what never says END.
  if (item.told && !wasCut) notify(`X_LASTCALL_END=${item.told}`);
  settle();
}

// tell names an operation to the supervisor. Requests only during a drain: a
// message for each would cost more than many a request.
function tell(item) {
  if (item.told) return;
  item.told = oneLine(item.name(), MAX_NAME);
  notify(`X_LASTCALL_CLASS=${item.critical ? 'critical' : 'expendable'}\nX_LASTCALL_BEGIN=${item.told}`);
}

function operationItem(name, options) {
  install();
  const kind = options?.class ?? 'critical';
  if (typeof name !== 'string' || name === '') throw new TypeError('lastcall: the name of an operation must be a string that is not empty');
  if (kind !== 'critical' && kind !== 'expendable') throw new TypeError(`lastcall: the class of ${name} must be 'critical' or 'expendable', not ${kind}`);
  // A process without operations until now has not followed who is inside
  // what, so anything in progress admits.
  const admitted = context ? context.getStore() === true : work.size > 0;
  if (controller.signal.aborted && (!admitted || wasCut)) {
    const err = new Error(`lastcall: ${name} is refused: this process is draining`);
    err.code = 'ERR_LASTCALL_DRAINING';
    throw err;
  }
  context ??= new AsyncLocalStorage();
  const item = add({ name: () => name, critical: kind === 'critical', controller: new AbortController() });
  tell(item);
  return item;
}

function begin(name, options) {
  const item = operationItem(name, options);
  return () => remove(item);
}

async function operation(name, options, fn) {
  if (typeof options === 'function') [options, fn] = [undefined, options];
  if (typeof fn !== 'function') throw new TypeError(`lastcall: operation ${name} needs a function`);
  const item = operationItem(name, options);
  try {
    return await context.run(true, fn, item.controller.signal);
  } finally {
    remove(item);
  }
}

// ---- Servers: what is in progress on them is seen by their events.

const entries = new Set(); // of servers that listen, or still have connections
const entryOf = new WeakMap();

// kindOf goes by what a server can do, so that nothing is loaded for it.
function kindOf(server) {
  if (typeof server.updateSettings === 'function') return 'http2';
  return 'keepAliveTimeout' in server ? 'http' : 'raw';
}

const secure = (server) => typeof server.setSecureContext === 'function';

// track follows a server from now on. Its emit is wrapped rather than listened
// to: a listener for upgrade, checkContinue or request changes what Node does.
function track(server, drains) {
  const entry = entryOf.get(server) ?? wrap(server);
  Object.assign(entry, { drains, closed: false, ended: false, asked: false });
  entries.add(entry);
}

function wrap(server) {
  const entry = { server, kind: kindOf(server), connections: new Map(), sessions: new Set(), upgraded: new Set() };
  entryOf.set(server, entry);
  const { emit, close } = server;
  server.emit = function (event, ...args) {
    const seen = events[event];
    if (seen && seen(entry, ...args) && context) return context.run(true, () => emit.call(this, event, ...args));
    return emit.call(this, event, ...args);
  };
  // The application's own close() after ours must not fail because ours was
  // first: many exit with 1 then.
  server.close = function (callback) {
    if (!entry.closed || entry.asked) return close.apply(this, arguments);
    entry.asked = true;
    if (typeof callback === 'function') {
      if (entry.ended) process.nextTick(callback);
      else this.once('close', () => callback());
    }
    return this;
  };
  return entry;
}

// events are what is looked at before the application sees it; true: what
// follows is inside an operation.
const events = {
  __proto__: null,
  listening(entry) {
    if (leaving(entry)) setImmediate(stopAccepting, entry); // behind who asks for its address
    else if (entry.drains) ready();
  },
  close(entry) {
    entry.ended = true;
    if (entry.socket) entry.socket.closed = true;
    entries.delete(entry);
  },
  connection(entry, socket) {
    if (entry.kind === 'raw') {
      const item = add({ name: () => `connection ${socket.remoteAddress ?? 'unix'}`, critical: entry.drains });
      entry.upgraded.add(socket);
      socket.once('close', () => { entry.upgraded.delete(socket); remove(item); });
      return true;
    }
    if (entry.kind === 'http' && !secure(entry.server)) connectionOf(entry, socket);
  },
  secureConnection(entry, socket) {
    if (entry.kind === 'http') connectionOf(entry, socket);
  },
  request(entry, request, response) {
    if (request.stream) return true; // HTTP/2: its stream has been counted
    const c = connectionOf(entry, request.socket);
    // The query is left out: it may be a secret.
    const name = () => `${request.method} ${String(request.originalUrl ?? request.url).split('?', 1)[0]}`;
    const item = add({ name, critical: entry.drains, response, closes: false });
    c.requests.add(item);
    clearTimeout(c.timer);
    if (leaving(entry)) sayClose(c);
    request.once('end', () => { c.mark = c.socket.bytesRead; });
    response.once('close', () => {
      c.requests.delete(item);
      c.mark = c.socket.bytesRead;
      if (leaving(entry)) hold(c);
      remove(item);
    });
    return true;
  },
  session(entry, session) {
    entry.sessions.add(session);
    session.once('close', () => { entry.sessions.delete(session); settle(); });
    if (leaving(entry)) goAway(session);
  },
  stream(entry, stream, headers) {
    const name = () => `${headers[':method']} ${String(headers[':path']).split('?', 1)[0]}`;
    const item = add({ name, critical: entry.drains });
    stream.once('close', () => remove(item));
    return true;
  },
  // WebSocket and the like: nobody but the application knows what is in
  // progress on them. They have a second to say goodbye, and are closed when
  // nothing else is in progress.
  upgrade(entry, request, socket) {
    entry.connections.get(socket)?.forget();
    entry.upgraded.add(socket);
    socket.once('close', () => { entry.upgraded.delete(socket); settle(); });
    return true;
  },
};
events.connect = events.upgrade;
events.checkContinue = events.checkExpectation = events.request;

const leaving = (entry) => controller.signal.aborted && entry.drains;

// connectionOf is a connection of HTTP/1: the requests in progress on it, and
// how many bytes of it belong to requests that have ended.
function connectionOf(entry, socket) {
  let c = entry.connections.get(socket);
  if (c) return c;
  c = { socket, requests: new Set(), mark: socket.bytesRead, timer: undefined };
  c.forget = () => {
    clearTimeout(c.timer);
    entry.connections.delete(socket);
    // A response that waited behind another does not say that it is closed.
    for (const item of c.requests) remove(item);
    settle();
  };
  entry.connections.set(socket, c);
  socket.once('close', c.forget);
  if (leaving(entry)) hold(c);
  return c;
}

// hold keeps a connection for a request that may be on its way. The last look
// is behind the loop's next poll, which reads what has come meanwhile; a request
// of which a part has come is waited for.
function hold(c) {
  if (c.requests.size > 0) return;
  clearTimeout(c.timer);
  c.timer = setTimeout(() => setImmediate(() => {
    if (c.requests.size === 0 && c.socket.bytesRead === c.mark) c.socket.destroySoon();
  }), HOLD);
}

// sayClose has the last response of a connection say that it is; those before it
// must not, or Node would not send what follows them.
function sayClose(c) {
  const last = [...c.requests].pop();
  for (const item of c.requests) {
    if (item.response.headersSent || item.closes === (item === last)) continue;
    item.closes = item === last;
    item.response.setHeader('Connection', item.closes ? 'close' : 'keep-alive');
  }
}

// goAway asks a client of HTTP/2 to begin nothing new here: first without naming
// a last stream, so that what crosses it is served, then for good.
function goAway(session) {
  if (session.closed || session.destroyed) return;
  session.goaway(0, 2 ** 31 - 1);
  const timer = setTimeout(() => { if (!session.destroyed) session.close(); }, HOLD);
  session.once('close', () => clearTimeout(timer));
}

// ---- The drain.

let installed = false, goodbye = false, finished = false, wasCut = false, others = 0;

// install takes the signals with the first thing that can be drained, and not
// before: a process that only loads this file, as npm does by NODE_OPTIONS, ends
// by them as ever.
function install() {
  if (installed || !isMainThread) return;
  installed = true;
  // Ahead of the application's own listeners, to see who they are.
  process.prependListener('SIGTERM', drain);
  // Under a supervisor a terminal's interrupt is the supervisor's.
  if (!supervised) process.prependListener('SIGINT', () => (controller.signal.aborted ? cut() : drain('SIGINT')));
}

function drain(signal) {
  if (controller.signal.aborted) return;
  others = process.listenerCount(signal) - 1;
  notify('STOPPING=1');
  setTimeout(cut, Math.min(Number(env.LASTCALL_DRAIN_USEC) / 1000 || DRAIN_TIMEOUT, LONGEST)).unref();
  setTimeout(() => { goodbye = true; settle(); }, HOLD).unref();
  controller.abort(new Error('lastcall: draining'));
  for (const item of work) tell(item);
  for (const entry of entries) if (entry.drains) stopAccepting(entry);
  passOn();
  settle();
}

// stopAccepting closes the listener only. http's own close() would destroy the
// idle connections at once.
function stopAccepting(entry) {
  if (entry.server.listening) {
    entry.closed = true;
    net.Server.prototype.close.call(entry.server);
  }
  for (const c of entry.connections.values()) {
    sayClose(c);
    hold(c);
  }
  for (const session of entry.sessions) goAway(session);
}

// passOn tells the children of module cluster, for whom this process accepts.
function passOn() {
  for (const child of Object.values(require('cluster').workers ?? {})) {
    const item = add({ name: () => `cluster worker ${child.process.pid}`, critical: true });
    child.once('exit', () => remove(item));
    child.process.kill('SIGTERM');
  }
}

// settle asks whether the drain is over.
function settle() {
  if (!controller.signal.aborted || finished) return;
  for (const item of work) if (item.critical) return;
  for (const entry of entries) {
    if (!entry.drains) continue;
    if (entry.connections.size > 0 || entry.sessions.size > 0 || (entry.upgraded.size > 0 && !goodbye)) return;
  }
  finished = true;
  for (const item of [...work]) item.controller?.abort(new Error('lastcall: cut: nothing critical is left'));
  for (const entry of entries) if (entry.drains) for (const socket of entry.upgraded) socket.destroy();
  const cluster = require('cluster');
  if (cluster.isWorker) cluster.worker.disconnect(); // or its link to the primary keeps it
  // The loop may end by itself, which runs beforeExit and lets the application
  // have its way. Only what would stay for ever is ended.
  setTimeout(exit, others > 0 ? GRACE_OF_LISTENERS : GRACE).unref();
}

function cut() {
  if (wasCut) return;
  wasCut = true;
  const names = [...work].filter((item) => item.critical).map((item) => item.name());
  if (names.length > 0) say(`the deadline has cut ${names.slice(0, 10).join(', ')}${names.length > 10 ? ` and ${names.length - 10} more` : ''}`);
  for (const item of [...work]) item.controller?.abort(new Error('lastcall: cut: the deadline has passed'));
  for (const entry of entries) {
    for (const c of [...entry.connections.values()]) c.socket.destroy();
    for (const session of [...entry.sessions]) session.destroy();
    for (const socket of [...entry.upgraded]) socket.destroy();
  }
  // A supervisor has the names, and would take another status for a crash.
  if (names.length > 0 && !supervised) process.exitCode ??= 1;
  setTimeout(exit, UNWIND).unref();
}

const exit = () => process.exit(process.exitCode);

// ---- listen()

// wanted reads the arguments of listen(): a descriptor, a path, or a port and
// perhaps a host; undefined: nothing that could have been passed.
function wanted(args) {
  const callback = typeof args[args.length - 1] === 'function' ? args[args.length - 1] : undefined;
  let [options] = args;
  if (typeof options !== 'object' || options === null) {
    const isPath = typeof options === 'string' && !(Number(options) >= 0);
    const host = typeof args[1] === 'string' ? args[1] : undefined;
    const backlog = args.slice(1, 3).find((a) => typeof a === 'number');
    options = isPath ? { path: options, backlog } : { port: options, host, backlog };
  }
  if (Number.isInteger(options.fd)) return { fd: options.fd, callback };
  if (options._handle || options.handle) return undefined;
  const { backlog, signal, host } = options;
  if (Number(options.port) > 0) return { port: Number(options.port), host, backlog, signal, callback };
  if (options.path) return { path: pathOf(String(options.path)), backlog, signal, callback };
  return undefined;
}

// find returns the socket that was passed for what is wanted: by path; by port,
// and by host where several have the port; and the only one where its address is
// not known, as under systemd itself.
function find(list, want) {
  const free = list.filter((s) => !s.taken);
  if (want.fd !== undefined) return free.find((s) => s.fd === want.fd);
  if (list.length === 1 && free.length === 1 && list[0].address === undefined) return free[0];
  if (want.path) return free.find((s) => s.path === want.path);
  const same = free.filter((s) => s.port === want.port);
  return same.find((s) => s.host === hostOf(want.host)) ?? same[0];
}

function explain(want, socket) {
  const where = want.path ?? `port ${want.port}`;
  const alone = find(passed, want);
  const lost = inherited.filter((s) => s.closed);
  if (socket) {
    // listen(3000) leaves the host open; one that is named was meant.
    if (want.host && socket.host !== undefined && socket.host !== hostOf(want.host)) {
      say(`listen() wants ${where} of ${want.host}; it gets the socket ${socket.name}, which is bound to ${socket.address}`);
    }
  } else if (!mine && alone) {
    say(`this process (pid ${process.pid}) listens on ${where}, but the socket for it was passed to pid ${env.LISTEN_PID}, ` +
      'which has started this one (npm start, npx or a shell?). Let lastcall run node itself: command = ["node", "-r", "./lastcall.js", "server.js"]');
  } else if (lost.length > 0 && find(lost.map((s) => ({ ...s, taken: false })), want)) {
    // As by those who look first whether the port is free. Node cannot have a
    // second descriptor of it to keep.
    say(`listen() wants ${where} again, but the socket that was passed for it was closed with the server that took it: let one server listen there, once`);
  } else if (inherited.length > 0) {
    // A second server is usual. Only when none has taken a socket is it a mistake.
    setTimeout(() => {
      if (inherited.some((s) => s.taken)) return;
      const list = inherited.map((s) => `${s.name} ${s.address ?? ''}`).join(', ');
      say(`listen() has bound ${where} itself, which is none of the sockets that were passed (${list}), and nobody has taken those: one of the two has the wrong address`);
    }, 1000).unref();
  }
}

function patchListen() {
  const { listen } = net.Server.prototype;
  net.Server.prototype.listen = function (...args) {
    if (this.listening) return listen.apply(this, args); // which refuses
    const child = require('cluster').isWorker; // its primary has taken the socket
    const want = wanted(args);
    const socket = want && find(inherited, want);
    if (want && want.fd === undefined && !child) explain(want, socket);
    // Beside passed sockets a server on a port of its own is one for metrics or
    // the like: it serves to the end, and nobody waits for it.
    const drains = Boolean(socket) || inherited.length === 0;
    if (drains) install();
    track(this, drains);
    if (!socket) return listen.apply(this, args);
    socket.taken = true;
    entryOf.get(this).socket = socket;
    // The queue of the shared socket stays as long as the kernel permits: Node's
    // 511 would shorten it for all workers.
    return listen.call(this, { fd: socket.fd, signal: want.signal }, want.backlog || 65535, want.callback);
  };
}

// survivePipes keeps a broken stdout or stderr, when the supervisor that read
// them is gone, from ending a worker that is to drain.
function survivePipes() {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (err) => {
      if (err.code !== 'EPIPE' && stream.listenerCount('error') === 1) throw err;
    });
  }
}

function start() {
  patchListen();
  watchdog();
  if (supervised) survivePipes();
  // LISTEN_* and LASTCALL_LISTENERS stay: LISTEN_PID keeps them from children,
  // who can explain by them that they are not the process it names.
  for (const name of ['LASTCALL_CHANNEL', 'NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete env[name];
}

// What the application may use. All of it may be called at any time, in the main
// thread; without a supervisor it does the same, and tells nobody.
const api = {
  // operation(name, fn), operation(name, { class }, fn): runs fn as an operation
  // that a drain waits for (class 'critical', the default), or that it cuts when
  // nothing critical is left ('expendable'). fn gets an AbortSignal that aborts
  // when it is cut. Resolves or rejects as fn does. Rejects with code
  // ERR_LASTCALL_DRAINING once the drain has begun, except within a request or
  // operation that was admitted before.
  operation,
  // begin(name, { class }?) begins an operation and returns the function that
  // ends it, which may be called more than once. Throws where operation rejects.
  begin,
  // ready() says READY=1, once. A server is said to be ready when it listens: only
  // who does not listen needs it.
  ready,
  // status(text) says what the worker is doing, for `lastcall status`.
  status,
  // draining is an AbortSignal that aborts when the drain begins: the time for
  // streams, loops and WebSockets to come to their end.
  get draining() {
    install();
    return controller.signal;
  },
  // sockets() lists what was passed to this process: name, descriptor, address
  // (undefined if not told), and whether a server has taken it.
  sockets: () => inherited.map(({ name, fd, address, taken }) => ({ name, fd, address, taken })),
};

// A second copy of this file is the first: listen() is patched once.
const key = Symbol.for('lastcall');
if (!globalThis[key]) {
  globalThis[key] = api;
  if (isMainThread) start();
}
module.exports = globalThis[key];
