package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxFile is far above any configuration, and far below what a device or a log
// named by mistake would fill the memory with.
const maxFile = 1 << 20

// The kinds of a node, in the words of errors about it.
const (
	aString  = "a string"
	aNumber  = "a number"
	aFloat   = "a number with a fraction"
	aBoolean = "true or false"
	aDate    = "a date"
	anArray  = "an array"
	aTable   = "a table"
)

// A node is one value of a document and where it stands. The library's own
// decoding into structs gives a position for unknown keys only; half of what
// can be wrong here is wrong in meaning.
type node struct {
	place
	name    string // its key, without the tables it is in
	kind    string
	text    string  // a string's value; a number or boolean as written
	items   []*node // of a table or array, in the order of the file
	defined bool    // a table: it had a header of its own
}

func (n *node) get(name string) *node {
	for _, c := range n.items {
		if c.name == name {
			return c
		}
	}
	return nil
}

// readFile reads path, or says in one line why it cannot.
func readFile(path string) ([]byte, error) {
	at := place{file: path}
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(at, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, unreadable(at, err)
	}
	if len(data) > maxFile {
		return nil, at.fail("give -f the right file", "has more than %d bytes, this is no configuration", maxFile)
	}
	return data, nil
}

func unreadable(at place, err error) *Error {
	if errors.Is(err, fs.ErrNotExist) {
		return at.fail("give -f FILE or -- COMMAND", "no such file")
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return at.fail("check its type and permissions, or give another with -f", "cannot be read: %v", err)
}

// A builder makes the tree of a document from the library's expressions.
type builder struct {
	file   string
	data   []byte
	parser unstable.Parser
	root   *node
	offset int // up to which lines are counted: positions come nearly in order
	line   int
	start  int // of that line
}

// parse returns the root table of a document. Nothing but its syntax, and that
// no name is defined twice, has been checked.
func parse(file string, data []byte) (*node, error) {
	b := &builder{file: file, data: data, root: &node{place: place{file: file}, kind: aTable}, line: 1}
	b.parser.Reset(data)
	table := b.root
	for b.parser.NextExpression() {
		var err error
		switch e := b.parser.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table, err = b.header(e)
		case unstable.KeyValue:
			err = b.keyValue(table, e)
		}
		if err != nil {
			return nil, err
		}
	}
	// The expressions are checked one by one only; this also finds what is
	// wrong between them, and in the values.
	var all map[string]any
	if err := toml.Unmarshal(data, &all); err != nil {
		return nil, b.syntax(err)
	}
	return b.root, nil
}

// syntax words the library's error about the document.
func (b *builder) syntax(err error) *Error {
	at := place{file: b.file}
	d, ok := errors.AsType[*toml.DecodeError](err)
	if !ok {
		return at.fail("", "is not valid TOML: %v", err)
	}
	at.line, at.column = d.Position()
	return at.fail(b.remedy(at), "not valid TOML: %s", strings.TrimPrefix(d.Error(), "toml: "))
}

// remedy guesses the commonest mistake, text without quotes. It does not show
// the line: there may be a password in it.
func (b *builder) remedy(at place) string {
	lines := strings.Split(string(b.data), "\n")
	if at.line <= len(lines) && at.column >= 1 && at.column <= len(lines[at.line-1]) {
		line := lines[at.line-1]
		before := strings.TrimRight(line[:at.column-1], " \t")
		if strings.HasSuffix(before, "=") && letter(rune(line[at.column-1])) {
			return "write text in quotes"
		}
	}
	return fmt.Sprintf("look at column %d", at.column)
}

// at returns the place of a range of the document, under a table.
func (b *builder) at(parent *node, name string, r unstable.Range) place {
	offset := int(r.Offset)
	if offset < b.offset {
		b.offset, b.line, b.start = 0, 1, 0
	}
	for ; b.offset < offset; b.offset++ {
		if b.data[b.offset] == '\n' {
			b.line, b.start = b.line+1, b.offset+1
		}
	}
	key := name
	if !bare(name) {
		key = strconv.Quote(name)
	}
	if parent.key != "" {
		key = parent.key + "." + key
	}
	return place{file: b.file, line: b.line, column: offset - b.start + 1, key: key}
}

// bare says whether a key needs no quotes in TOML.
func bare(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool { return !letter(r) }) < 0
}

func letter(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}

// header takes a [table] or [[table]] and returns the node that what follows
// it belongs to.
func (b *builder) header(e *unstable.Node) (*node, error) {
	at, last, err := b.walk(b.root, e.Key())
	if err != nil {
		return nil, err
	}
	name := string(last.Data)
	here := b.at(at, name, last.Raw)
	n := at.get(name)
	if e.Kind == unstable.ArrayTable {
		if n == nil {
			n = &node{place: here, name: name, kind: anArray}
			at.items = append(at.items, n)
		}
		here.key = fmt.Sprintf("%s[%d]", here.key, len(n.items))
		item := &node{place: here, kind: aTable}
		n.items = append(n.items, item)
		return item, nil
	}
	if n != nil && (n.kind != aTable || n.defined) {
		return nil, twice(here, n)
	}
	if n == nil {
		n = &node{name: name, kind: aTable}
		at.items = append(at.items, n)
	}
	n.place, n.defined = here, true
	return n, nil
}

// walk follows all parts of a key but the last, making the tables that are not
// there yet, and returns the table it comes to and the last part.
func (b *builder) walk(from *node, key unstable.Iterator) (*node, *unstable.Node, error) {
	at := from
	key.Next()
	for !key.IsLast() {
		part := key.Node()
		name := string(part.Data)
		next := at.get(name)
		switch {
		case next == nil:
			next = &node{place: b.at(at, name, part.Raw), name: name, kind: aTable}
			at.items = append(at.items, next)
		case next.kind == anArray && len(next.items) > 0 && next.items[len(next.items)-1].kind == aTable:
			next = next.items[len(next.items)-1]
		case next.kind != aTable:
			return nil, nil, twice(b.at(at, name, part.Raw), next)
		}
		at = next
		key.Next()
	}
	return at, key.Node(), nil
}

func twice(at place, first *node) *Error {
	return at.fail("keep one of the two", "is defined twice, first in line %d", first.line)
}

func (b *builder) keyValue(table *node, e *unstable.Node) error {
	at, last, err := b.walk(table, e.Key())
	if err != nil {
		return err
	}
	name := string(last.Data)
	here := b.at(at, name, last.Raw)
	if first := at.get(name); first != nil {
		return twice(here, first)
	}
	n := &node{place: here, name: name}
	at.items = append(at.items, n)
	return b.value(n, e.Value())
}

// value fills n, whose place is known, from v.
func (b *builder) value(n *node, v *unstable.Node) error {
	n.text = string(v.Data)
	switch v.Kind {
	case unstable.String:
		n.kind = aString
	case unstable.Integer:
		n.kind = aNumber
	case unstable.Float:
		n.kind = aFloat
	case unstable.Bool:
		n.kind = aBoolean
	case unstable.Array:
		n.kind = anArray
		for it := v.Children(); it.Next(); {
			item := &node{place: n.place}
			if raw := it.Node().Raw; raw.Length > 0 {
				item.place = b.at(n, "", raw)
			}
			item.key = fmt.Sprintf("%s[%d]", n.key, len(n.items))
			n.items = append(n.items, item)
			if err := b.value(item, it.Node()); err != nil {
				return err
			}
		}
	case unstable.InlineTable:
		n.kind, n.defined = aTable, true
		for it := v.Children(); it.Next(); {
			if err := b.keyValue(n, it.Node()); err != nil {
				return err
			}
		}
	default:
		n.kind = aDate
	}
	return nil
}
