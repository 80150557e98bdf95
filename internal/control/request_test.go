package control

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

// echo answers every command with its own request, after one line of progress.
var echo = &fake{do: func(_ context.Context, r Request, progress func([]Progress)) Verdict {
	progress([]Progress{{Worker: r.Target}})
	return Verdict{Text: r.Verb}
}}

func post(body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	routes(echo, &account{}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/do", bytes.NewReader(body)))
	return w
}

func TestRequests(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		answer     string
	}{
		{"plain", `{"verb":"stop","target":"web"}`, 200, `{"progress":[{"worker":"web","state":"","left":0}]}` + "\n" + `{"verdict":{"code":0,"text":"stop"}}` + "\n"},
		{"unknown fields", `{"verb":"stop","target":"a","since":{"b":[1]}}`, 200, `{"progress":[{"worker":"a","state":"","left":0}]}` + "\n" + `{"verdict":{"code":0,"text":"stop"}}` + "\n"},
		{"empty", ``, 400, `{"code":1,"error":"read request: unexpected end of JSON input"}` + "\n"},
		{"no verb", `{}`, 400, `{"code":1,"error":"read request: it has no verb"}` + "\n"},
		{"two requests", `{"verb":"stop"}{"verb":"stop"}`, 400, `{"code":1,"error":"read request: invalid character '{' after top-level value"}` + "\n"},
		{"largest", `{"verb":"stop"` + strings.Repeat(" ", maxRequest-15) + `}`, 200, `{"progress":[{"worker":"","state":"","left":0}]}` + "\n" + `{"verdict":{"code":0,"text":"stop"}}` + "\n"},
		{"too large", `{"verb":"stop"` + strings.Repeat(" ", maxRequest-14) + `}`, 413, `{"code":1,"error":"read request: http: request body too large"}` + "\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := post([]byte(c.body))
			if w.Code != c.status || w.Body.String() != c.answer {
				t.Errorf("answered %d %s, want %d %s", w.Code, w.Body, c.status, c.answer)
			}
		})
	}
}

// timed records the deadlines that a handler sets.
type timed struct {
	*httptest.ResponseRecorder
	read, write []time.Time
}

func (w *timed) SetReadDeadline(t time.Time) error  { w.read = append(w.read, t); return nil }
func (w *timed) SetWriteDeadline(t time.Time) error { w.write = append(w.write, t); return nil }

// A deadline for the body that outlived it would end a long command's waiting.
func TestDeadlines(t *testing.T) {
	w := &timed{ResponseRecorder: httptest.NewRecorder()}
	routes(echo, &account{}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/do", strings.NewReader(`{"verb":"stop"}`)))
	if len(w.read) != 2 || w.read[0].IsZero() || !w.read[1].IsZero() {
		t.Errorf("deadlines of reads: %v, want one, and then none", w.read)
	}
	if len(w.write) != 2 || w.write[0].IsZero() || w.write[1].IsZero() {
		t.Errorf("deadlines of writes: %v, want one for each line", w.write)
	}
}

func TestOtherPathsAndMethods(t *testing.T) {
	for request, want := range map[string]int{
		"GET /":             404,
		"GET /v1/do":        405,
		"POST /v1/status":   405,
		"GET /v2/status":    404,
		"GET /v1/inflight":  404, // echo knows no targets
		"DELETE /v1/status": 405,
	} {
		method, path, _ := strings.Cut(request, " ")
		w := httptest.NewRecorder()
		routes(echo, &account{}).ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", request, w.Code, want)
		}
	}
}

// saying is a supervisor that says one thing.
type saying struct {
	status int
	body   []byte
}

func (a saying) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Status: http.StatusText(a.status), Body: io.NopCloser(bytes.NewReader(a.body))}, nil
}

// Whatever a supervisor says, of whatever version: the first verdict in it is
// the verdict, after it nothing is reported, and else there is an error.
func FuzzReply(f *testing.F) {
	f.Add(200, []byte(`{"progress":[{"worker":"web.2","state":"draining","left":7}]}`+"\n"+`{"verdict":{"code":5,"text":"cut"}}`))
	f.Add(200, []byte(`{"levitate":1}{"verdict":{"code":0,"colour":"red"}}{"verdict":{"code":1}}`))
	f.Add(200, []byte(`{"verdict":null}`))
	f.Add(404, []byte(`{"code":4,"error":"no program or worker named x"}`))
	f.Add(500, []byte("\x00"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		c := &Client{&http.Client{Transport: saying{status, body}}}
		reported := 0
		v, err := c.Do(t.Context(), Request{Verb: "stop"}, func(p []Progress) { reported += min(1, len(p)) })
		if err != nil && (err.Error() == "" || !reflect.ValueOf(v).IsZero()) {
			t.Fatalf("%d %q: %v and %+v", status, body, err, v)
		}
		var want *Verdict
		progress := 0
		for lines := json.NewDecoder(bytes.NewReader(body)); want == nil && status == http.StatusOK; {
			var u Update
			if lines.Decode(&u) != nil {
				break
			}
			if want = u.Verdict; want == nil && len(u.Progress) > 0 {
				progress++
			}
		}
		if (err == nil) != (want != nil) || want != nil && !reflect.DeepEqual(v, *want) || reported != progress {
			t.Fatalf("%d %q: %+v, %v after %d reports; want %+v after %d", status, body, v, err, reported, want, progress)
		}
		for _, ask := range []func() error{
			func() error { _, err := c.Status(t.Context()); return err },
			func() error { _, err := c.Inflight(t.Context(), "web"); return err },
		} {
			if err := ask(); status != http.StatusOK && (err == nil || err.Error() == "") {
				t.Fatalf("%d %q is taken for an answer", status, body)
			}
		}
	})
}

// Whatever the bytes, the answer is either a refusal or a stream that ends
// with the one verdict.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{`{"verb":"stop","target":"web.2","now":true}`, `{"verb":1}`, `[`, `null`, "\x00", `{"workers":1e99}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := post(body)
		switch w.Code {
		case http.StatusOK:
			lines := strings.Split(strings.TrimSuffix(w.Body.String(), "\n"), "\n")
			for i, line := range lines {
				var u Update
				if err := json.Unmarshal([]byte(line), &u); err != nil {
					t.Fatalf("line %q: %v", line, err)
				}
				if (u.Verdict != nil) != (i == len(lines)-1) {
					t.Fatalf("line %d of %d: %s", i+1, len(lines), line)
				}
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			var refused failure
			if err := json.Unmarshal(w.Body.Bytes(), &refused); err != nil || refused.Code != Failed || refused.Error == "" {
				t.Fatalf("refused with %q: %v", w.Body, err)
			}
		default:
			t.Fatalf("status %d", w.Code)
		}
	})
}
