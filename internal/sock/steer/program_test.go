package steer

import (
	"encoding/binary"
	"fmt"
	"testing"

	"golang.org/x/net/bpf"
)

// The virtual machine has no random numbers: they come in the packet.
func fromPacket() bpf.Instruction { return bpf.LoadAbsolute{Off: 0, Size: 4} }

// Every number leads to one of the indexes, and all indexes get equally many.
func TestProgramDividesEvenly(t *testing.T) {
	for _, to := range [][]int{{0}, {7}, {0, 1}, {3, 1}, {0, 2, 5}, count(8), count(64), count(maxTargets)} {
		t.Run(fmt.Sprintf("%d from %d", len(to), to[0]), func(t *testing.T) {
			instructions := program(fromPacket(), to)
			if len(instructions) > 4096 {
				t.Fatalf("%d instructions, the kernel takes 4096", len(instructions))
			}
			vm, err := bpf.NewVM(instructions)
			if err != nil {
				t.Fatal(err)
			}
			const each = 25
			got := make(map[int]int)
			packet := make([]byte, 4)
			for i := range each * len(to) {
				binary.BigEndian.PutUint32(packet, uint32(i)*uint32(len(to)+1)) // numbers from all over the range
				index, err := vm.Run(packet)
				if err != nil {
					t.Fatal(err)
				}
				got[index]++
			}
			for _, index := range to {
				if got[index] != each {
					t.Errorf("index %d was chosen %d times of %d, want %d", index, got[index], each*len(to), each)
				}
			}
			if len(got) != len(to) {
				t.Errorf("%d indexes were chosen, there are %d", len(got), len(to))
			}
		})
	}
}

// The greatest number leads to an index too.
func TestProgramTakesAnyNumber(t *testing.T) {
	vm, err := bpf.NewVM(program(fromPacket(), []int{4, 5, 6}))
	if err != nil {
		t.Fatal(err)
	}
	for _, number := range []uint32{1<<32 - 1, 1 << 31, 1<<31 - 1} {
		index, err := vm.Run(binary.BigEndian.AppendUint32(nil, number))
		if want := 4 + int(number%3); err != nil || index != want {
			t.Errorf("%d leads to %d, %v; want %d", number, index, err, want)
		}
	}
}

func count(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
