package steer

import "golang.org/x/net/bpf"

// random is the kernel's generator. The alternative, a hash of the packet,
// would send all connections of a proxy with few ports to the same few sockets.
func random() bpf.Instruction { return bpf.LoadExtension{Num: bpf.ExtRand} }

// program returns the instructions that choose one of the indexes to, all of
// them equally often as far as number, the instruction that loads one, gives
// all numbers equally often. There must be at least one index and at most
// maxTargets.
func program(number bpf.Instruction, to []int) []bpf.Instruction {
	last := len(to) - 1
	if last == 0 {
		return []bpf.Instruction{bpf.RetConstant{Val: uint32(to[0])}}
	}
	out := []bpf.Instruction{number, bpf.ALUOpConstant{Op: bpf.ALUOpMod, Val: uint32(len(to))}}
	for i, index := range to[:last] {
		out = append(out, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(i), SkipFalse: 1}, bpf.RetConstant{Val: uint32(index)})
	}
	return append(out, bpf.RetConstant{Val: uint32(to[last])})
}

// maxTargets is as many as fit into the kernel's 4096 instructions.
const maxTargets = 2000
