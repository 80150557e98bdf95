package config

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A key is one name that a table may have, and what becomes of its value. The
// tables of them are the whole of what the parser knows.
type key struct {
	name string
	read func(*node) error
}

func names(keys []key) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.name
	}
	return out
}

// read hands each value of a table to its key. elsewhere gives the remedy for
// a key that would be known in another table, "" if it is not.
func read(t *node, keys []key, elsewhere func(name string) string) error {
	if err := t.is(aTable, ""); err != nil {
		return err
	}
	for _, n := range t.items {
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == n.name })
		if i < 0 {
			remedy := elsewhere(n.name)
			if remedy == "" {
				remedy = did(n.name, names(keys))
			}
			return t.unknown(n, remedy)
		}
		if err := keys[i].read(n); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) unknown(child *node, remedy string) *Error {
	at := child.place
	at.key = n.key
	return at.fail(remedy, "unknown key %q", child.name)
}

// is says that a node must be of a kind; example is what would be right.
func (n *node) is(kind, example string) error {
	if n.kind == kind {
		return nil
	}
	remedy := ""
	switch {
	case kind == aTable:
		remedy = fmt.Sprintf("write [%s]", n.key)
	case n.name != "":
		remedy = fmt.Sprintf("write %s = %s", n.name, example)
	case example != "":
		remedy = "write " + example
	}
	return n.fail(remedy, "must be %s, not %s", kind, n.kind)
}

// string reads a string that is not empty.
func (n *node) string() (string, error) {
	if err := n.is(aString, n.quoted()); err != nil {
		return "", err
	}
	if n.text == "" {
		return "", n.fail("write a value, or leave it out", "is empty")
	}
	return n.clean()
}

// clean refuses what no argument, path or variable can hold.
func (n *node) clean() (string, error) {
	if strings.ContainsRune(n.text, 0) {
		return "", n.fail("remove it", "contains a zero byte")
	}
	return n.text, nil
}

// quoted is the value as the string that was probably meant.
func (n *node) quoted() string {
	if n.kind == aNumber || n.kind == aFloat || n.kind == aBoolean {
		return strconv.Quote(n.text)
	}
	return `"..."`
}

func text(to *string) func(*node) error {
	return func(n *node) (err error) {
		*to, err = n.string()
		return err
	}
}

func boolean(to *bool) func(*node) error {
	return func(n *node) error {
		if err := n.is(aBoolean, "true"); err != nil {
			return err
		}
		*to = n.text == "true"
		return nil
	}
}

// count reads a number that is not negative; zero is what 0 means, if that is
// worth saying.
func count(to *int, zero string) func(*node) error {
	return func(n *node) error {
		if err := n.is(aNumber, "4"); err != nil {
			return err
		}
		i, err := strconv.ParseInt(n.text, 0, 32)
		if err != nil {
			return n.fail("write a smaller one", "%s is too large", n.text)
		}
		if i < 0 {
			return n.fail("write 0 or more"+zero, "is negative: %d", i)
		}
		*to = int(i)
		return nil
	}
}

// duration reads a length of time. What cannot be 0 has a zero that says what
// to do instead.
func duration(to *time.Duration, zero string) func(*node) error {
	return func(n *node) error {
		if n.kind == aNumber || n.kind == aFloat {
			return n.fail(fmt.Sprintf("add a unit: \"%ss\"", n.text), "is a number without a unit")
		}
		if err := n.is(aString, `"10s"`); err != nil {
			return err
		}
		if n.text != "" && strings.Trim(n.text, "0123456789.") == "" {
			return n.fail(fmt.Sprintf("add a unit: \"%ss\"", n.text), "is a number without a unit")
		}
		d, err := time.ParseDuration(n.text)
		switch {
		case err != nil:
			return n.fail(`write it as "500ms", "10s", "5m" or "1h30m"`, "%q is not a duration", n.text)
		case d < 0:
			return n.fail("write a positive duration", "is negative: %q", n.text)
		case d == 0 && zero != "":
			return n.fail(zero, "must be more than 0")
		}
		*to = d
		return nil
	}
}

// An entry is one string of a list and where it stands.
type entry struct {
	place
	text string
}

// list reads an array of strings, or a single string for a list of one.
func list(to *[]entry) func(*node) error {
	return func(n *node) error {
		items := []*node{n}
		if n.kind != aString {
			if err := n.is(anArray, `["..."]`); err != nil {
				return err
			}
			items = n.items
		}
		for _, item := range items {
			s, err := item.string()
			if err != nil {
				return err
			}
			if slices.ContainsFunc(*to, func(e entry) bool { return e.text == s }) {
				return item.fail("keep one of the two", "%q is there twice", s)
			}
			*to = append(*to, entry{item.place, s})
		}
		return nil
	}
}

// command reads a command: an array of strings, or a string that is split into
// words as split says.
func command(to *[]string) func(*node) error {
	return func(n *node) error {
		words := []string{}
		if n.kind == aString {
			s, err := n.string()
			if err != nil {
				return err
			}
			if words, err = split(s); err != nil {
				return n.fail(`close it, or write an array, as ["./server", "--flag"]`, "%v", err)
			}
		} else if err := n.is(anArray, `["./server"]`); err != nil {
			return err
		}
		for _, item := range n.items {
			if err := item.is(aString, item.quoted()); err != nil {
				return err
			}
			s, err := item.clean() // an argument may be empty
			if err != nil {
				return err
			}
			words = append(words, s)
		}
		if len(words) == 0 || words[0] == "" {
			return n.fail(fmt.Sprintf(`write %s = ["./server"]`, n.name), "names no command")
		}
		*to = words
		return nil
	}
}

// split cuts a string into words at blanks. Between single quotes everything
// is literal; between double quotes a backslash makes a following quote or
// backslash literal; elsewhere it makes any character literal. Nothing is
// expanded: a dollar sign, a star, a pipe are themselves.
func split(s string) ([]string, error) {
	var words []string
	var word []rune
	inWord, quote, escaped := false, rune(0), false
	for _, r := range s {
		switch {
		case escaped:
			if quote == '"' && r != '"' && r != '\\' {
				word = append(word, '\\')
			}
			word, escaped = append(word, r), false
		case r == '\\' && quote != '\'':
			inWord, escaped = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word = append(word, r)
		case r == '\'' || r == '"':
			inWord, quote = true, r
		case r == ' ' || r == '\t' || r == '\n' || r == '\r':
			if inWord {
				words = append(words, string(word))
			}
			word, inWord = nil, false
		default:
			inWord = true
			word = append(word, r)
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("has no closing %c", quote)
	}
	if escaped {
		return nil, fmt.Errorf("ends with a backslash")
	}
	if inWord {
		words = append(words, string(word))
	}
	return words, nil
}

// stopSignal reads the name of a signal, with SIG or without, in any case.
func stopSignal(to *syscall.Signal) func(*node) error {
	return func(n *node) error {
		if err := n.is(aString, `"TERM"`); err != nil {
			return err
		}
		s, err := n.string()
		if err != nil {
			return err
		}
		sig, problem, remedy := parseSignal(s)
		if problem != "" {
			return n.fail(remedy, "%s", problem)
		}
		*to = sig
		return nil
	}
}

func parseSignal(s string) (sig syscall.Signal, problem, remedy string) {
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	sig = unix.SignalNum("SIG" + name)
	switch sig {
	case 0:
		return 0, fmt.Sprintf("unknown signal %q", s),
			did(name, []string{"TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "WINCH", "ABRT", "CONT"})
	case syscall.SIGKILL, syscall.SIGSTOP:
		return 0, fmt.Sprintf("SIG%s cannot be caught: no program can end its work on it", name),
			`write "TERM"; what has not ended by drain_timeout is killed anyway`
	}
	return sig, "", ""
}

// fileMode reads permissions, in octal.
func fileMode(to *os.FileMode) func(*node) error {
	return func(n *node) error {
		if err := n.is(aString, `"0660"`); err != nil {
			return err
		}
		s, err := n.string()
		if err != nil {
			return err
		}
		m, err := strconv.ParseUint(s, 8, 32)
		if err != nil || m == 0 || m > 0o777 {
			return n.fail(`write it as "0660"`, "%q is no mode", s)
		}
		*to = os.FileMode(m)
		return nil
	}
}

// choice reads one of a few words.
func choice[T ~string](to *T, of ...T) func(*node) error {
	return func(n *node) error {
		s, err := n.string()
		if err != nil {
			return err
		}
		if !slices.Contains(of, T(s)) {
			known := make([]string, len(of))
			for i, o := range of {
				known[i] = string(o)
			}
			return n.fail(did(s, known), "cannot be %q", s)
		}
		*to = T(s)
		return nil
	}
}
