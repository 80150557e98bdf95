package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/supervisor"
)

func TestPorts(t *testing.T) {
	yard(t)
	tcp := func(address string) sock.Address { return sock.Address{Network: "tcp", Address: address} }
	for text, want := range map[string][]supervisor.Listener{
		"workers = 4\nport_base = 8000\nlisten = ['127.0.0.1:{port}', '[::1]:{port}']\n": {
			{Name: "web", Address: tcp("127.0.0.1:8000"), Each: true, Where: "lastcall.toml:5"},
			{Name: "web-2", Address: tcp("[::1]:8000"), Each: true, Where: "lastcall.toml:5"},
		},
		"workers = 2\nport_base = 65534\nlisten = ':{port}'\n": {{Name: "web", Address: tcp(":65534"), Each: true, Where: "lastcall.toml:5"}},
		"workers = 4\nport_base = 8000\nlisten = ['127.0.0.1:{port}', '127.0.0.1:8004', '127.0.0.2:8001']\n": {
			{Name: "web", Address: tcp("127.0.0.1:8000"), Each: true, Where: "lastcall.toml:5"},
			{Name: "web-2", Address: tcp("127.0.0.1:8004"), Where: "lastcall.toml:5"},
			{Name: "web-3", Address: tcp("127.0.0.2:8001"), Where: "lastcall.toml:5"},
		},
		"max_surge = 0\nport_base = 8000\nlisten = ':{port}'\nready = { http = 'http://127.0.0.1:{port}/' }\n": {
			{Name: "web", Address: tcp(":8000"), Each: true, Where: "lastcall.toml:5"},
		},
	} {
		c, err := load(t, web+text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, c.Listeners); diff != "" {
			t.Errorf("%q (-want +got)\n%s", text, diff)
		}
	}
}

// A program that binds its port by itself cannot overlap with its successor.
func TestPortsOfTheirOwn(t *testing.T) {
	yard(t)
	c, err := load(t, web+"port_base = 8000\nenv = { P = '{port}' }\nready = { tcp = '127.0.0.1:{port}' }\n")
	if err != nil || c.Programs[0].MaxSurge != 0 || c.Programs[0].PortBase != 8000 {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := load(t, web+"port_base = 8000\nlisten = ':{port}'\n"); err != nil || c.Programs[0].MaxSurge != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestMistakesInPorts(t *testing.T) {
	const missing = `{port} is there, and no port_base that says which; add port_base = 8000, slot 0's port; the next slot's is one higher`
	const own = web + "workers = 4\nport_base = 8000\nlisten = ':{port}'\n"
	checkMistakes(t, []mistake{
		{web + "listen = ':{port}'\n", `lastcall.toml:3: program.web.listen: ` + missing},
		{"[program.web]\ncommand = ['./server', '--port={port}']\n", `lastcall.toml:2: program.web.command: ` + missing},
		{web + "stop_command = ['./server', '{port}']\n", `lastcall.toml:3: program.web.stop_command: ` + missing},
		{web + "env = { PORT = '{port}' }\n", `lastcall.toml:3: program.web.env.PORT: ` + missing},
		{web + "ready = { tcp = '127.0.0.1:{port}' }\n", `lastcall.toml:3: program.web.ready.tcp: ` + missing},
		{web + "gate = { http = 'http://127.0.0.1:{port}/' }\n", `lastcall.toml:3: program.web.gate.http: ` + missing},
		{"[listen]\na = ':{port}'\n" + web, `lastcall.toml:2: listen.a: {port} is a program's, not everybody's; write listen = ["127.0.0.1:{port}"] in the program that has port_base`},
		{web + "port_base = 0\n", `lastcall.toml:3: program.web.port_base: a port is a number from 1 to 65535, not 0; write one, as port_base = 8000`},
		{web + "port_base = 65536\n", `lastcall.toml:3: program.web.port_base: a port is a number from 1 to 65535, not 65536; write one, as port_base = 8000`},
		{web + "port_base = ':80'\n", `lastcall.toml:3: program.web.port_base: must be a number, not a string; write port_base = 8000`},
		{web + "workers = 7\nport_base = 65530\nlisten = ':{port}'\n", `lastcall.toml:4: program.web.port_base: slot 6 would have port 65536, and the highest is 65535; choose one up to 65529, or have fewer workers`},
		{web + "port_base = 8000\nlisten = '/run/{port}'\n", `lastcall.toml:4: program.web.listen: "/run/{port}": {port} stands for the port of a TCP address, and nowhere else; write it as "127.0.0.1:{port}"`},
		{web + "port_base = 8000\nlisten = 'unix:/run:{port}'\n", `lastcall.toml:4: program.web.listen: "unix:/run:{port}": {port} stands for the port of a TCP address, and nowhere else; write it as "127.0.0.1:{port}"`},
		{web + "port_base = 8000\nlisten = '{port}:{port}'\n", `lastcall.toml:4: program.web.listen: "{port}:{port}": {port} stands for the port of a TCP address, and nowhere else; write it as "127.0.0.1:{port}"`},
		{web + "port_base = 8000\nlisten = '[::1:{port}'\n", `lastcall.toml:4: program.web.listen: parse address "[::1:8000": missing ']' in address; write it as "127.0.0.1:{port}"`},
		{own + "balance = 'slots'\n", `lastcall.toml:6: program.web.balance: each slot has a port of its own already, and clients choose; take it out`},
		{own + "ready = { tcp = '127.0.0.1:{port}' }\n", `lastcall.toml:6: program.web.ready.tcp: 127.0.0.1:{port} is bound by lastcall: nobody needs to be there for a connection to be accepted; let the worker say that it is ready, or use exec`},
		{own + "ready = { http = 'http://127.0.0.1:{port}/' }\n", `lastcall.toml:6: program.web.ready.http: http://127.0.0.1:{port}/ is answered by the old worker during a roll, while the new one starts; let the worker say that it is ready, or use exec, or set max_surge = 0`},
		{own + "max_surge = 0\nready = { http = 'http://127.0.0.1:8003/' }\n", `lastcall.toml:7: program.web.ready.http: http://127.0.0.1:8003/ is the port of one worker, and all would ask there; write {port} for the port`},
		{web + "port_base = 8000\nmax_surge = 1\n", `lastcall.toml:4: program.web.max_surge: must be 0: the workers bind their ports themselves, and old and new one cannot both; write 0, or have lastcall bind the ports: listen = ["127.0.0.1:{port}"]`},
		{web + "port_base = 8000\n[program.api]\ncommand = ['./server']\nport_base = 8000\n", `lastcall.toml:6: program.api.port_base: the workers of web have port 8000 too; choose another port_base`},
	})
}

// Of ports that overlap both ends count, and whoever comes later is told.
func TestPortsThatOverlap(t *testing.T) {
	const own = web + "workers = 4\nport_base = 8000\nlisten = '127.0.0.1:{port}'\n"
	const api = "[program.api]\ncommand = ['./server']\n"
	const remedy = `; choose another port_base, or another address`
	checkMistakes(t, []mistake{
		{"[listen]\na = '127.0.0.1:8003'\n" + own, `lastcall.toml:7: program.web.listen: 127.0.0.1:8003 is listener "a" already` + remedy},
		{"[listen]\na = ':8000'\n" + own, `lastcall.toml:7: program.web.listen: 127.0.0.1:8000 is listener "a" already` + remedy},
		{own + api + "listen = '127.0.0.1:8001'\n", `lastcall.toml:8: program.api.listen: 127.0.0.1:8001 is listener "web" already` + remedy},
		{own + api + "workers = 2\nport_base = 7999\nlisten = '127.0.0.1:{port}'\n", `lastcall.toml:10: program.api.listen: 127.0.0.1:8000 is listener "web" already` + remedy},
		{own + api + "port_base = 8003\n", `lastcall.toml:8: program.api.port_base: the workers' port 8003 is that of listener "web"; choose another port_base`},
		{web + "port_base = 8080\n[listen]\nb = '10.0.0.1:http-alt'\n", `lastcall.toml:3: program.web.port_base: the workers' port 8080 is that of listener "b"; choose another port_base`},
	})
	for _, beside := range []string{
		"[listen]\na = '127.0.0.1:8004'\nb = '127.0.0.1:7999'\nc = '127.0.0.2:8000'\nd = './x'\ne = ':0'\n" + own + "balance = 'shared'\n",
		own + api + "workers = 2\nport_base = 7998\nlisten = '127.0.0.1:{port}'\n",
		own + api + "port_base = 8004\n",
	} {
		yard(t)
		if _, err := load(t, beside); err != nil {
			t.Errorf("%q: %v", beside, err)
		}
	}
}
