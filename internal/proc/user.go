package proc

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// sameUser is what lookup returns for the caller's own user.
const sameUser = "-"

// lookup resolves the User of a Spec to "uid:gid:group,group,...", in numbers.
// This is the caller's part, since the user database may be slow and its
// errors belong to Start; become is the shim's, since the executable need not
// be readable to the user.
func lookup(name string) (string, error) {
	if name == "" {
		return sameUser, nil
	}
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("run as user %s: only root can", name)
	}
	if uid, gid, ok := strings.Cut(name, ":"); ok {
		if !isID(uid) || !isID(gid) {
			return "", fmt.Errorf("run as user %s: not of the form uid:gid", name)
		}
		return uid + ":" + gid + ":" + gid, nil
	}
	find := user.Lookup
	if isID(name) {
		find = user.LookupId
	}
	u, err := find(name)
	if err != nil {
		return "", fmt.Errorf("run as user %s: %w", name, err)
	}
	groups, err := u.GroupIds()
	if err != nil {
		return "", fmt.Errorf("run as user %s: list groups: %w", name, err)
	}
	return u.Uid + ":" + u.Gid + ":" + strings.Join(groups, ","), nil
}

// UserID returns the number of the User of a Spec, for "" that of this process.
func UserID(name string) (int, error) {
	who, err := lookup(name)
	if err != nil {
		return 0, err
	}
	if who == sameUser {
		return os.Geteuid(), nil
	}
	id, _, _ := strings.Cut(who, ":")
	return strconv.Atoi(id)
}

// isID reports whether s is a user or group number. 2^32-1 is none: to the
// kernel it means "leave as it is".
func isID(s string) bool {
	n, err := strconv.ParseUint(s, 10, 32)
	return err == nil && n != 1<<32-1
}

// become changes this process, all threads, to what lookup returned.
func become(who string) error {
	if who == sameUser {
		return nil
	}
	parts := strings.Split(who, ":")
	if len(parts) != 3 {
		return fmt.Errorf("parse %s: %q is no user", orderVariable, who)
	}
	var groups []int
	for g := range strings.SplitSeq(parts[2], ",") {
		n, err := strconv.Atoi(g)
		if err != nil {
			return fmt.Errorf("parse %s: %q is no group", orderVariable, g)
		}
		groups = append(groups, n)
	}
	uid, err := strconv.Atoi(parts[0])
	if err != nil {
		return fmt.Errorf("parse %s: %q is no user", orderVariable, parts[0])
	}
	gid, err := strconv.Atoi(parts[1])
	if err != nil {
		return fmt.Errorf("parse %s: %q is no group", orderVariable, parts[1])
	}
	// The user last: it takes the right to do the others.
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("set groups %s: %w", parts[2], err)
	}
	if err := syscall.Setgid(gid); err != nil {
		return fmt.Errorf("set group %d: %w", gid, err)
	}
	if err := syscall.Setuid(uid); err != nil {
		return fmt.Errorf("set user %d: %w", uid, err)
	}
	return nil
}
