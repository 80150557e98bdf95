package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lastcall/lastcall/internal/supervisor"
)

// Wrappers returns, one line each, the programs with listeners whose command is
// known to start the server as a child: most servers then ignore the sockets,
// since LISTEN_PID names another process. It says what to write instead.
func Wrappers(c supervisor.Config) []string {
	var out []string
	for _, p := range c.Programs {
		if len(p.Listen) > 0 && !byNumber(p) && supervisor.Wraps(p.Command, p.Dir) {
			out = append(out, fmt.Sprintf("program.%s.command: %s stays in front of the server that it starts, which is then not the process that LISTEN_PID names, and ignores the sockets; %s",
				p.Name, filepath.Base(p.Command[0]), instead(p)))
		}
	}
	return out
}

// byNumber tells whether the program is told the numbers of its sockets: then it
// does not matter who finds them.
func byNumber(p supervisor.Program) bool {
	return slices.ContainsFunc(slices.Concat(p.Command, p.Env), func(s string) bool { return strings.Contains(s, "{fd:") })
}

// instead is the remedy.
func instead(p supervisor.Program) string {
	switch name := filepath.Base(p.Command[0]); name {
	case "npm", "yarn", "yarnpkg", "pnpm":
		return ofPackage(p)
	case "npx", "pnpx", "bunx":
		for i, arg := range p.Command[1:] {
			if !strings.HasPrefix(arg, "-") {
				return commandOf(slices.Concat([]string{"./node_modules/.bin/" + arg}, p.Command[i+2:]))
			}
		}
	case "sudo", "su", "runuser":
		return "write the server itself, and user"
	case "tini", "dumb-init":
		return "write the server itself: lastcall reaps orphans and passes signals on"
	case "timeout", "nodemon", "tsx", "cross-env", "script", "strace", "make", "foreman", "honcho":
	default:
		return "write exec before the server in its script, or the server itself"
	}
	return "write the server itself"
}

func commandOf(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = fmt.Sprintf("%q", arg)
	}
	return "write command = [" + strings.Join(quoted, ", ") + "]"
}

// ofPackage looks up what the script of a package.json runs, as it would be
// written in a command; where that needs a shell it says where it stands.
func ofPackage(p supervisor.Program) string {
	name := "start"
	words := slices.DeleteFunc(slices.Clone(p.Command[1:]), func(s string) bool { return strings.HasPrefix(s, "-") || s == "run" || s == "run-script" })
	if len(words) > 0 {
		name = words[0]
	}
	file := inPlace(p.Dir, "package.json")
	general := fmt.Sprintf("write what script %q of %s runs, without a shell", name, file)
	data, err := os.ReadFile(file)
	var said struct{ Scripts map[string]string }
	if err != nil || json.Unmarshal(data, &said) != nil {
		return general
	}
	script := said.Scripts[name]
	args, err := split(script)
	if err != nil || len(args) == 0 || strings.ContainsAny(script, "$&|;<>*?(){}`\n") || strings.Contains(args[0], "=") {
		return general
	}
	if local := "./node_modules/.bin/" + args[0]; notExecutable(inPlace(p.Dir, local)) == nil {
		args[0] = local
	}
	return commandOf(args)
}
