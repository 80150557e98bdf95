package config

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// A mistake is a file and the one line that is said about it.
type mistake struct{ file, want string }

const web = "[program.web]\ncommand = ['./server']\n"

func checkMistakes(t *testing.T, mistakes []mistake) {
	t.Helper()
	dir := yard(t)
	for _, m := range mistakes {
		_, err := load(t, m.file)
		if err == nil {
			t.Errorf("%q: no error", m.file)
			continue
		}
		if got := strings.ReplaceAll(err.Error(), dir, "DIR"); got != m.want {
			t.Errorf("%q:\n got %s\nwant %s", m.file, got, m.want)
		}
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%q: a %T", m.file, err)
		}
	}
}

func TestMistakesInRecycling(t *testing.T) {
	checkMistakes(t, []mistake{
		{web + "max_memory = 5\n", `lastcall.toml:3: program.web.max_memory: must be a string, not a number; write max_memory = "512MiB"`},
		{web + "max_memory = '512M'\n", `lastcall.toml:3: program.web.max_memory: "512M" is not an amount of memory; write it as "512MiB" or "1.5GB"`},
		{web + "max_memory = '-1GB'\n", `lastcall.toml:3: program.web.max_memory: "-1GB" is not an amount of memory; write it as "512MiB" or "1.5GB"`},
		{web + "max_memory = '9999999999GiB'\n", `lastcall.toml:3: program.web.max_memory: "9999999999GiB" is not an amount of memory; write it as "512MiB" or "1.5GB"`},
		{web + "restart = 'allways'\n", `lastcall.toml:3: program.web.restart: cannot be "allways"; did you mean "always"?`},
		{web + "depends_on = ['redis']\n[program.redis]\ncommand = ['redis-server']\nmax_age = '1h'\n",
			`lastcall.toml:6: program.redis.max_age: web depends on redis, which cannot be replaced under it; take it out`},
	})
}

func TestMistakesInTop(t *testing.T) {
	checkMistakes(t, []mistake{
		{"", `lastcall.toml: has no programs; add a table [program.web] with command = ["./server"]`},
		{"nam = 'x'\n", `lastcall.toml:1: unknown key "nam"; did you mean "name"?`},
		{"name = 3\n", `lastcall.toml:1: name: must be a string, not a number; write name = "3"`},
		{"name = ''\n", `lastcall.toml:1: name: is empty; write a value, or leave it out`},
		{"name='a.b'\n", `lastcall.toml:1: name: a name has no dot: "web.2" means slot 2 of web; write it as a-b`},
		{"name='a/b'\n", `lastcall.toml:1: name: a name has letters, digits, _ and - only, and no - at its beginning; write it as a-b`},
		{"workers = 4\n", `lastcall.toml:1: unknown key "workers"; it belongs under [program.NAME]`},
		{"zzzzzzzzzz = 4\n", `lastcall.toml:1: unknown key "zzzzzzzzzz"; known: name, pidfile, socket, log, listen, program`},
		{"program = 3\n", `lastcall.toml:1: program: must be a table, not a number; write [program]`},
		{"program.web = 3\n", `lastcall.toml:1: program.web: must be a table, not a number; write [program.web]`},
		{"[program]\n", `lastcall.toml: has no programs; add a table [program.web] with command = ["./server"]`},
		{"[program.web]\n", `lastcall.toml:1: program.web: has no command; add command = ["./server"]`},
		{"[program.'web.2']\n", `lastcall.toml:1: program."web.2": a name has no dot: "web.2" means slot 2 of web; rename it to web-2`},
		{"[program.'-x']\n", `lastcall.toml:1: program.-x: a name has letters, digits, _ and - only, and no - at its beginning; rename it to x`},
	})
}

func TestMistakesInValues(t *testing.T) {
	checkMistakes(t, []mistake{
		{web + "wokers = 4\n", `lastcall.toml:3: program.web: unknown key "wokers"; did you mean "workers"?`},
		{web + "pidfile = 'x'\n", `lastcall.toml:3: program.web: unknown key "pidfile"; it belongs at the top of the file, before the first [table]`},
		{web + "zzzzzzzzzzzzz = 4\n", `lastcall.toml:3: program.web: unknown key "zzzzzzzzzzzzz"; known: command, workers, listen, listen_env, port_base, balance, depends_on, env, dir, user, ready, ready_timeout, min_uptime, gate, close_signal, stop_signal, stop_command, stop_timeout, drain, drain_timeout, drain_timeout_max, unwind_timeout, fresh_grace, expendable_grace, stall_timeout, lame_duck, lame_duck_quiet, restart, max_restarts, restart_window, max_surge, max_draining, max_requests, max_requests_jitter, max_age, max_age_jitter, max_memory, max_memory_jitter, watchdog`},
		{web + "workers = '4'\n", `lastcall.toml:3: program.web.workers: must be a number, not a string; write workers = 4`},
		{web + "workers = -1\n", `lastcall.toml:3: program.web.workers: is negative: -1; write 0 or more; 0 is one for each CPU`},
		{web + "workers = 4.5\n", `lastcall.toml:3: program.web.workers: must be a number, not a number with a fraction; write workers = 4`},
		{web + "workers = 99999999999\n", `lastcall.toml:3: program.web.workers: 99999999999 is too large; write a smaller one`},
		{web + "workers=2024-01-01\n", `lastcall.toml:3: program.web.workers: must be a number, not a date; write workers = 4`},
		{web + "drain_timeout = 300\n", `lastcall.toml:3: program.web.drain_timeout: is a number without a unit; add a unit: "300s"`},
		{web + "drain_timeout = '300'\n", `lastcall.toml:3: program.web.drain_timeout: is a number without a unit; add a unit: "300s"`},
		{web + "drain_timeout = 1.5\n", `lastcall.toml:3: program.web.drain_timeout: is a number without a unit; add a unit: "1.5s"`},
		{web + "drain_timeout = 'soon'\n", `lastcall.toml:3: program.web.drain_timeout: "soon" is not a duration; write it as "500ms", "10s", "5m" or "1h30m"`},
		{web + "drain_timeout = '-1s'\n", `lastcall.toml:3: program.web.drain_timeout: is negative: "-1s"; write a positive duration`},
		{web + "drain_timeout = '0s'\n", `lastcall.toml:3: program.web.drain_timeout: must be more than 0; leave it out for 25s`},
		{web + "fresh_grace = '0s'\n", `lastcall.toml:3: program.web.fresh_grace: must be more than 0; leave it out for the worker's own`},
		{web + "drain_timeout = true\n", `lastcall.toml:3: program.web.drain_timeout: must be a string, not true or false; write drain_timeout = "10s"`},
		{web + "drain = 'al'\n", `lastcall.toml:3: program.web.drain: cannot be "al"; did you mean "all"?`},
		{web + "drain='never'\n", `lastcall.toml:3: program.web.drain: cannot be "never"; known: all, critical, time`},
		{web + "stop_signal='TREM'\n", `lastcall.toml:3: program.web.stop_signal: unknown signal "TREM"; did you mean "TERM"?`},
		{web + "stop_signal='SIGKILL'\n", `lastcall.toml:3: program.web.stop_signal: SIGKILL cannot be caught: no program can end its work on it; write "TERM"; what has not ended by drain_timeout is killed anyway`},
		{web + "stop_signal='FLUBBER'\n", `lastcall.toml:3: program.web.stop_signal: unknown signal "FLUBBER"; known: TERM, INT, QUIT, HUP, USR1, USR2, WINCH, ABRT, CONT`},
		{web + "stop_signal=15\n", `lastcall.toml:3: program.web.stop_signal: must be a string, not a number; write stop_signal = "TERM"`},
	})
}

func TestMistakesInListeners(t *testing.T) {
	checkMistakes(t, []mistake{
		{web + "listen = 'wbe'\n[listen]\nweb=':1'\n", `lastcall.toml:3: program.web.listen: no listener "wbe"; did you mean "web"?`},
		{web + "listen = 'other'\n", `lastcall.toml:3: program.web.listen: no listener "other"; define it under [listen]; an address is "127.0.0.1:8080", ":8080" or "/run/app.sock"`},
		{web + "listen = [':1', ':1']\n", `lastcall.toml:3: program.web.listen[1]: ":1" is there twice; keep one of the two`},
		{web + "listen=[3]\n", `lastcall.toml:3: program.web.listen[0]: must be a string, not a number; write "3"`},
		{web + "listen = ':x'\n", `lastcall.toml:3: program.web.listen: parse address ":x": port "x" is neither a number up to 65535 nor a known service; an address is "127.0.0.1:8080", ":8080" or "/run/app.sock"`},
		{web + "listen=3\n", `lastcall.toml:3: program.web.listen: must be an array, not a number; write listen = ["..."]`},
		{web + "listen = ['web', ':1']\n[listen]\nweb=':1'\n", `lastcall.toml:3: program.web.listen[1]: :1 is listener "web" already; use that one by its name, "web"`},
		{"[listen]\na=':1'\nb=':1'\n", `lastcall.toml:3: listen.b: :1 is listener "a" already; use that one by its name, "a"`},
		{"[listen]\na=':81'\nb='127.0.0.1:81'\n", `lastcall.toml:3: listen.b: 127.0.0.1:81 overlaps :81, which is listener "a" already; use that one by its name, "a", or choose another address`},
		{web + "listen = ':81'\n[listen]\nb='127.0.0.1:81'\n", `lastcall.toml:3: program.web.listen: :81 overlaps 127.0.0.1:81, which is listener "b" already; use that one by its name, "b", or choose another address`},
		{"[listen]\na='/x/y'\nb='unix:/x/./y'\n", `lastcall.toml:3: listen.b: /x/./y overlaps /x/y, which is listener "a" already; use that one by its name, "a", or choose another address`},
		{"[listen]\na='8080'\n", `lastcall.toml:2: listen.a: parse address "8080": missing port; for port 8080 alone write ":8080"; an address is "127.0.0.1:8080", ":8080" or "/run/app.sock"`},
		{"[listen]\n'a b'=':1'\n", `lastcall.toml:2: listen."a b": a name has letters, digits, _ and - only, and no - at its beginning; rename it to a-b`},
		{"[listen]\na={}\n", `lastcall.toml:2: listen.a: has no address; add address = "127.0.0.1:8080"`},
		{"[listen]\na={address=':1',mode='0660'}\n", `lastcall.toml:2: listen.a.mode: only a unix socket has a mode, not :1; leave it out`},
		{"[listen]\na={address='/x',mptcp=true}\n", `lastcall.toml:2: listen.a.mptcp: only a TCP socket can use MPTCP, not /x; leave it out`},
		{"[listen]\na={address='/x',mode='0999'}\n", `lastcall.toml:2: listen.a.mode: "0999" is no mode; write it as "0660"`},
		{"[listen]\na={address='/x',mode=660}\n", `lastcall.toml:2: listen.a.mode: must be a string, not a number; write mode = "0660"`},
		{"[listen]\na={adress='/x'}\n", `lastcall.toml:2: listen.a: unknown key "adress"; did you mean "address"?`},
		{"listen = ':80'\n", `lastcall.toml:1: listen: must be a table, not a string; write [listen]`},
	})
}

func TestMistakesInPrograms(t *testing.T) {
	checkMistakes(t, []mistake{
		{web + "depends_on='redsi'\n[program.redis]\ncommand='redis-server'\n", `lastcall.toml:3: program.web.depends_on: no program "redsi"; did you mean "redis"?`},
		{web + "depends_on='a'\n", `lastcall.toml:3: program.web.depends_on: no program "a"; add a table [program.a], or take it out`},
		{web + "depends_on='web'\n", `lastcall.toml:3: program.web.depends_on: is a cycle: web -> web; take one of these out`},
		{web + "depends_on='b'\n[program.b]\ncommand='./server'\ndepends_on='c'\n[program.c]\ncommand='./server'\ndepends_on='b'\n", `lastcall.toml:6: program.b.depends_on: is a cycle: b -> c -> b; take one of these out`},
		{web + "env=3\n", `lastcall.toml:3: program.web.env: must be a table, not a number; write [program.web.env]`},
		{web + "env.PORT=8080\n", `lastcall.toml:3: program.web.env.PORT: must be a string, not a number; write PORT = "8080"`},
		{web + "env.NOTIFY_SOCKET='/x'\n", `lastcall.toml:3: program.web.env.NOTIFY_SOCKET: is what lastcall itself says to each worker, of its own sockets and by its own settings; take it out`},
		{web + "env.LASTCALL_SOCKET='/x'\nenv.LISTEN_ADDR=':80'\nenv.LISTEN_FDS='3'\n", `lastcall.toml:5: program.web.env.LISTEN_FDS: is what lastcall itself says to each worker, of its own sockets and by its own settings; take it out`},
		{web + "env.''='x'\n", `lastcall.toml:3: program.web.env."": "" cannot be a variable's name; rename it`},
		{web + "env.A=\"\\u0000\"\n", `lastcall.toml:3: program.web.env.A: contains a zero byte; remove it`},
		{web + "dir='nowhere'\n", `lastcall.toml:3: program.web.dir: "nowhere": no such file or directory; make it, or correct the path`},
		{web + "dir='plain'\n", `lastcall.toml:3: program.web.dir: "plain" is not a directory; correct the path`},
		{"[program.web]\ncommand='./nosuch'\n", `lastcall.toml:2: program.web.command: "./nosuch": no such file or directory; make it, or correct the path, which is seen from the directory lastcall runs in`},
		{"[program.web]\ncommand='nosuch'\n", `lastcall.toml:2: program.web.command: no "nosuch" in PATH; install it, or write its path`},
		{"[program.web]\ncommand='shop'\n", `lastcall.toml:2: program.web.command: no "shop" in PATH; write "./shop" for the one in its directory`},
		{"[program.web]\ncommand='./plain'\n", `lastcall.toml:2: program.web.command: "./plain": not executable: permission denied; try chmod +x DIR/plain`},
		{"[program.web]\ncommand='./bin'\n", `lastcall.toml:2: program.web.command: "./bin": is a directory; check the path`},
		{"[program.web]\ncommand='./server'\ndir='bin'\n", `lastcall.toml:2: program.web.command: "./server": no such file or directory; make it, or correct the path, which is seen from DIR/bin`},
		{"[program.web]\ncommand=[]\n", `lastcall.toml:2: program.web.command: names no command; write command = ["./server"]`},
		{"[program.web]\ncommand=''\n", `lastcall.toml:2: program.web.command: is empty; write a value, or leave it out`},
		{"[program.web]\ncommand='\"a'\n", `lastcall.toml:2: program.web.command: has no closing "; close it, or write an array, as ["./server", "--flag"]`},
		{"[program.web]\ncommand='a\\'\n", `lastcall.toml:2: program.web.command: ends with a backslash; close it, or write an array, as ["./server", "--flag"]`},
		{"[program.web]\ncommand=['./server',3]\n", `lastcall.toml:2: program.web.command[1]: must be a string, not a number; write "3"`},
		{"[program.web]\ncommand=[\n  './server',\n  \"a\\u0000\"]\n", `lastcall.toml:4: program.web.command[1]: contains a zero byte; remove it`},
		{"[program.web]\ncommand=3\n", `lastcall.toml:2: program.web.command: must be an array, not a number; write command = ["./server"]`},
		{"[program.web]\ncommand=['./server','{fd:wbe}']\nlisten='web'\n[listen]\nweb=':1'\n", `lastcall.toml:2: program.web.command: {fd:wbe} is no listener of this program; did you mean {fd:web}?`},
		{"[program.web]\ncommand=['./server','-a={fd:admin},{fd:web}']\nlisten='web'\n[listen]\nweb=':1'\nadmin=':2'\n", `lastcall.toml:2: program.web.command: {fd:admin} is no listener of this program; add "admin" to its listen`},
		{web + "env.A='1'\nenv.B='{slot}{fd:admin}'\n", `lastcall.toml:4: program.web.env.B: {fd:admin} is no listener of this program; add "admin" to its listen`},
		{web + "stop_command='nosuch'\n", `lastcall.toml:3: program.web.stop_command: no "nosuch" in PATH; install it, or write its path`},
	})
}

func TestMistakesInQuestions(t *testing.T) {
	checkMistakes(t, []mistake{
		{web + "ready='x'\n", `lastcall.toml:3: program.web.ready: cannot be "x"; known: notify, accepting, uptime`},
		{web + "ready={}\n", `lastcall.toml:3: program.web.ready: asks nothing; add one of exec, file, http, redis, tcp, log, fd`},
		{web + "ready={every='1s'}\n", `lastcall.toml:3: program.web.ready: asks nothing; add one of exec, file, http, redis, tcp, log, fd`},
		{web + "ready={htpp='x'}\n", `lastcall.toml:3: program.web.ready: unknown key "htpp"; did you mean "http"?`},
		{web + "ready={http='x',tcp='y'}\n", `lastcall.toml:3: program.web.ready: asks two questions, http and tcp; keep one of the two`},
		{web + "ready={http='x'}\n", `lastcall.toml:3: program.web.ready.http: must be a URL, as "http://127.0.0.1:8080/ready"`},
		{web + "ready={tcp='h:1',evry='1s'}\n", `lastcall.toml:3: program.web.ready: unknown key "evry"; did you mean "every"?`},
		{web + "ready={redis='redis://h',set='x'}\n", `lastcall.toml:3: program.web.ready.redis: a probe asks PING and nothing else; only a gate looks at a collection`},
		{web + "ready={redis='redis://:p/w@h'}\n", `lastcall.toml:3: program.web.ready.redis: must be a URL, as "redis://127.0.0.1:6379/0"; special characters in a password must be percent-encoded`},
		{web + "ready={exec='./nosuch'}\n", `lastcall.toml:3: program.web.ready.exec: "./nosuch": no such file or directory; make it, or correct the path, which is seen from the directory lastcall runs in`},
		{web + "ready={exec=[]}\n", `lastcall.toml:3: program.web.ready.exec: names no command; write exec = ["./server"]`},
		{web + "ready={file=''}\n", `lastcall.toml:3: program.web.ready.file: is empty; write a value, or leave it out`},
		{web + "gate={tcp='h:1'}\n", `lastcall.toml:3: program.web.gate.tcp: cannot be asked here: it does not tell whether anything is still in progress; use one of exec, file, http, redis`},
		{web + "gate=[{file='x'},{redis='redis://h'}]\n", `lastcall.toml:3: program.web.gate[1].redis: needs exactly one of sorted_set, set, list, hash and key, as sorted_set = "locks:{worker}"; it has 0`},
		{web + "gate=[{file='x'},{redis='redis://h',sorted='x'}]\n", `lastcall.toml:3: program.web.gate[1]: unknown key "sorted"; known: redis, every, timeout, sorted_set, set, list, hash, key`},
		{web + "gate='x'\n", `lastcall.toml:3: program.web.gate: must be a table, not a string; write it as { file = "/run/app/busy" }`},
		{web + "gate=['x']\n", `lastcall.toml:3: program.web.gate[0]: must be a table, not a string; write it as { file = "/run/app/busy" }`},
		{web + "gate={redis='redis://h',sorted_set=3}\n", `lastcall.toml:3: program.web.gate.sorted_set: must be a string, not a number; write sorted_set = "3"`},
		{web + "gate={exec=['./server'],timeout=2}\n", `lastcall.toml:3: program.web.gate.timeout: is a number without a unit; add a unit: "2s"`},
		{web + "listen=':8080'\nready={tcp='127.0.0.1:8080'}\n", `lastcall.toml:4: program.web.ready.tcp: 127.0.0.1:8080 is listener "web", which all workers share: a sibling, or nobody, would answer it; let the worker say that it is ready, or use exec`},
		{web + "listen='w'\nready={http='http://localhost:80/x'}\n[listen]\nw='127.0.0.1:80'\n", `lastcall.toml:4: program.web.ready.http: http://localhost:80/x is listener "w", which all workers share: a sibling, or nobody, would answer it; let the worker say that it is ready, or use exec`},
		{web + "listen='/run/x'\nready={http='unix:/run/x:/y'}\n", `lastcall.toml:4: program.web.ready.http: unix:/run/x:/y is listener "web", which all workers share: a sibling, or nobody, would answer it; let the worker say that it is ready, or use exec`},
	})
}

func TestMistakesInSyntax(t *testing.T) {
	checkMistakes(t, []mistake{
		{web + "command=3\n", `lastcall.toml:3: program.web.command: is defined twice, first in line 2; keep one of the two`},
		{web + "[program.web]\n", `lastcall.toml:3: program.web: is defined twice, first in line 1; keep one of the two`},
		{web + "[[program.web.gate]]\nfile='x'\n[program.web.gate]\n", `lastcall.toml:5: program.web.gate: is defined twice, first in line 3; keep one of the two`},
		{"name = web\n", `lastcall.toml:1: not valid TOML: unexpected character U+0077 'w' at start of value; write text in quotes`},
		{"name = \n", `lastcall.toml:1: not valid TOML: unexpected character U+000A at start of value; look at column 8`},
		{"[program\n", `lastcall.toml:1: not valid TOML: expected ']' to close table name; look at column 9`},
		{"name = 'a\n", `lastcall.toml:1: not valid TOML: literal strings cannot have new lines; look at column 10`},
		{"x = 10s\n", `lastcall.toml:1: not valid TOML: strings must be quoted; look at column 7`},
		{"a = {x=1,x=2}\n", `lastcall.toml:1: a.x: is defined twice, first in line 1; keep one of the two`},
		{"name = \"a\\nb\"\n", `lastcall.toml:1: name: a name has letters, digits, _ and - only, and no - at its beginning; write it as a-b`},
		{"\"a\\nb\" = 1\n", `lastcall.toml:1: unknown key "a\nb"; known: name, pidfile, socket, log, listen, program`},
		{"\xff", `lastcall.toml:1: not valid TOML: invalid character at start of key: U+00FF 'ÿ'; look at column 1`},
		{"a=1\n[a.b]\n", `lastcall.toml:2: a: is defined twice, first in line 1; keep one of the two`},
		{"d=2020-13-45\n", `lastcall.toml:1: not valid TOML: impossible date; look at column 8`},
		{"[program.web]\ncommand='./server'\n[program.web.env]\nA='1'\nA='2'\n", `lastcall.toml:5: program.web.env.A: is defined twice, first in line 4; keep one of the two`},
	})
}

func TestUser(t *testing.T) {
	yard(t)
	const remedy = "; correct it, or leave it out to run as the supervisor does"
	for user, problem := range map[string]string{
		"nobodyatall": `no user "nobodyatall" here`,
		"4294967294":  `no user "4294967294" here`,
		"www:1":       `"www:1" is not UID:GID`,
		"1:":          `"1:" is not UID:GID`,
		"0":           "",
		"root":        "",
		"12345:54321": "",
	} {
		if os.Geteuid() != 0 {
			problem = `only root can run a program as user "` + user + `"`
		}
		c, err := load(t, web+"user = '"+user+"'\n")
		if problem == "" && (err != nil || c.Programs[0].User != user) {
			t.Errorf("%s: %v", user, err)
		}
		if want := "lastcall.toml:3: program.web.user: " + problem + remedy; problem != "" && (err == nil || err.Error() != want) {
			t.Errorf("%s: %v, want %s", user, err, want)
		}
	}
}

func TestTooLongPaths(t *testing.T) {
	yard(t)
	long := "/" + strings.Repeat("x", 120)
	for key, file := range map[string]string{
		"socket":             "socket = '" + long + "'\n",
		"listen.a":           "[listen]\na = '" + long + "'\n",
		"listen.a.address":   "[listen]\na.address = 'unix:" + long + "'\n",
		"program.web.listen": web + "listen = '" + long + "'\n",
	} {
		_, err := load(t, file)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Key != key || e.Line == 0 || !strings.Contains(e.Problem, "107") || e.Remedy == "" {
			t.Errorf("%s: %v", key, err)
		}
	}
	_, err := Load(Flags{Socket: long}, nil)
	if u, ok := errors.AsType[*UsageError](err); !ok || u.Flag != "--socket" {
		t.Errorf("--socket: %v", err)
	}
}

func TestPosition(t *testing.T) {
	yard(t)
	_, err := load(t, "\r\n# é\r\n[program.web]\r\ncommand = [\r\n\t'./server', # a\r\n\t3 ]\r\n")
	e, ok := errors.AsType[*Error](err)
	if !ok || e.File != DefaultFile || e.Line != 6 || e.Column != 2 || e.Key != "program.web.command[1]" {
		t.Errorf("%+v", e)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	yard(t)
	if err := os.WriteFile("large.toml", []byte(strings.Repeat("#\n", maxFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"":           `lastcall.toml: no such file; give -f FILE or -- COMMAND`,
		"x.toml":     `x.toml: no such file; give -f FILE or -- COMMAND`,
		"bin":        `bin: cannot be read: is a directory; check its type and permissions, or give another with -f`,
		"plain/x":    `plain/x: cannot be read: not a directory; check its type and permissions, or give another with -f`,
		"a\nb":       `a b: no such file; give -f FILE or -- COMMAND`,
		"large.toml": `large.toml: has more than 1048576 bytes, this is no configuration; give -f the right file`,
		"plain":      `plain: has no programs; add a table [program.web] with command = ["./server"]`,
	} {
		if _, err := Load(Flags{File: file}, nil); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", file, err, want)
		}
	}
	if os.Geteuid() == 0 {
		return // reads everything
	}
	if err := os.WriteFile("secret.toml", nil, 0); err != nil {
		t.Fatal(err)
	}
	want := `secret.toml: cannot be read: permission denied; check its type and permissions, or give another with -f`
	if _, err := Load(Flags{File: "secret.toml"}, nil); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestUsage(t *testing.T) {
	yard(t)
	server := []string{"./server"}
	for _, test := range []struct {
		flags Flags
		want  string
	}{
		{Flags{File: "x", Command: server}, `--file: cannot be combined with a COMMAND; give one of the two`},
		{Flags{Command: []string{""}}, `COMMAND: is empty; give the program to run after --`},
		{Flags{Workers: -1, WorkersSet: true, Command: server}, `--workers: is negative; give a number, or 0 for one worker for each CPU`},
		{Flags{DrainTimeout: -time.Second, Command: server}, `--drain-timeout: is negative; give a positive duration, as 25s`},
		{Flags{StopSignal: "TREM", Command: server}, `--stop-signal: unknown signal "TREM"; did you mean "TERM"?`},
		{Flags{Workers: 2, WorkersSet: true}, `--workers: is for a COMMAND only; set workers of the program in the file, or give -- COMMAND`},
		{Flags{Listen: []string{":1"}}, `--listen: is for a COMMAND only; set listen of the program in the file, or give -- COMMAND`},
		{Flags{DrainTimeout: 1}, `--drain-timeout: is for a COMMAND only; set drain_timeout of the program in the file, or give -- COMMAND`},
		{Flags{StopSignal: "INT"}, `--stop-signal: is for a COMMAND only; set stop_signal of the program in the file, or give -- COMMAND`},
		{Flags{Name: "a.b", Command: server}, `--name: a name has no dot: "web.2" means slot 2 of web; use a-b`},
		{Flags{Listen: []string{"a=:1", "a=:2"}, Command: server}, `--listen: listener "a" is there twice; rename one of the two`},
		{Flags{Listen: []string{"a=:1", "b=:1"}, Command: server}, `--listen: :1 is listener "a" already; use that one by its name, "a"`},
		{Flags{Listen: []string{"a b=:1"}, Command: server}, `--listen: "a b=:1": a name has letters, digits, _ and - only, and no - at its beginning; use a-b`},
		{Flags{Listen: []string{"=:1"}, Command: server}, `--listen: "=:1": a name has letters, digits, _ and - only, and no - at its beginning; use program`},
	} {
		_, err := Load(test.flags, nil)
		if _, ok := errors.AsType[*UsageError](err); !ok || err.Error() != test.want {
			t.Errorf("%+v: %v, want %s", test.flags, err, test.want)
		}
	}
	for _, address := range []string{"", "8080", "x:", "unix:"} {
		_, err := Load(Flags{Listen: []string{address}, Command: server}, nil)
		if u, ok := errors.AsType[*UsageError](err); !ok || u.Flag != "--listen" || u.Remedy == "" {
			t.Errorf("--listen %q: %v", address, err)
		}
	}
}

func TestCommandThatIsNotThere(t *testing.T) {
	yard(t)
	for command, want := range map[string]string{
		"./nosuch": `COMMAND: "./nosuch": no such file or directory; make it, or correct the path, which is seen from the directory lastcall runs in`,
		"nosuch":   `COMMAND: no "nosuch" in PATH; install it, or write its path`,
		"server":   `COMMAND: no "server" in PATH; write "./server" for the one in its directory`,
	} {
		_, err := Load(Flags{Command: []string{command}}, nil)
		if _, ok := errors.AsType[*Error](err); !ok || err.Error() != want {
			t.Errorf("%s: %v, want %s", command, err, want)
		}
	}
}

func TestDescriptorsOfACommand(t *testing.T) {
	yard(t)
	flags := Flags{Command: []string{"./server", "{fd:web}"}}
	const want = `COMMAND: {fd:web} is no listener of this program; give --listen web=ADDRESS`
	if _, err := Load(flags, nil); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	flags.Listen = []string{"web=:1"}
	if _, err := Load(flags, nil); err != nil {
		t.Error(err)
	}
	// What cannot be a listener's name is the program's own business.
	flags.Command = []string{"./server", "{fd:}", "{fd:a b}", "{fd:", "{fd:0.1}", "{other}"}
	if _, err := Load(flags, nil); err != nil {
		t.Error(err)
	}
}

func TestNoSecretInErrors(t *testing.T) {
	yard(t)
	for _, file := range []string{
		web + "ready = { redis = redis://:hunter2@h }\n",
		web + "ready = { redis = 'redis://:hunt/hunter2@h' }\n",
		web + "gate = { redis = 'redis://:hunter2@h' }\n",
		web + "gate = { redis = 'redis://:hunter2@h', set = '' }\n",
		web + "ready = { http = 'http://u:hunter2@[h/' }\n",
		web + "listen = ':80'\nready = { http = 'http://u:hunter2@localhost/?x=hunter2' }\n",
	} {
		if _, err := load(t, file); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", file, err)
		}
	}
}

func TestMistakesInLameDucks(t *testing.T) {
	checkMistakes(t, []mistake{
		{web + "listen = ':0'\nlame_duck_quiet = '1s'\n", `lastcall.toml:4: program.web.lame_duck_quiet: ends early what there is not; add lame_duck, or take it out`},
		{web + "lame_duck = '1s'\n", `lastcall.toml:3: program.web.lame_duck: is about clients, and web has no listeners; add listen, or take it out`},
	})
}
