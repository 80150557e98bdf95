package config

import "testing"

func TestMistakesInStops(t *testing.T) {
	const grammar = `write signals and the waits between them, as ["QUIT", "10s", "TERM"]; after the last comes KILL, at drain_timeout`
	checkMistakes(t, []mistake{
		{web + "stop_signal=[]\n", `lastcall.toml:3: program.web.stop_signal: is empty; write a signal, as "TERM", or leave it out`},
		{web + "stop_signal=['QUIT', '10s']\n", `lastcall.toml:3: program.web.stop_signal[1]: a wait must stand between two signals; ` + grammar},
		{web + "stop_signal=['QUIT', 'TERM']\n", `lastcall.toml:3: program.web.stop_signal[1]: a wait must stand between two signals; ` + grammar},
		{web + "stop_signal=['QUIT', 'TERM', 'INT']\n", `lastcall.toml:3: program.web.stop_signal[1]: "TERM" is not a duration; write it as "500ms", "10s", "5m" or "1h30m"`},
		{web + "stop_signal=['QUIT', '0s', 'INT']\n", `lastcall.toml:3: program.web.stop_signal[1]: must be more than 0; leave the signal before it out`},
		{web + "stop_signal=['QUIT', 10, 'INT']\n", `lastcall.toml:3: program.web.stop_signal[1]: is a number without a unit; add a unit: "10s"`},
		{web + "stop_signal=['QUIT', '10s', 'KILL']\n", `lastcall.toml:3: program.web.stop_signal[2]: SIGKILL cannot be caught: no program can end its work on it; write "TERM"; what has not ended by drain_timeout is killed anyway`},
		{web + "stop_signal=[15]\n", `lastcall.toml:3: program.web.stop_signal[0]: must be a string, not a number; write "TERM"`},
		{web + "stop_signal=['QUIT', '20s', 'INT', '5s', 'TERM']\n", `lastcall.toml:3: program.web.stop_signal: its waits take 25s, and at drain_timeout (25s) comes KILL: the last signal would never be sent; raise drain_timeout, or wait less`},
		{web + "close_signal=['WINCH']\n", `lastcall.toml:3: program.web.close_signal: must be a string, not an array; write close_signal = "TERM"`},
		{web + "close_signal='STOP'\n", `lastcall.toml:3: program.web.close_signal: SIGSTOP cannot be caught: no program can end its work on it; write "TERM"; what has not ended by drain_timeout is killed anyway`},
		{web + "drain_timeout_max='5s'\n", `lastcall.toml:3: program.web.drain_timeout_max: is less than drain_timeout, 25s; write "25s" or more, or leave it out`},
		{web + "drain_timeout_max='0s'\n", `lastcall.toml:3: program.web.drain_timeout_max: must be more than 0; leave it out for drain_timeout`},
	})
}

// A list of one is a signal.
func TestListOfOneSignal(t *testing.T) {
	yard(t)
	c, err := load(t, web+"stop_signal=['INT']\n")
	if err != nil || c.Programs[0].StopSignal != 2 || c.Programs[0].StopSteps != nil {
		t.Errorf("%+v, %v", c.Programs, err)
	}
}
