'use strict';
// express as it is without lastcall: the preload has it take the passed socket.
const express = require('express');

const app = express();
app.get('/', (req, res) => res.send('ok\n'));
app.get('/slow', (req, res) => setTimeout(() => res.send('done\n'), 1000));
app.listen(8080, '127.0.0.1');
