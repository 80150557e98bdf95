package gate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// httpKind asks with GET; a status of 200 to 299 is go.
func httpKind() Kind {
	return Kind{
		Name: "http", Gate: true, Probe: true,
		Check: func(s Spec) error {
			_, _, err := parseHTTP(s.Target)
			return err
		},
		Open: openHTTP,
	}
}

type httpQuestion struct {
	client *http.Client
	url    string
	shown  string
}

// openHTTP makes a client of its own that shares nothing between two askings:
// no kept connection, which might lead to a process on its way out, no proxy,
// no cookies, and no redirect followed, which would be another's answer.
func openHTTP(s Spec) (Question, error) {
	target, socket, err := parseHTTP(s.Target)
	if err != nil {
		return nil, err
	}
	t := &http.Transport{DisableKeepAlives: true}
	if socket != "" {
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}
	}
	c := &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &httpQuestion{client: c, url: target, shown: WithoutSecrets(s.Target)}, nil
}

func (q *httpQuestion) Ask(ctx context.Context) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, q.url, nil)
	if err != nil {
		return "", fmt.Errorf("ask %s: not a URL", q.shown)
	}
	r.Header.Set("User-Agent", "lastcall")
	resp, err := q.client.Do(r)
	if err != nil {
		// Its text repeats the URL, query and all.
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return "", fmt.Errorf("ask %s: %w", q.shown, err)
	}
	resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return "", nil
	}
	return fmt.Sprintf("%s says %s", q.shown, resp.Status), nil
}

func (q *httpQuestion) Close() error {
	q.client.CloseIdleConnections()
	return nil
}

// parseHTTP returns the URL to ask and, for unix:PATH[:/URL/PATH], the socket.
func parseHTTP(target string) (u, socket string, err error) {
	if rest, ok := strings.CutPrefix(target, "unix:"); ok {
		path, urlPath, ok := strings.Cut(rest, ":")
		if !ok {
			urlPath = "/"
		}
		if path == "" || !strings.HasPrefix(urlPath, "/") {
			return "", "", errors.New(`must be "unix:/path/of/socket:/path"`)
		}
		return "http://unix" + urlPath, path, nil
	}
	p, err := url.Parse(target)
	if err != nil || (p.Scheme != "http" && p.Scheme != "https") || p.Hostname() == "" {
		return "", "", errors.New(`must be a URL, as "http://127.0.0.1:8080/ready"`)
	}
	return target, "", nil
}
