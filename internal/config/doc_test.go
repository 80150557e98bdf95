package config

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// manual returns docs/configuration.md.
func manual(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestManualHasEveryKey compares the tables of the manual with those of the
// parser, in both directions.
func TestManualHasEveryKey(t *testing.T) {
	d := (&loader{kinds: kinds()}).newDraft("", place{})
	questions := map[string]bool{}
	for name, kind := range d.all.kinds {
		q := question{kind: kind}
		q.spec.Kind = name
		for _, k := range q.keys() {
			questions[k.name] = true
		}
	}
	known := map[string][]string{
		"Keys at the top":        names(d.all.keys()),
		"Keys of [listen]":       names((&listenerTable{}).keys()),
		"Keys of [program.NAME]": names(d.keys()),
		"Keys of ready":          signs(),
		"Keys of ready and gate": slices.Collect(maps.Keys(questions)),
	}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
	sections := strings.Split(manual(t), "\n## ")
	for title, keys := range known {
		i := slices.IndexFunc(sections, func(s string) bool { return strings.HasPrefix(s, title+"\n") })
		if i < 0 {
			t.Errorf("no section %q", title)
			continue
		}
		var told []string
		for _, match := range row.FindAllStringSubmatch(sections[i], -1) {
			told = append(told, match[1])
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(keys)), slices.Sorted(slices.Values(told))); diff != "" {
			t.Errorf("%s (-parser +manual)\n%s", title, diff)
		}
	}
}

// sample is the example of the manual.
func sample(t testing.TB) string {
	t.Helper()
	_, rest, _ := strings.Cut(manual(t), "```toml\n")
	text, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the manual has no example")
	}
	return text
}

func TestManualsExampleIsRight(t *testing.T) {
	text := sample(t)
	yard(t)
	c, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Programs) != 2 || len(c.Listeners) != 2 || len(c.Programs[1].Gates) != 1 {
		t.Errorf("%+v", c)
	}
}

// The messages the manual shows are those that come.
func TestManualsMessagesAreRight(t *testing.T) {
	text := manual(t)
	yard(t)
	for _, file := range []string{
		strings.Repeat("\n", 9) + "[program.web]\n\nwokers = 4\n",
		strings.Repeat("\n", 12) + "[program.web]\ndrain_timeout = 300\n",
		strings.Repeat("\n", 7) + "[program.web]\ncommand = ['./siege']\n",
	} {
		if _, err := load(t, file); err == nil || !strings.Contains(text, "\n"+err.Error()+"\n") {
			t.Errorf("%v", err)
		}
	}
}
