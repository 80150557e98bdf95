package proc

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// explain adds what the kernel leaves out of an error of exec: that not the file
// is missing but what it needs to run, and what is wrong with its format. It
// reads the file only then, and never refuses one beforehand: what a kernel can
// execute besides (binfmt_misc) is its own affair.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%w; it is no program for this machine, and no script, since its first line does not begin with #!", err)
	case !errors.Is(err, syscall.ENOENT):
		return err
	}
	f, e := os.Open(path)
	if e != nil {
		return err
	}
	defer f.Close()
	first, _ := bufio.NewReaderSize(f, 256).ReadSlice('\n') // as much as the kernel looks at; an empty file is no script
	line, script := strings.CutPrefix(strings.TrimSuffix(string(first), "\n"), "#!")
	if !script {
		return fmt.Errorf("%w; the file is there, but not its dynamic loader: build it for this system, or statically (CGO_ENABLED=0)", err)
	}
	interpreter, _, _ := strings.Cut(strings.Trim(line, " \t"), " ")
	return fmt.Errorf("%w; the file is there, but not %q, which its first line names: install that, or correct the line", err, interpreter)
}
