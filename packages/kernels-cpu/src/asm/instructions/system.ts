/**
 * Control flow, processor state, caches and string instructions (Intel SDM volume 2).
 *
 * vzeroupper clears the upper halves of ymm0..15 and zmm0..15; its row leaves that out because the low
 * halves survive, and it stands where no wide value is live.
 */
export const systemRows = [
  // control flow
  ["jmp", "rel8", "EB cb", "base"],
  ["jmp", "rel32", "E9 cd", "base"],
  ["jmp", "r r/m64", "FF /4", "base"],
  ["call", "rel32", "E8 cd", "base"],
  ["call", "r r/m64", "FF /2", "base"],
  ["ret", "rw <rsp>, r <mem>", "C3", "base"],
  ["leave", "w <rsp>, rw <rbp>, r <mem>", "C9", "base"],
  [
    "syscall",
    "rw <rax>, r <rdi>, r <rsi>, r <rdx>, r <r10>, r <r8>, r <r9>, w <rcx>, w <r11>, rw <mem>",
    "0F 05",
    "base",
    "wf",
  ],
  ["ud2", "", "0F 0B", "base"],
  ["int3", "", "CC", "base"],
  ["endbr64", "", "F3 0F 1E FA", "base"],
  ["nop", "", "90", "base"],
  ["nop", "a r/m16", "66 0F 1F /0", "base"],
  ["nop", "a r/m32", "0F 1F /0", "base"],
  ["pause", "", "F3 90", "base"],
  // processor state
  ["cpuid", "rw <eax>, rw <ecx>, w <ebx>, w <edx>", "0F A2", "base"],
  ["xgetbv", "r <ecx>, w <eax>, w <edx>", "0F 01 D0", "xsave"],
  ["rdtsc", "w <eax>, w <edx>", "0F 31", "base"],
  ["rdtscp", "w <eax>, w <edx>, w <ecx>", "0F 01 F9", "rdtscp"],
  ["ldmxcsr", "r m32", "0F AE /2", "sse"],
  ["stmxcsr", "w m32", "0F AE /3", "sse"],
  ["vldmxcsr", "r m32", "VEX.LZ.NP.0F.WIG AE /2", "avx"],
  ["vstmxcsr", "w m32", "VEX.LZ.NP.0F.WIG AE /3", "avx"],
  ["vzeroupper", "", "VEX.128.NP.0F.WIG 77", "avx"],
  ["vzeroall", "", "VEX.256.NP.0F.WIG 77", "avx"],
  ["cld", "", "FC", "base", "wf"],
  // memory order and caches
  ["mfence", "rw <mem>", "0F AE F0", "base"],
  ["lfence", "rw <mem>", "0F AE E8", "base"],
  ["sfence", "rw <mem>", "0F AE F8", "base"],
  ["prefetchnta", "a m8", "0F 18 /0", "sse"],
  ["prefetcht0", "a m8", "0F 18 /1", "sse"],
  ["prefetcht1", "a m8", "0F 18 /2", "sse"],
  ["prefetcht2", "a m8", "0F 18 /3", "sse"],
  ["prefetchw", "a m8", "0F 0D /1", "prfchw"],
  ["clflush", "rw m8", "0F AE /7", "clfsh"],
  ["clflushopt", "rw m8", "66 0F AE /7", "clflushopt"],
  ["clwb", "rw m8", "66 0F AE /6", "clwb"],
  ["cldemote", "a m8", "0F 1C /0", "cldemote"],
  ["movnti", "w m32, r r32", "0F C3 /r", "base"],
  ["movnti", "w m64, r r64", "REX.W 0F C3 /r", "base"],
  // strings
  ["rep movsb", "rw <rdi>, rw <rsi>, rw <rcx>, rw <mem>", "F3 A4", "base"],
  ["rep movsq", "rw <rdi>, rw <rsi>, rw <rcx>, rw <mem>", "F3 REX.W A5", "base"],
  ["rep stosb", "rw <rdi>, rw <rcx>, r <al>, w <mem>", "F3 AA", "base"],
  ["rep stosd", "rw <rdi>, rw <rcx>, r <eax>, w <mem>", "F3 AB", "base"],
  ["rep stosq", "rw <rdi>, rw <rcx>, r <rax>, w <mem>", "F3 REX.W AB", "base"],
] as const;
