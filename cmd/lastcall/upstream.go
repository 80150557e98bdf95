package main

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/supervisor"
)

const upstreamHelp = `Print what nginx or haproxy needs to balance over the workers of a program that
has a port for each (port_base), from the configuration: the servers, how one
that refuses is passed over, and how long an answer may take. Nothing needs to
run. Without PROGRAM it is the only one that has ports.

Lines that belong elsewhere in the proxy's configuration are comments, and say
where. docs/ports.md has the whole.`

func (c *cli) upstreamVerb() *cobra.Command {
	var f flags
	verb := &cobra.Command{
		Use:       "upstream nginx|haproxy [--file FILE] [PROGRAM]",
		Short:     "Print a proxy's configuration for workers with ports",
		Long:      upstreamHelp,
		Example:   "  lastcall upstream nginx > /etc/nginx/conf.d/web.conf\n  lastcall upstream haproxy -f production.toml web",
		Args:      arguments(1, 2),
		ValidArgs: []string{"nginx", "haproxy"},
		RunE: func(verb *cobra.Command, args []string) error {
			text := proxies(args[0])
			if text == "" {
				return usage(verb, fmt.Errorf("%q is no proxy that is known: nginx, haproxy", args[0]))
			}
			conf, err := f.load(c.socket, nil)
			if err != nil {
				return err
			}
			p, err := ported(conf, args[1:])
			if err != nil {
				return err
			}
			return template.Must(template.New(args[0]).Parse(text)).Execute(c.stdout, newUpstream(args[0], conf, p))
		},
	}
	verb.Flags().StringVarP(&f.File, "file", "f", "", "configuration `file` (default ./lastcall.toml)")
	f.verb, f.logFormat = verb, "text"
	return verb
}

// ported returns the program that is named, or the only one, of those whose
// workers have ports of their own.
func ported(conf supervisor.Config, name []string) (*supervisor.Program, error) {
	var all []string
	var found *supervisor.Program
	for i, p := range conf.Programs {
		named := len(name) > 0 && p.Name == name[0]
		switch {
		case named && p.PortBase == 0:
			return nil, fmt.Errorf(`the workers of %s have no ports of their own, one address is enough for all of them; else write port_base = 8000 and listen = ["127.0.0.1:{port}"] in [program.%[1]s]`, p.Name)
		case named:
			return &conf.Programs[i], nil
		case p.PortBase > 0:
			all, found = append(all, p.Name), &conf.Programs[i]
		}
	}
	switch {
	case len(name) > 0:
		return nil, &exit{control.NoSuch, fmt.Errorf("no program named %s in the configuration", name[0])}
	case len(all) == 0:
		return nil, fmt.Errorf(`no program has a port for each worker; write port_base = 8000 and listen = ["127.0.0.1:{port}"] in its table`)
	case len(all) > 1:
		return nil, fmt.Errorf("%s have ports; name one", strings.Join(all, " and "))
	}
	return found, nil
}

// An upstream is what the templates are filled in with.
type upstream struct {
	Proxy, Name string
	Servers     []upstreamServer
	Idle        int // connections that are kept, for each process of the proxy
	Drain       int // seconds that a drain takes at most
	Guessed     bool
}

type upstreamServer struct{ Worker, Address string }

func newUpstream(proxy string, conf supervisor.Config, p *supervisor.Program) upstream {
	u := upstream{Proxy: proxy, Name: p.Name, Idle: 4 * p.Workers, Drain: int((p.DrainTimeout + time.Second - 1) / time.Second)}
	host, known := hostOf(conf, p)
	u.Guessed = !known
	for slot := range p.Workers {
		u.Servers = append(u.Servers, upstreamServer{
			fmt.Sprintf("%s.%d", p.Name, slot), net.JoinHostPort(host, strconv.Itoa(p.PortBase+slot)),
		})
	}
	return u
}

// hostOf returns where the first of a program's own ports is, as seen from this
// machine. Workers that bind it themselves are taken to do so here.
func hostOf(conf supervisor.Config, p *supervisor.Program) (host string, known bool) {
	for _, l := range conf.Listeners {
		for _, name := range p.Listen {
			if l.Name != name || !l.Each {
				continue
			}
			host, _, _ := net.SplitHostPort(l.Address.Address)
			if ip, err := netip.ParseAddr(host); err != nil || !ip.IsUnspecified() {
				if host != "" {
					return host, true
				}
			} else if ip.Is6() && l.Address.Network == "tcp6" {
				return "::1", true
			}
			return "127.0.0.1", true
		}
	}
	return "127.0.0.1", false
}

func proxies(name string) string {
	const head = `# The workers of {{.Name}}, one port each, from the configuration by "lastcall upstream {{.Proxy}}".
{{- if .Guessed}}
# They bind their ports themselves: correct the address if it is another.
{{- end}}
`
	switch name {
	case "nginx":
		return head + nginxBlock
	case "haproxy":
		return head + haproxyBlock
	}
	return ""
}

const nginxBlock = `upstream {{.Name}} {
{{- range .Servers}}
    server {{.Address}} max_fails=0;  # {{.Worker}}
{{- end}}
    # A worker that is drained refuses, and the next one is tried: lastcall knows
    # who is up. With max_fails nginx would also leave out those that are, and
    # answer 502 when it has left out all.
    keepalive {{.Idle}};
}

# In the server that hands requests on:
#
# location / {
#     proxy_pass http://{{.Name}};
#     proxy_http_version 1.1;
#     proxy_set_header Connection "";  # else no connection to a worker is kept
#     proxy_set_header Host $host;
#     proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
#     # The next worker is tried when one refuses or its connection breaks, but
#     # a POST that may have reached one is not sent twice.
#     proxy_next_upstream error timeout;
#     proxy_connect_timeout 2s;
#     # At least drain_timeout, {{.Drain}}s: a drain waits so long for an answer.
#     proxy_read_timeout {{.Drain}}s;
# }
`

const haproxyBlock = `backend {{.Name}}
    mode http
    balance roundrobin
    # A worker that is drained refuses, and the next one is tried at once.
    retries {{len .Servers}}
    option redispatch 1
    # A connection that breaks before any answer is tried again too, but only
    # for what may be sent twice.
    retry-on conn-failure empty-response
    http-request disable-l7-retry unless METH_GET
    timeout connect 2s
    # At least drain_timeout, {{.Drain}}s: a drain waits so long for an answer.
    timeout server {{.Drain}}s
{{- range .Servers}}
    server {{.Worker}} {{.Address}} check inter 1s
{{- end}}
`
