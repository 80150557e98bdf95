package gate

import "syscall"

// dieWithUs has the kernel kill a child when the thread that forks it ends.
func dieWithUs(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
