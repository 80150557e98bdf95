package sock

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// What the kernel writes of an address is read back, and nothing else panics.
func FuzzTableAddress(f *testing.F) {
	for _, s := range []string{"0100007F:1F90", "00000000:0000", "0000000000000000FFFF00000100007F:0050", "", ":", "0100007F", "01:1", "0100007F:10000", "zz:1", "010000:1"} {
		f.Add(s, []byte{127, 0, 0, 1}, uint16(80))
	}
	f.Fuzz(func(t *testing.T, s string, ip []byte, port uint16) {
		if at, ok := tableAddress(s); ok && (!at.Addr().IsValid() || at.Addr().Is4In6()) {
			t.Fatalf("%q is %v", s, at)
		}
		addr, ok := netip.AddrFromSlice(ip)
		if !ok {
			return
		}
		var b strings.Builder
		for i := 0; i < len(ip); i += 4 {
			fmt.Fprintf(&b, "%08X", binary.NativeEndian.Uint32(ip[i:]))
		}
		want := netip.AddrPortFrom(addr.Unmap(), port)
		if at, ok := tableAddress(fmt.Sprintf("%s:%04X", &b, port)); !ok || at != want {
			t.Fatalf("%v is written %s:%04X and read %v, %v", want, &b, port, at, ok)
		}
	})
}

// What the kernel writes of a system call is read back, and nothing else
// panics.
func FuzzParseSyscall(f *testing.F) {
	for _, s := range []string{"running\n", "-1 0x7ffc 0x7f\n", "43 0x3 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x7f\n", "288", "", "43 0xffffffff", "43 -1", "43 0xffffffffffffffffff"} {
		f.Add(s, uint16(43), uint32(3))
	}
	f.Fuzz(func(t *testing.T, s string, number uint16, arg uint32) {
		_, _, _ = parseSyscall(s)
		call, first, ok := parseSyscall(fmt.Sprintf("%d %#x 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x7f\n", number, arg))
		if !ok || call != int(number) || first != int(int32(arg)) {
			t.Fatalf("call %d of %#x is read as %d of %d, %v", number, arg, call, first, ok)
		}
	})
}
