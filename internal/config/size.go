package config

import (
	"math"
	"strconv"
	"strings"
)

// size reads an amount of memory, "512MiB". Powers of two and of ten differ by
// seven percent at a GB, so that a bare "G" is not taken for either.
func size(to *int64) func(*node) error {
	return func(n *node) error {
		if err := n.is(aString, `"512MiB"`); err != nil {
			return err
		}
		digits := strings.TrimRight(n.text, "kKMGTiB")
		unit := strings.TrimPrefix(n.text, digits)
		factor, known := map[string]float64{
			"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
			"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
		}[unit]
		number, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || !known || number < 0 || number*factor > math.MaxInt64/2 {
			return n.fail(`write it as "512MiB" or "1.5GB"`, "%q is not an amount of memory", n.text)
		}
		*to = int64(number * factor)
		return nil
	}
}
