package config

import (
	"runtime"
	"testing"
)

func TestBalance(t *testing.T) {
	yard(t)
	if _, err := load(t, web+"listen = ':0'\nbalance = 'slots'\n"); runtime.GOOS == "linux" && err != nil {
		t.Error(err)
	}
	if runtime.GOOS != "linux" {
		return // there it is refused for that alone
	}
	for text, want := range map[string]string{
		web + "balance = 'slots'\n":                                                         `lastcall.toml:3: program.web.balance: "slots" is about listeners, and it has none; add listen, or take it out`,
		web + "listen = './x'\nbalance = 'slots'\n":                                         `lastcall.toml:4: program.web.balance: "slots" is for TCP, and ./x is not; write "shared"`,
		web + "listen = 'm'\nbalance = 'slots'\n[listen]\nm.address = ':1'\nm.mptcp=true\n": `lastcall.toml:4: program.web.balance: "slots" is for plain TCP, and listener "m" has mptcp; write "shared", or take mptcp out`,
		web + "listen = 'm'\nbalance = 'slots'\n[program.api]\ncommand = ['./server']\nlisten = 'm'\n[listen]\nm = ':1'\n": `lastcall.toml:4: program.web.balance: ` +
			`with "slots" no other program can share listener "m", and api does; give each a listener of its own, or write "shared"`,
		web + "balance = 'slot'\n": `lastcall.toml:3: program.web.balance: cannot be "slot"; did you mean "slots"?`,
	} {
		if _, err := load(t, text); err == nil || err.Error() != want {
			t.Errorf("%q:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestBalanceIsForLinux(t *testing.T) {
	d := (&loader{}).newDraft("web", place{})
	d.Balance = "slots"
	const want = `"slots" is there on Linux only, not on darwin; write "shared"`
	if err := d.balanced("darwin"); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
