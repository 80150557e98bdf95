//go:build !linux

package supervisor

import "github.com/lastcall/lastcall/internal/pool"

// openNotify: there is no notify socket where there is no systemd.
func openNotify(pool.ID) (source, string, error) { return nil, "", nil }
