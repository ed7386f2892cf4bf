# A program of 32 bits, without any library: it waits for a signal, again and again (pause, 29 in asm/unistd_32.h).
.globl _start
_start:
	movl $29, %eax
	int $0x80
	jmp _start
