package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// A Client asks one supervisor. Its methods may be called from any goroutine;
// each makes a connection of its own and leaves none behind. Where nobody
// listens their error is ErrNotRunning, by errors.Is.
type Client struct{ http *http.Client }

// Dial returns a client of the control socket at path. It does not connect.
func Dial(path string) *Client {
	return &Client{&http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, _, err := dial(ctx, path)
			if err != nil {
				return nil, err // not a nil *UnixConn in an interface
			}
			return c, nil
		},
	}}}
}

// Status asks for the supervisor and all it runs.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.get(ctx, "/v1/status", &s)
	return s, err
}

// Inflight asks for the operations in progress in the workers that target
// names; "" is all. The error is an *UnknownTarget where it names none.
func (c *Client) Inflight(ctx context.Context, target string) ([]Operation, error) {
	var list []Operation
	err := c.get(ctx, "/v1/inflight?"+url.Values{"target": {target}}.Encode(), &list)
	if refused := (*refusal)(nil); errors.As(err, &refused) && refused.Code == NoSuch {
		return nil, &UnknownTarget{Target: target}
	}
	return list, err
}

// Do gives a command and waits for its verdict, calling progress, which may be
// nil, with what it is waiting for, from this goroutine. When ctx ends first
// only the waiting ends: the command goes on. An error means that there is no
// verdict; a command that did not succeed is a verdict.
func (c *Client) Do(ctx context.Context, r Request, progress func([]Progress)) (Verdict, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return Verdict{}, fmt.Errorf("encode request: %w", err)
	}
	answer, err := c.send(ctx, http.MethodPost, "/v1/do", bytes.NewReader(body))
	if err != nil {
		return Verdict{}, err
	}
	defer answer.Close()
	for lines := json.NewDecoder(answer); ; {
		var u Update
		if err := lines.Decode(&u); err != nil {
			return Verdict{}, fmt.Errorf("the supervisor gave no verdict on %s: %w", r.Verb, err)
		}
		if u.Verdict != nil {
			return *u.Verdict, nil
		}
		if len(u.Progress) > 0 && progress != nil {
			progress(u.Progress)
		}
	}
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	answer, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	if err := json.NewDecoder(answer).Decode(into); err != nil {
		return fmt.Errorf("read answer of supervisor: %w", err)
	}
	return nil
}

// refusal is an answer that is not 200.
type refusal struct{ failure }

func (e *refusal) Error() string { return "supervisor: " + e.failure.Error }

func (c *Client) send(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error) {
	// The host is there for the form: DialContext knows the way.
	r, err := http.NewRequestWithContext(ctx, method, "http://lastcall"+path, body)
	if err != nil {
		return nil, fmt.Errorf("ask supervisor: %w", err)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		// The URL that net/http prepends is an invention of ours.
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		if errors.Is(err, ErrNotRunning) {
			return nil, err
		}
		return nil, fmt.Errorf("ask supervisor: %w", err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	refused := &refusal{failure{Code: Failed, Error: answer.Status}}
	_ = json.NewDecoder(io.LimitReader(answer.Body, maxRequest)).Decode(&refused.failure) // else the status says it
	return nil, refused
}
