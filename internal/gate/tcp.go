package gate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// tcpKind connects; that somebody accepts is go. It is no gate: that a server
// answers says nothing about what it still does.
func tcpKind() Kind {
	return Kind{
		Name: "tcp", Probe: true,
		Check: func(s Spec) error {
			_, _, err := parseTCP(s.Target)
			return err
		},
		Open: func(s Spec) (Question, error) {
			network, address, err := parseTCP(s.Target)
			if err != nil {
				return nil, err
			}
			return tcpQuestion{network, address}, nil
		},
	}
}

type tcpQuestion struct{ network, address string }

func (q tcpQuestion) Ask(ctx context.Context) (string, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, q.network, q.address)
	if err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	c.Close()
	return "", nil
}

func (tcpQuestion) Close() error { return nil }

// parseTCP takes HOST:PORT, or unix:PATH for a unix socket.
func parseTCP(target string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(target, "unix:"); ok && path != "" {
		return "unix", path, nil
	}
	if _, port, err := net.SplitHostPort(target); err != nil || port == "" || strings.Contains(target, "/") {
		return "", "", errors.New(`must be HOST:PORT, as "127.0.0.1:6379", or "unix:/path/of/socket"`)
	}
	return "tcp", target, nil
}
