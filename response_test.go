package lastcall

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestWriterInterfaces asks for the interfaces of net/http's own writers.
func TestWriterInterfaces(t *testing.T) {
	check := func(w any) string {
		_, flush := w.(http.Flusher)
		_, hijack := w.(http.Hijacker)
		_, push := w.(http.Pusher)
		_, from := w.(io.ReaderFrom)
		_, str := w.(io.StringWriter)
		_, notify := w.(interface{ CloseNotify() <-chan bool })
		return fmt.Sprintf("flush %v hijack %v push %v readfrom %v string %v notify %v", flush, hijack, push, from, str, notify)
	}
	seen := make(chan string, 2)
	h := func(w http.ResponseWriter, r *http.Request) {
		seen <- check(w)
		rc := http.NewResponseController(w)
		soon := time.Now().Add(patience)
		for name, err := range map[string]error{
			"read deadline": rc.SetReadDeadline(soon), "write deadline": rc.SetWriteDeadline(soon),
			"full duplex": rc.EnableFullDuplex(), "flush": rc.Flush(),
		} {
			if err != nil {
				t.Errorf("%s %s: %v", r.Proto, name, err)
			}
		}
	}
	s := serve(t, &Worker{}, tlsServer(t, http.HandlerFunc(h)))
	for _, h2 := range []bool{false, true} {
		tr := tlsTransport(t, h2)
		resp, err := (&http.Client{Transport: tr}).Get("https://" + s.addr)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		want := "flush true hijack true push false readfrom true string true notify true"
		if h2 {
			want = "flush true hijack false push true readfrom false string true notify true"
		}
		if got := <-seen; got != want {
			t.Errorf("%s: got %s\nwant %s", resp.Proto, got, want)
		}
	}
	s.Drain()
	s.drained()
}

// TestSaysClose looks at the one header field that a drain changes.
func TestSaysClose(t *testing.T) {
	handlers := map[string]func(http.ResponseWriter){
		"/nothing":   func(w http.ResponseWriter) {},
		"/header":    func(w http.ResponseWriter) { w.WriteHeader(404) },
		"/write":     func(w http.ResponseWriter) { w.Write([]byte("x")) },
		"/string":    func(w http.ResponseWriter) { io.WriteString(w, "x") },
		"/copy":      func(w http.ResponseWriter) { io.Copy(w, strings.NewReader("x")) },
		"/flush":     func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"/hints":     func(w http.ResponseWriter) { w.WriteHeader(103); w.WriteHeader(200) },
		"/keepalive": func(w http.ResponseWriter) { w.Header().Set("Connection", "keep-alive"); w.WriteHeader(200) },
		"/upgrade":   func(w http.ResponseWriter) { w.Header().Set("Connection", "Upgrade"); w.WriteHeader(426) },
	}
	entered := make(chan struct{}, len(handlers))
	leave := make(chan struct{})
	s := serveHandler(t, &Worker{}, func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-leave
		handlers[r.URL.Path](w)
	})
	clients := map[string]*client{}
	for path := range handlers {
		clients[path] = dial(t, s.addr)
		clients[path].get(path)
		<-entered
	}
	early := dial(t, s.addr)
	early.send("GET / HTTP/1.0\r\n\r\n")
	<-entered
	handlers["/"] = func(w http.ResponseWriter) { w.Write([]byte("1.0")) }
	s.Drain()
	s.waitDraining()
	close(leave)
	for path, c := range clients {
		all, err := io.ReadAll(c.r) // to the end of the connection
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		said := strings.Count(string(all), "\r\nConnection: close\r\n")
		if said != 1 || strings.Contains(string(all), "keep-alive") {
			t.Errorf("%s:\n%s", path, all)
		}
		if path == "/upgrade" && !strings.Contains(string(all), "\r\nConnection: Upgrade\r\n") {
			t.Errorf("%s:\n%s", path, all)
		}
	}
	if _, body := early.response(); body != "1.0" {
		t.Errorf("HTTP/1.0: %q", body)
	}
	s.drained()
}

// TestHijack keeps a hijacked connection through the drain as what it is
// marked, until it is closed or cut.
func TestHijack(t *testing.T) {
	for _, test := range []struct {
		path, close string
		cut         bool
	}{
		{"/critical", "client", false},
		{"/critical", "deadline", true},
		{"/unmarked", "stop", false},
	} {
		entered := make(chan struct{})
		mux := http.NewServeMux()
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			rw.Flush()
			if _, ok := c.(syscall.Conn); !ok {
				t.Errorf("%T", c)
			}
			go func() { // the handler returns, the connection stays
				defer c.Close()
				io.Copy(c, rw)
			}()
			close(entered)
		})
		mux.Handle("/critical", Critical(h))
		mux.Handle("/unmarked", h)
		w := &Worker{FreshGrace: -1, StallTimeout: 20 * time.Millisecond}
		if test.cut {
			w.DrainTimeout = 100 * time.Millisecond
		}
		s := serve(t, w, Server{Addr: "127.0.0.1:0", HTTP: &http.Server{Handler: mux}})
		c := dial(t, s.addr)
		c.send("GET " + test.path + " HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		if r, err := http.ReadResponse(c.r, nil); err != nil || r.StatusCode != 101 || r.Header.Get("Connection") != "Upgrade" {
			t.Fatalf("%v, %v", r, err)
		}
		<-entered
		s.Drain()
		s.waitDraining()
		if test.path == "/critical" {
			<-time.After(2 * w.StallTimeout) // it may be silent for as long as it likes
			c.send("still there\n")
			if line, err := c.r.ReadString('\n'); line != "still there\n" {
				t.Errorf("%s: %q, %v", test.path, line, err)
			}
		}
		if test.close == "client" {
			c.Close()
		}
		err := s.wait()
		var cut *CutError
		if got := errors.As(err, &cut); got != test.cut {
			t.Errorf("%s, closed by the %s: Serve: %v", test.path, test.close, err)
		}
		if test.close != "client" {
			c.closed()
		}
	}
}

// TestFileThroughDrain sends a file to a slow client, by net/http's way to
// sendfile. The drain begins in its middle, so that it is interrupted by many
// deadlines and taken up again.
func TestFileThroughDrain(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB
	for i := range content[:len(content)/2] {
		content[2*i] = byte(i / 4096)
	}
	path := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s := serveHandler(t, &Worker{StallTimeout: 250 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, path)
	})
	c := dial(t, s.addr)
	if err := c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	c.get("/")
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 0, len(content))
	buf := make([]byte, 64<<10)
	began := time.Now()
	for len(got) < len(content) {
		if len(got) == 16*len(buf) {
			s.Drain()
			s.waitDraining()
		}
		n, err := io.ReadFull(r.Body, buf)
		got = append(got, buf[:n]...)
		if err != nil {
			t.Fatalf("after %d bytes: %v", len(got), err)
		}
		<-time.After(5 * time.Millisecond) // slow, never stalled, and for many deadlines
	}
	if !bytes.Equal(got, content) {
		t.Error("what has come is not what was sent")
	}
	t.Logf("16 MiB in %v", time.Since(began))
	s.drained()
}

// fileSpy counts the calls of the method by which net uses sendfile.
type fileSpy struct {
	*net.TCPConn
	calls int
}

func (s *fileSpy) ReadFrom(r io.Reader) (int64, error) {
	s.calls++
	return s.TCPConn.ReadFrom(r)
}

// TestSendfileKept looks for what reaches the socket's own ReadFrom.
func TestSendfileKept(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	from := dial(t, l.Addr().String())
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	spy := &fileSpy{TCPConn: from.Conn.(*net.TCPConn)}
	c := &conn{Conn: spy, server: &httpServer{}}
	f, err := os.Open("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, src := range []io.Reader{io.LimitReader(f, 10), f} {
		if _, err := c.ReadFrom(src); err != nil || spy.calls != i+1 { // as net/http does
			t.Errorf("%T: %d calls, %v", src, spy.calls, err)
		}
	}
	if _, err := c.ReadFrom(io.LimitReader(strings.NewReader("memory"), 3)); err != nil || spy.calls != 2 {
		t.Errorf("memory: %d calls, %v", spy.calls, err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	want, _ := os.ReadFile("go.mod")
	if got, err := io.ReadAll(accepted); err != nil || string(got) != string(want)+"mem" {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(want)+3)
	}
}

// TestMultipartFilesRemoved checks what net/http does with the request it made,
// which is not the one the handler saw.
func TestMultipartFilesRemoved(t *testing.T) {
	var path string
	s := serveHandler(t, &Worker{}, func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1); err != nil {
			t.Error(err)
			return
		}
		f, err := r.MultipartForm.File["f"][0].Open()
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		path = f.(*os.File).Name()
	})
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	f, _ := m.CreateFormFile("f", "name")
	f.Write(bytes.Repeat([]byte("x"), 200<<10))
	m.Close()
	r, err := http.Post("http://"+s.addr, m.FormDataContentType(), &b)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	s.Drain()
	s.drained()
	if _, err := os.Stat(path); path == "" || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%q: %v, want it to be gone", path, err)
	}
}

// TestCutResponsesDoNotLookWhole: a handler that stops when it is cut has its
// response broken off, or answered with 503; one that goes on is left alone.
func TestCutResponsesDoNotLookWhole(t *testing.T) {
	cut := func(r *http.Request) { <-r.Context().Done() }
	mux := http.NewServeMux()
	began := make(chan struct{}, 3)
	mux.HandleFunc("/half", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		began <- struct{}{}
		cut(r)
	})
	mux.HandleFunc("/nothing", func(_ http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		cut(r)
	})
	mux.HandleFunc("/whole", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half and ")
		http.NewResponseController(w).Flush()
		began <- struct{}{}
		cut(r)
		io.WriteString(w, "half")
	})
	w := &Worker{DrainTimeout: 50 * time.Millisecond, UnwindTimeout: 10 * time.Second}
	s := serve(t, w, Server{Addr: "127.0.0.1:0", HTTP: &http.Server{Handler: mux}})
	type answer struct {
		path, body string
		status     int
		err        error
	}
	answers := make(chan answer, 3)
	for _, path := range []string{"/half", "/nothing", "/whole"} {
		go func() {
			a := answer{path: path}
			defer func() { answers <- a }()
			r, err := http.Get("http://" + s.addr + path)
			if a.err = err; err != nil {
				return
			}
			defer r.Body.Close()
			body, err := io.ReadAll(r.Body)
			a.status, a.body, a.err = r.StatusCode, string(body), err
		}()
	}
	for range 3 {
		within(t, "the handlers have begun", began)
	}
	s.Drain()
	for range 3 {
		a := within(t, "all are answered", answers)
		ok := false
		switch a.path {
		case "/half":
			ok = errors.Is(a.err, io.ErrUnexpectedEOF)
		case "/nothing":
			ok = a.err == nil && a.status == http.StatusServiceUnavailable
		case "/whole":
			ok = a.err == nil && a.body == "half and half"
		}
		if !ok {
			t.Errorf("%+v", a)
		}
	}
	var e *CutError
	if err := s.wait(); !errors.As(err, &e) || len(e.Operations) != 3 {
		t.Errorf("Serve: %v", err)
	}
}
