package gate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// fileKind looks at a path. As a probe go means that something is there. As a
// gate it means that nothing is, or an empty file or directory: a directory
// with one file for each lock is the simplest set of locks there is.
func fileKind() Kind {
	return Kind{
		Name: "file", Gate: true, Probe: true,
		Check: func(s Spec) error {
			if s.Target == "" {
				return errors.New(`must be a path, as "/run/app/ready"`)
			}
			return nil
		},
		Open: func(s Spec) (Question, error) { return fileQuestion{s.Target, s.Gate}, nil },
	}
}

type fileQuestion struct {
	path string
	gate bool
}

func (q fileQuestion) Ask(context.Context) (string, error) {
	info, err := os.Stat(q.path)
	absent := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !absent:
		return "", fmt.Errorf("look at file: %w", err)
	case !q.gate && absent:
		return q.path + " is not there", nil
	case !q.gate || absent:
		return "", nil
	case info.IsDir():
		return q.members()
	case info.Mode().IsRegular() && info.Size() == 0:
		return "", nil
	}
	return q.path + " is there", nil
}

func (q fileQuestion) members() (string, error) {
	entries, err := os.ReadDir(q.path)
	if err != nil {
		return "", fmt.Errorf("read directory: %w", err)
	}
	if len(entries) == 0 {
		return "", nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return Members(q.path, names, int64(len(entries))), nil
}

func (fileQuestion) Close() error { return nil }

// Members says what a collection that is not empty still holds, naming three
// of its members at the most: "locks:web.2: a, b (2 in all)". Names may be
// fewer than all, or none.
func Members(collection string, names []string, all int64) string {
	const most = 3
	if len(names) == 0 {
		return fmt.Sprintf("%s: %d in all", collection, all)
	}
	shown := names
	more := ""
	if len(shown) > most {
		shown, more = shown[:most], ", ..."
	}
	return fmt.Sprintf("%s: %s%s (%d in all)", collection, strings.Join(shown, ", "), more, all)
}
