'use strict';
// node:http on the first socket that it is passed.
const http = require('node:http');

let draining = false;

const server = http.createServer((req, res) => {
  const answer = (text) => {
    if (draining) res.setHeader('Connection', 'close');
    res.end(text);
  };
  if (req.url === '/slow') setTimeout(answer, 1000, 'done\n');
  else answer('ok\n');
});

server.listen({ fd: 3 }); // SD_LISTEN_FDS_START

process.on('SIGTERM', () => {
  draining = true;
  server.close(); // accepts no more, and closes idle connections; the process ends with the last one
});
