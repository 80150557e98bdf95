'use strict';
// A child of module cluster, for the tests.
const server = require('http').createServer((req, res) => {
  if (req.url !== '/held') { res.end('here.'); return; }
  console.log('held');
  require('../lastcall.js').draining.addEventListener('abort', () => setTimeout(() => res.end(`${process.pid}.`), 100));
});
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listens'));
