'use strict';
// Operations of the application.

const assert = require('node:assert');
const { Process, Client, portOf, test, until } = require('../fixtures/rig.js');

const WORKER = { LASTCALL_WORKER: 'web.0' };

test('an operation holds the drain, and is told by name', async (t) => {
  const p = new Process(t, `
    const lastcall = require(process.env.LASTCALL_JS);
    const end = lastcall.begin('write files');
    lastcall.operation('play', { class: 'expendable' }, (signal) => new Promise((resolve) => {
      signal.addEventListener('abort', () => { console.log('cut: ' + signal.reason.message); resolve(); });
    }));
    lastcall.draining.addEventListener('abort', () => {
      console.log('draining');
      setTimeout(() => { console.log('ended'); end(); end(); }, 100);
    });
    setInterval(() => {}, 1000);
    console.log('up');`, { env: WORKER });
  await p.said('up');
  p.term();
  await p.exits(0);
  assert.match(p.stdout, /up\ndraining\nended\ncut: lastcall: cut: nothing critical is left\n/);
  assert.deepStrictEqual(p.lines(), [
    'X_LASTCALL_CLASS=critical', 'X_LASTCALL_BEGIN=write files', 'X_LASTCALL_CLASS=expendable', 'X_LASTCALL_BEGIN=play',
    'STOPPING=1', 'X_LASTCALL_END=write files', 'X_LASTCALL_END=play']);
});

test('once draining an operation is refused, except within what was admitted', async (t) => {
  const p = new Process(t, `
    const lastcall = require(process.env.LASTCALL_JS);
    const { draining, operation, begin } = lastcall;
    const server = require('http').createServer(async (req, res) => {
      await operation('before', async () => {
        console.log('held');
        await new Promise((resolve) => draining.addEventListener('abort', () => setTimeout(resolve, 20)));
        console.log('inner ' + await operation('inner', () => 'admitted'));
      });
      begin('second')();
      res.end('done.');
    }).listen(0, '127.0.0.1', () => console.log('port ' + server.address().port));
    begin('first')();
    const timer = setInterval(async () => {
      if (!draining.aborted) return;
      clearInterval(timer);
      try { begin('late'); } catch (err) { console.log('begin ' + err.code); }
      await operation('late', () => console.log('never')).catch((err) => console.log('operation ' + err.code));
    }, 1);`);
  const c = new Client({ port: await portOf(p), host: '127.0.0.1' });
  c.send('/');
  await p.said('held');
  p.term();
  await c.answer();
  await p.exits(0);
  for (const want of ['inner admitted', 'begin ERR_LASTCALL_DRAINING', 'operation ERR_LASTCALL_DRAINING']) assert.ok(p.stdout.includes(want), p.stdout);
  assert.ok(!p.stdout.includes('never'));
});

test('the deadline aborts what is critical too', async (t) => {
  const p = new Process(t, `
    const { operation } = require(process.env.LASTCALL_JS);
    operation('endless', (signal) => new Promise((resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))))
      .catch((err) => console.log('rejected: ' + err.message));
    setInterval(() => {}, 1000);
    console.log('up');`, { env: { ...WORKER, LASTCALL_DRAIN_USEC: '200000' } });
  await p.said('up');
  p.term();
  await p.exits(0);
  assert.match(p.stdout, /rejected: lastcall: cut: the deadline has passed/);
  assert.match(p.stderr, /the deadline has cut endless/);
  assert.ok(!p.lines().includes('X_LASTCALL_END=endless'), p.told);
});

test('what fails is passed on, and bad arguments are named', async (t) => {
  const p = new Process(t, `
    const { begin, operation } = require(process.env.LASTCALL_JS);
    (async () => {
      await operation('fails', () => { throw new Error('own'); }).catch((err) => console.log(err.message));
      await operation('none').catch((err) => console.log(err.message));
      for (const args of [[''], [3], ['x', { class: 'vital' }]]) try { begin(...args); } catch (err) { console.log(err.message); }
    })();`, { env: WORKER });
  await p.exits(0);
  assert.strictEqual(p.stdout, `own
lastcall: operation none needs a function
lastcall: the name of an operation must be a string that is not empty
lastcall: the name of an operation must be a string that is not empty
lastcall: the class of x must be 'critical' or 'expendable', not vital
`);
  assert.deepStrictEqual(p.lines().filter((l) => l.startsWith('X_LASTCALL_END')), ['X_LASTCALL_END=fails']);
});

test('a long name is cut between two characters', async (t) => {
  const p = new Process(t, "require(process.env.LASTCALL_JS).begin('x' + 'ä'.repeat(150));", { env: WORKER });
  await p.exits(0);
  await until('it is told', () => p.told.includes('BEGIN'));
  assert.strictEqual(p.lines()[1], `X_LASTCALL_BEGIN=x${'ä'.repeat(99)}`);
});
