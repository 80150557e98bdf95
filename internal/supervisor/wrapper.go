package supervisor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// shells run the commands of a script as children, unless it says exec; runners
// run one program, as a child.
func shells() []string {
	return []string{"sh", "dash", "ash", "bash", "zsh", "ksh", "mksh", "busybox"}
}

func runners() []string {
	return []string{
		"npm", "npx", "yarn", "yarnpkg", "pnpm", "pnpx", "bunx", "nodemon", "tsx", "cross-env",
		"tini", "dumb-init", "timeout", "sudo", "su", "runuser", "script", "strace", "make", "foreman", "honcho",
	}
}

func isShell(name string) bool { return slices.Contains(shells(), filepath.Base(name)) }

// Wraps tells whether a command, in a directory ("": this process's), is known to
// stay between whoever starts it and the program that it starts, which then has
// another pid than LISTEN_PID says. Of a shell it is, unless the script says exec
// somewhere. What cannot be read is not.
func Wraps(args []string, dir string) bool {
	if len(args) == 0 {
		return false
	}
	if slices.Contains(runners(), filepath.Base(args[0])) {
		return true
	}
	text, ok := script(args, dir)
	if oneCommand := slices.Contains(args, text) && !strings.ContainsAny(text, ";&|\n("); ok && oneCommand && executesLast(args[0]) {
		return false
	}
	return ok && !slices.Contains(strings.FieldsFunc(text, separates), "exec")
}

// executesLast tells whether a shell executes the one command of its -c, as if
// it said exec. Those that are called sh often do not.
func executesLast(name string) bool {
	return slices.Contains([]string{"bash", "zsh", "ksh", "mksh"}, filepath.Base(name))
}

func separates(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(";&|(){}\"'`", r) }

// script returns what a shell is to run: its -c, or the file it is given or is
// called by.
func script(args []string, dir string) (text string, ok bool) {
	if !isShell(args[0]) {
		text, ok = readScript(args[0], dir)
		first, _, _ := strings.Cut(text, "\n")
		by := strings.Fields(strings.TrimPrefix(first, "#!"))
		return text, ok && strings.HasPrefix(first, "#!") && slices.ContainsFunc(by, isShell)
	}
	for i, arg := range args[1:] {
		switch {
		case strings.HasPrefix(arg, "-") && strings.HasSuffix(arg, "c") && i+2 < len(args):
			return args[i+2], true
		case strings.HasPrefix(arg, "-") || strings.HasPrefix(arg, "+") || isShell(arg): // busybox sh
		default:
			return readScript(arg, dir)
		}
	}
	return "", false
}

// readScript reads a file that may be a script, as far as one would read.
func readScript(path, dir string) (text string, ok bool) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() { // a pipe would be waited for
		return "", false
	}
	f, err := os.Open(path)
	if err != nil {
		return "", false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	return string(b), err == nil && !bytes.ContainsRune(b, 0)
}

// tomlList writes arguments as the configuration has them.
func tomlList(args []string) string {
	const enough = 300
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	words := make([]string, len(args))
	for i, arg := range args {
		b.Reset()
		_ = encoder.Encode(arg) // of a string it cannot fail
		words[i] = strings.TrimSpace(b.String())
	}
	if text := "[" + strings.Join(words, ", ") + "]"; len(text) <= enough {
		return text
	}
	return fmt.Sprintf("[%s, ...]", words[0])
}
