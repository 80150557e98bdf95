package gate

import (
	"strings"
	"testing"
)

// Whatever a Spec says: what is checked can be opened, an error is one line,
// and none shows what a URL keeps secret.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{
		"http://127.0.0.1:80/ready", "https://u:{secret}@h/x?k={secret}", "unix:/run/a:/x", "unix::", "127.0.0.1:80", "[::1]:", "tcp:1:2",
		"http://u:{secret}/@h", "/run/app/busy", "", "http://[", "unix:\x00", "http://h:99999", "https://h/?{secret}",
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	const secret = "s3cr3t"
	f.Fuzz(func(t *testing.T, target string, isGate bool) {
		target = strings.ReplaceAll(target, "{secret}", secret)
		for name, kind := range Kinds() {
			s := Spec{Kind: name, Target: target, Args: strings.Fields(target), Gate: isGate}
			if _, after, ok := strings.Cut(target, "://"); ok && strings.Contains(after, secret+"@") && strings.Contains(s.String(), secret+"@") {
				t.Fatalf("%s of %q shows the password: %q", name, target, s)
			}
			err := kind.Check(s)
			if err == nil {
				q, err := kind.Open(s)
				if err != nil {
					t.Fatalf("%s: %q is checked, and cannot be opened: %v", name, target, err)
				}
				q.Close()
				continue
			}
			if text := err.Error(); text == "" || strings.ContainsAny(text, "\n\r\x00\x1b") || strings.Contains(text, secret) && strings.Contains(target, "://") {
				t.Fatalf("%s: %q: %q", name, target, text)
			}
		}
	})
}
