"""Makes a running process open a descriptor that nothing closes: `python -m soak.plant PID`.

It stops the process's first thread, lets it execute one dup(2), and puts its registers back. So the program under test
needs no code for this. x86-64 only.
"""

import ctypes
import os
import sys
import time

PEEKTEXT, SINGLESTEP, GETREGS, SETREGS, ATTACH, DETACH = 1, 9, 12, 13, 16, 17
WALL = 0x40000000
SYSCALL = 0x050F  # the instruction's two bytes
DUP = 32
NO_CALL = 2**64 - 1
STANDARD_ERROR = 2


class Registers(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_ulonglong)
        for name in ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs").split()
    ]


libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request: int, pid: int, address=None, data=None) -> int:
    ctypes.set_errno(0)
    result = libc.ptrace(request, pid, address, data)
    if result == -1 and ctypes.get_errno():
        raise OSError(ctypes.get_errno(), f"ptrace({request}): {os.strerror(ctypes.get_errno())}")
    return result


def try_to_leak(pid: int) -> int | None:
    """None if the thread does not wait in a system call just now."""
    ptrace(ATTACH, pid)
    os.waitpid(pid, WALL)
    before, during = Registers(), Registers()
    try:
        ptrace(GETREGS, pid, None, ctypes.addressof(before))
        # The instruction that it waits in is used again: code must not change under the other threads.
        if ptrace(PEEKTEXT, pid, before.rip - 2) & 0xFFFF != SYSCALL or before.orig_rax == NO_CALL:
            return None
        ctypes.memmove(ctypes.addressof(during), ctypes.addressof(before), ctypes.sizeof(before))
        during.rip, during.rax, during.rdi = before.rip - 2, DUP, STANDARD_ERROR
        during.orig_rax = NO_CALL  # or the kernel would set the instruction pointer back, to repeat the interrupted call
        ptrace(SETREGS, pid, None, ctypes.addressof(during))
        ptrace(SINGLESTEP, pid)
        os.waitpid(pid, WALL)
        ptrace(GETREGS, pid, None, ctypes.addressof(during))
        ptrace(SETREGS, pid, None, ctypes.addressof(before))
        return ctypes.c_longlong(during.rax).value
    finally:
        ptrace(DETACH, pid)


def leak_a_descriptor(pid: int) -> int:
    while (made := try_to_leak(pid)) is None:
        time.sleep(0.01)
    return made


if __name__ == "__main__":
    made = leak_a_descriptor(int(sys.argv[1]))
    if made < 0:
        sys.exit(f"dup: {os.strerror(-made)}")
    print(made)
