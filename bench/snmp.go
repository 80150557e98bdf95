package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// opened is how many TCP connections have been made to listening sockets of
// this network namespace, by anybody: TcpPassiveOpens.
func opened() (int, error) {
	const file = "/proc/net/snmp"
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("count connections: %w", err)
	}
	n, err := passiveOpens(string(b))
	if err != nil {
		return 0, fmt.Errorf("count connections: read %s: %w", file, err)
	}
	return n, nil
}

// passiveOpens reads the two lines of Tcp: names, and their values.
func passiveOpens(text string) (int, error) {
	var names []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		for i, name := range names {
			if name == "PassiveOpens" && i < len(f) {
				return strconv.Atoi(f[i])
			}
		}
	}
	return 0, fmt.Errorf("it has no PassiveOpens: %q", text)
}
