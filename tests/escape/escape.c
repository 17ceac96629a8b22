/*
 * Machine code planted in an artifact tries every way out of if-sandbox. INV-08
 *
 * The artifact's MAC is the daemon's business; here the worker is handed a patched artifact, as if compiler, cache and key had all failed. The planted
 * code makes one system call and writes what came back to fd 1, then ends the process with 42. Behind the walls nothing comes
 * back: the kernel ends the process with SIGSYS. Without them (if-sandbox-unsealed) the same bytes report: the control. With some of them
 * (if-sandbox-lacking) each other wall is seen to stop what comes past the list of system calls.
 * x86-64 only; elsewhere the suite says that it was skipped.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sandbox.h"

#include <elf.h>
#include <grp.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>

#if defined(__x86_64__)

/*
 * params: 0 number · 8…48 six arguments · 56 which of them are offsets into params (bit 0: the first) · 64 which are offsets into a page of the
 * stack · 72 which are the page of this code · 80 way in: enum way · 96 text
 */
__asm__(".pushsection .rodata\n"
        ".globl planted_start, planted_params, planted_end\n"
        "planted_start:\n"
        "  sub $0x3000, %rsp\n"
        "  mov %rsp, %r14\n"
        "  and $-4096, %r14\n"
        "  mov %r14, %rdi\n" /* a page of zeros: what a call reads from the stack is the same every time */
        "  mov $4096, %ecx\n"
        "  xor %eax, %eax\n"
        "  rep stosb\n"
        "  lea planted_params(%rip), %r13\n"
        "  lea planted_start(%rip), %r15\n"
        "  and $-4096, %r15\n"
        "  lea 8(%r13), %r12\n"   /* the arguments, copied to the stack with what they are relative to */
        "  xor %ecx, %ecx\n"
        "1: mov (%r12,%rcx,8), %rax\n"
        "  bt %ecx, 56(%r13)\n"
        "  jnc 2f\n"
        "  add %r13, %rax\n"
        "2: bt %ecx, 64(%r13)\n"
        "  jnc 3f\n"
        "  add %r14, %rax\n"
        "3: bt %ecx, 72(%r13)\n"
        "  jnc 4f\n"
        "  add %r15, %rax\n"
        "4: mov %rax, -64(%r14,%rcx,8)\n"
        "  inc %ecx\n"
        "  cmp $6, %ecx\n"
        "  jne 1b\n"
        "  mov 0(%r13), %rax\n"
        "  cmpl $1, 80(%r13)\n"
        "  je 6f\n"
        "  mov -64(%r14), %rdi\n"
        "  mov -56(%r14), %rsi\n"
        "  mov -48(%r14), %rdx\n"
        "  mov -40(%r14), %r10\n"
        "  mov -32(%r14), %r8\n"
        "  mov -24(%r14), %r9\n"
        "  cmpl $3, 80(%r13)\n"
        "  je 5f\n"
        "  ja 8f\n"
        "  cmpl $2, 80(%r13)\n"
        "  je 7f\n"
        "  syscall\n"
        "  jmp 7f\n"
        "5: mov %rsi, %rbx\n" /* on a TCP socket of its own */
        "  mov %rdx, %rbp\n"
        "  mov $41, %eax\n"
        "  mov $2, %edi\n"
        "  mov $1, %esi\n"
        "  xor %edx, %edx\n"
        "  syscall\n"
        "  test %rax, %rax\n"
        "  js 7f\n"
        "  mov %rax, %rdi\n"
        "  mov 0(%r13), %rax\n"
        "  mov %rbx, %rsi\n"
        "  mov %rbp, %rdx\n"
        "  syscall\n"
        "  jmp 7f\n"
        "8: xor %ebx, %ebx\n" /* on every descriptor from the first argument to 1023: how many are not EBADF */
        "  mov %edi, %ebp\n"
        "9: mov 0(%r13), %rax\n"
        "  mov %ebp, %edi\n"
        "  syscall\n"
        "  cmp $-9, %rax\n"
        "  setne %al\n"
        "  movzx %al, %eax\n"
        "  add %eax, %ebx\n"
        "  inc %ebp\n"
        "  cmp $1024, %ebp\n"
        "  jne 9b\n"
        "  mov %rbx, %rax\n"
        "  jmp 7f\n"
        "6: mov -64(%r14), %rbx\n"
        "  mov -56(%r14), %rcx\n"
        "  mov -48(%r14), %rdx\n"
        "  int $0x80\n"
        "7: mov %rax, 8(%rsp)\n"
        "  movabs $0x4d4f524650414353, %rax\n"
        "  mov %rax, 0(%rsp)\n"
        "  mov $1, %eax\n"
        "  mov $1, %edi\n"
        "  mov %rsp, %rsi\n"
        "  mov $16, %edx\n"
        "  syscall\n"
        "  mov $231, %eax\n"
        "  mov $42, %edi\n"
        "  syscall\n"
        "  .balign 8\n"
        "planted_params:\n"
        "  .fill 160, 1, 0\n"
        "planted_end:\n"
        ".popsection\n");
extern const uint8_t planted_start[], planted_params[], planted_end[];
#define REPORT UINT64_C(0x4d4f524650414353)
#define TEXT   96 /* where the text of an attack lies, from params */

enum way { BY_SYSCALL, BY_INT_0X80, BY_NOTHING, ON_A_SOCKET, ON_EVERY_DESCRIPTOR };
enum control {
    WORKS,   /* without walls the call comes back with success */
    REACHES, /* without walls it comes back: the kernel was asked (privilege, arguments or its configuration may refuse) */
    REPLACES /* without walls the process becomes another one, which ends with 0 */
};
struct attack {
    const char *name;
    long call;
    enum control control;
    uint64_t arguments[6];
    unsigned in_params, in_stack, in_code; /* bits: that argument is an offset there */
    enum way way;
    const char *text; /* ON_A_SOCKET: a struct sockaddr_in */
};
static const struct attack attacks[] = {
    /* files */
    {"open", SYS_open, WORKS, {TEXT, O_RDONLY}, 1, 0, 0, 0, "/etc/passwd"},
    {"openat", SYS_openat, WORKS, {(uint64_t)AT_FDCWD, TEXT, O_RDONLY}, 2, 0, 0, 0, "/etc/passwd"},
    {"openat2", SYS_openat2, REACHES, {(uint64_t)AT_FDCWD, TEXT, 0, 24}, 2, 4, 0, 0, "/etc/passwd"},
    {"open /proc/self/mem", SYS_open, WORKS, {TEXT, O_RDWR}, 1, 0, 0, 0, "/proc/self/mem"},
    {"open /proc/self/maps", SYS_open, WORKS, {TEXT, O_RDONLY}, 1, 0, 0, 0, "/proc/self/maps"},
    {"readlink /proc/self/exe", SYS_readlink, WORKS, {TEXT, 0, 100}, 1, 2, 0, 0, "/proc/self/exe"},
    {"stat", SYS_stat, WORKS, {TEXT, 0}, 1, 2, 0, 0, "/etc/passwd"},
    {"unlink", SYS_unlink, REACHES, {TEXT}, 1, 0, 0, 0, "/nonexistent/file"},
    {"mkdir", SYS_mkdir, REACHES, {TEXT, 0700}, 1, 0, 0, 0, "/nonexistent/folder"},
    {"chroot", SYS_chroot, REACHES, {TEXT}, 1, 0, 0, 0, "/nonexistent"},
    {"mount", SYS_mount, REACHES, {TEXT, TEXT, TEXT}, 7, 0, 0, 0, "none"},
    {"memfd_create", SYS_memfd_create, WORKS, {TEXT, 0}, 1, 0, 0, 0, "m"},
    /* descriptors: fd 3 is a file that was left open on purpose */
    {"read fd 3", SYS_read, WORKS, {3, 0, 16}, 0, 2, 0, 0, NULL},
    {"pread fd 3", SYS_pread64, WORKS, {3, 0, 16, 0}, 0, 2, 0, 0, NULL},
    {"readv fd 0", SYS_readv, REACHES, {0, 0, 0}, 0, 2, 0, 0, NULL},
    {"write fd 2", SYS_write, WORKS, {2, TEXT, 0}, 2, 0, 0, 0, NULL},
    {"write fd 0", SYS_write, WORKS, {0, TEXT, 0}, 2, 0, 0, 0, NULL},
    {"write fd 2^32+1", SYS_write, WORKS, {(UINT64_C(1) << 32) + 1, TEXT, 0}, 2, 0, 0, 0, NULL},
    {"writev fd 1", SYS_writev, WORKS, {1, 0, 0}, 0, 2, 0, 0, NULL},
    {"sendmsg fd 1", SYS_sendmsg, REACHES, {1, 0, 0}, 0, 2, 0, 0, NULL},
    {"sendto fd 1", SYS_sendto, REACHES, {1, TEXT, 0, 0, 0, 0}, 2, 0, 0, 0, NULL},
    {"dup", SYS_dup, WORKS, {0}, 0, 0, 0, 0, NULL},
    {"dup2", SYS_dup2, WORKS, {0, 5}, 0, 0, 0, 0, NULL},
    {"fcntl", SYS_fcntl, WORKS, {0, F_DUPFD, 0}, 0, 0, 0, 0, NULL},
    {"ioctl", SYS_ioctl, REACHES, {0, 0x541b, 0}, 0, 4, 0, 0, NULL},
    {"sendfile", SYS_sendfile, REACHES, {1, 3, 0, 0}, 0, 0, 0, 0, NULL},
    {"splice", SYS_splice, REACHES, {3, 0, 1, 0, 0, 0}, 0, 0, 0, 0, NULL},
    {"close", SYS_close, WORKS, {3}, 0, 0, 0, 0, NULL},
    {"pidfd_getfd", SYS_pidfd_getfd, REACHES, {3, 0, 0}, 0, 0, 0, 0, NULL},
    /* network */
    {"socket", SYS_socket, WORKS, {AF_INET, SOCK_STREAM, 0}, 0, 0, 0, 0, NULL},
    {"socketpair", SYS_socketpair, WORKS, {AF_UNIX, SOCK_STREAM, 0, 0}, 0, 8, 0, 0, NULL},
    {"connect", SYS_connect, REACHES, {0, 0, 16}, 0, 2, 0, 0, NULL},
    {"bind", SYS_bind, REACHES, {0, 0, 16}, 0, 2, 0, 0, NULL},
    {"accept", SYS_accept, REACHES, {0, 0, 0}, 0, 0, 0, 0, NULL},
    {"io_uring_setup", SYS_io_uring_setup, REACHES, {1, 0}, 0, 2, 0, 0, NULL},
    /* processes */
    {"execve", SYS_execve, REPLACES, {TEXT, 0, 0}, 1, 6, 0, 0, "/bin/true"},
    {"execveat", SYS_execveat, REPLACES, {(uint64_t)AT_FDCWD, TEXT, 0, 0, 0}, 2, 12, 0, 0, "/bin/true"},
    {"fork", SYS_fork, WORKS, {0}, 0, 0, 0, 0, NULL},
    {"vfork", SYS_vfork, WORKS, {0}, 0, 0, 0, 0, NULL},
    {"clone", SYS_clone, WORKS, {SIGCHLD}, 0, 0, 0, 0, NULL},
    {"clone3", SYS_clone3, REACHES, {0, 8}, 0, 1, 0, 0, NULL},
    {"ptrace", SYS_ptrace, WORKS, {0, 0, 0, 0}, 0, 0, 0, 0, NULL},
    {"process_vm_readv", SYS_process_vm_readv, REACHES, {1, 0, 0, 0, 0, 0}, 0, 0, 0, 0, NULL},
    {"kill", SYS_kill, REACHES, {0x7ffffff, 0}, 0, 0, 0, 0, NULL},
    {"kill the group", SYS_kill, WORKS, {0, 0}, 0, 0, 0, 0, NULL},
    {"tkill", SYS_tkill, REACHES, {0x7ffffff, 0}, 0, 0, 0, 0, NULL},
    {"tgkill", SYS_tgkill, REACHES, {0x7ffffff, 0x7ffffff, 0}, 0, 0, 0, 0, NULL},
    {"rt_sigqueueinfo", SYS_rt_sigqueueinfo, REACHES, {0x7ffffff, 0, 0}, 0, 4, 0, 0, NULL},
    {"pidfd_open", SYS_pidfd_open, WORKS, {1, 0}, 0, 0, 0, 0, NULL},
    {"setns", SYS_setns, REACHES, {3, 0}, 0, 0, 0, 0, NULL},
    {"unshare", SYS_unshare, REACHES, {CLONE_NEWUSER}, 0, 0, 0, 0, NULL},
    {"exit of the thread alone", SYS_exit, REPLACES, {0}, 0, 0, 0, 0, NULL},
    {"wait4", SYS_wait4, REACHES, {0, 0, 0, 0}, 0, 0, 0, 0, NULL},
    {"getpid", SYS_getpid, WORKS, {0}, 0, 0, 0, 0, NULL},
    {"prlimit64", SYS_prlimit64, WORKS, {0, 7, 0, 0}, 0, 8, 0, 0, NULL},
    {"setuid", SYS_setuid, REACHES, {0}, 0, 0, 0, 0, NULL},
    {"capset", SYS_capset, REACHES, {0, 0}, 0, 3, 0, 0, NULL},
    /* memory */
    {"mmap RWX", SYS_mmap, WORKS, {0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0}, 0, 0, 0, 0, NULL},
    {"mmap RW", SYS_mmap, WORKS, {0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0}, 0, 0, 0, 0, NULL},
    {"mprotect code RWX", SYS_mprotect, WORKS, {0, 4096, 7}, 0, 0, 1, 0, NULL},
    {"mprotect code RX", SYS_mprotect, WORKS, {0, 4096, 5}, 0, 0, 1, 0, NULL},
    {"mprotect stack RWX", SYS_mprotect, WORKS, {4096, 4096, 7}, 0, 1, 0, 0, NULL},
    {"mprotect stack X", SYS_mprotect, WORKS, {4096, 4096, 4}, 0, 1, 0, 0, NULL},
    {"mprotect stack R", SYS_mprotect, WORKS, {4096, 4096, 1}, 0, 1, 0, 0, NULL},
    {"mprotect grows down", SYS_mprotect, REACHES, {0, 4096, 7 | PROT_GROWSDOWN}, 0, 1, 0, 0, NULL},
    {"pkey_mprotect", SYS_pkey_mprotect, WORKS, {4096, 4096, 7, (uint64_t)-1}, 0, 1, 0, 0, NULL},
    {"mremap", SYS_mremap, REACHES, {4096, 4096, 8192, 1}, 0, 1, 0, 0, NULL},
    {"munmap", SYS_munmap, WORKS, {0x10000, 4096}, 0, 0, 0, 0, NULL},
    {"remap_file_pages", SYS_remap_file_pages, REACHES, {4096, 4096, 0, 0, 0}, 0, 1, 0, 0, NULL},
    {"madvise FREE", SYS_madvise, REACHES, {4096, 4096, MADV_FREE}, 0, 1, 0, 0, NULL},
    {"brk", SYS_brk, WORKS, {0}, 0, 0, 0, 0, NULL},
    {"shmget", SYS_shmget, REACHES, {0x7fffff01, 4096, 0}, 0, 0, 0, 0, NULL},
    {"userfaultfd", SYS_userfaultfd, REACHES, {0}, 0, 0, 0, 0, NULL},
    /* the kernel */
    {"prctl dumpable", SYS_prctl, WORKS, {PR_SET_DUMPABLE, 1, 0, 0, 0}, 0, 0, 0, 0, NULL},
    {"prctl pdeathsig", SYS_prctl, WORKS, {PR_SET_PDEATHSIG, 0, 0, 0, 0}, 0, 0, 0, 0, NULL},
    {"seccomp", SYS_seccomp, REACHES, {2, 0, 0}, 0, 4, 0, 0, NULL},
    {"bpf", SYS_bpf, REACHES, {0, 0, 16}, 0, 2, 0, 0, NULL},
    {"perf_event_open", SYS_perf_event_open, REACHES, {0, 0, (uint64_t)-1, (uint64_t)-1, 0}, 0, 1, 0, 0, NULL},
    {"keyctl", SYS_keyctl, REACHES, {0, (uint64_t)-3, 0, 0, 0}, 0, 0, 0, 0, NULL},
    {"add_key", SYS_add_key, REACHES, {TEXT, TEXT, TEXT, 1, (uint64_t)-3}, 7, 0, 0, 0, "u"},
    {"personality", SYS_personality, WORKS, {0xffffffff}, 0, 0, 0, 0, NULL},
    {"modify_ldt", SYS_modify_ldt, REACHES, {0, 0, 16}, 0, 2, 0, 0, NULL},
    {"arch_prctl", SYS_arch_prctl, WORKS, {0x1003, 0}, 0, 2, 0, 0, NULL},
    {"init_module", SYS_init_module, REACHES, {0, 0, 0}, 0, 0, 0, 0, NULL},
    {"reboot with wrong magic", SYS_reboot, REACHES, {0, 0, 0, 0}, 0, 0, 0, 0, NULL},
    {"rt_sigaction", SYS_rt_sigaction, WORKS, {SIGUSR1, 0, 0, 8}, 0, 4, 0, 0, NULL},
    {"sigaltstack", SYS_sigaltstack, WORKS, {0, 0}, 0, 2, 0, 0, NULL},
    {"setitimer", SYS_setitimer, WORKS, {1, 0, 0}, 0, 2, 0, 0, NULL},
    {"timer_create", SYS_timer_create, REACHES, {0, 0, 0}, 0, 4, 0, 0, NULL},
    {"clock_gettime", SYS_clock_gettime, WORKS, {0, 0}, 0, 2, 0, 0, NULL},
    {"nanosleep", SYS_nanosleep, WORKS, {0, 0}, 0, 1, 0, 0, NULL},
    {"getrandom", SYS_getrandom, WORKS, {0, 16, 0}, 0, 1, 0, 0, NULL},
    {"futex", SYS_futex, WORKS, {0, 1, 1, 0, 0, 0}, 0, 1, 0, 0, NULL},
    {"uname", SYS_uname, WORKS, {0}, 0, 1, 0, 0, NULL},
    {"landlock_restrict_self", SYS_landlock_restrict_self, REACHES, {3, 0}, 0, 0, 0, 0, NULL},
    /* other doors */
    {"int 0x80 getpid", 20, WORKS, {0}, 0, 0, 0, BY_INT_0X80, NULL},
    {"x32 getpid", 0x40000000L + SYS_getpid, REACHES, {0}, 0, 0, 0, 0, NULL},
    {"a number that no call has", 0xffff, REACHES, {0}, 0, 0, 0, 0, NULL},
    {"number -1", -1, REACHES, {0}, 0, 0, 0, 0, NULL},
};

static struct ifab_buf artifact = IFAB_BUF_INIT(IFAB_FRAME_LARGE_MAX);
static size_t room_at, room_size; /* the code of if_health in it */

static void find_room(void)
{
    const uint8_t *a = artifact.data;
    Elf64_Ehdr head;
    memcpy(&head, a, sizeof head);
    for (unsigned i = 0; i < head.e_shnum; i++) {
        Elf64_Shdr table, names, text;
        memcpy(&table, a + head.e_shoff + i * sizeof table, sizeof table);
        if (table.sh_type != SHT_SYMTAB)
            continue;
        memcpy(&names, a + head.e_shoff + table.sh_link * sizeof names, sizeof names);
        for (size_t s = 0; s < table.sh_size / sizeof(Elf64_Sym); s++) {
            Elf64_Sym symbol;
            memcpy(&symbol, a + table.sh_offset + s * sizeof symbol, sizeof symbol);
            if (strstr((const char *)a + names.sh_offset + symbol.st_name, "::if_health") == NULL)
                continue;
            memcpy(&text, a + head.e_shoff + symbol.st_shndx * sizeof text, sizeof text);
            room_at = text.sh_offset + symbol.st_value;
            room_size = symbol.st_size;
        }
    }
}

static int set_up(void **state)
{
    (void)state;
    struct ifab_buf wasm = sandbox_guest("guest.wasm");
    struct ifab_frame_load_failed failed;
    char text[IFAB_FRAME_TEXT_MAX + 1];
    if (!sandbox_prepare("if-sandbox-prepare", ifab_buf_as_view(&wasm), &artifact, &failed, text))
        fail_msg("the guest does not compile: %s", text);
    ifab_buf_fini(&wasm);
    find_room();
    assert_true(room_size >= (size_t)(planted_end - planted_start));
    return 0;
}

static void plant(const struct attack *attack)
{
    uint8_t *code = artifact.data + room_at, *params = code + (planted_params - planted_start);
    uint64_t number = (uint64_t)attack->call, masks[3] = {attack->in_params, attack->in_stack, attack->in_code};
    memcpy(code, planted_start, (size_t)(planted_end - planted_start));
    memcpy(params, &number, 8);
    memcpy(params + 8, attack->arguments, sizeof attack->arguments);
    memcpy(params + 56, masks, sizeof masks);
    params[80] = (uint8_t)attack->way;
    if (attack->text != NULL && attack->way == ON_A_SOCKET)
        memcpy(params + TEXT, attack->text, sizeof(struct sockaddr_in));
    else if (attack->text != NULL)
        strncpy((char *)params + TEXT, attack->text, 60);
}

#define NOBODY 65534
/* What if-sandbox-lacking does when root starts it. */
static void become_nobody(void)
{
    if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0))
        abort();
}

struct outcome {
    bool reported;
    int64_t result;
    int status; /* of waitpid */
};

/* argument: the program's first, or NULL; left_open: a file that it inherits. */
static struct outcome run_with(const char *program, const char *argument, int left_open, const struct attack *attack, uint32_t *ret_walls)
{
    struct outcome outcome = {0};
    struct sandbox s;
    struct ifab_frame_load load = sandbox_limits;
    struct ifab_frame_load_failed failed;
    struct ifab_frame_call call = sandbox_call;
    char text[IFAB_FRAME_TEXT_MAX + 1];
    uint64_t report[2];
    plant(attack);
    load.bytes = ifab_buf_as_view(&artifact);
    sandbox_start_as(&s, program, argument, left_open);
    if (!sandbox_load(&s, &load, ret_walls, &failed, text))
        fail_msg("%s: not loaded: %s", attack->name, text);
    call.export_ = IFAB_EXPORT_HEALTH; /* until now not a byte of it has run */
    sandbox_send(&s, ifab_frame_call_write(&s.out, 1, &call));
    size_t got = 0;
    for (ssize_t n; got < sizeof report && sandbox_wait(&s) && (n = read(s.fd, (uint8_t *)report + got, sizeof report - got)) > 0;)
        got += (size_t)n;
    outcome.reported = got == sizeof report && report[0] == REPORT;
    outcome.result = outcome.reported ? (int64_t)report[1] : 0;
    outcome.status = sandbox_end(&s);
    return outcome;
}

static struct outcome run(const char *program, const struct attack *attack, uint32_t *ret_walls)
{
    int left_open = open("/etc/hostname", O_RDONLY | O_CLOEXEC);
    struct outcome outcome = run_with(program, NULL, left_open, attack, ret_walls);
    close(left_open);
    return outcome;
}

/* Planted code runs behind the walls, and what is allowed there works: otherwise the tests below would prove nothing. */
static void planted_code_runs_behind_the_walls(void **state)
{
    (void)state;
    static const struct attack harmless[] = {
        {"nothing", 0, WORKS, {0}, 0, 0, 0, BY_NOTHING, NULL},
        {"write fd 1", SYS_write, WORKS, {1, 0, 0}, 0, 2, 0, 0, NULL},
        {"mprotect RW", SYS_mprotect, WORKS, {0, 4096, 3}, 0, 1, 0, 0, NULL},
        {"madvise DONTNEED", SYS_madvise, WORKS, {0, 4096, MADV_DONTNEED}, 0, 1, 0, 0, NULL},
        {"read fd 0 of nothing", SYS_read, WORKS, {0, 0, 0}, 0, 2, 0, 0, NULL},
    };
    for (size_t i = 0; i < IFAB_COUNT(harmless); i++) {
        uint32_t walls = 0;
        struct outcome o = run("if-sandbox", &harmless[i], &walls);
        if (!o.reported || o.result != 0 || !WIFEXITED(o.status) || WEXITSTATUS(o.status) != 42)
            fail_msg("%s: reported %d result %lld status %x", harmless[i].name, o.reported, (long long)o.result, (unsigned)o.status);
        assert_int_equal(walls & IFAB_WALL_MANDATORY, IFAB_WALL_MANDATORY);
    }
}

static void without_walls_every_way_out_is_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(attacks); i++) {
        const struct attack *a = &attacks[i];
        uint32_t walls = 1;
        struct outcome o = run("if-sandbox-unsealed", a, &walls);
        assert_int_equal(walls, 0);
        bool out = a->control == REPLACES ? WIFEXITED(o.status) && WEXITSTATUS(o.status) == 0 : o.reported && (a->control == REACHES || o.result >= 0);
        if (!out)
            fail_msg("control of '%s': reported %d result %lld status %x", a->name, o.reported, (long long)o.result, (unsigned)o.status);
    }
}

static void behind_the_walls_every_way_out_is_sigsys(void **state)
{
    (void)state;
    unsigned open_ways = 0;
    for (size_t i = 0; i < IFAB_COUNT(attacks); i++) {
        uint32_t walls = 0;
        struct outcome o = run("if-sandbox", &attacks[i], &walls);
        if (o.reported || !WIFSIGNALED(o.status) || WTERMSIG(o.status) != SIGSYS || (walls & IFAB_WALL_SECCOMP) == 0) {
            print_error("'%s': reported %d result %lld status %x\n", attacks[i].name, o.reported, (long long)o.result, (unsigned)o.status);
            open_ways++;
        }
    }
    assert_int_equal(open_ways, 0);
}

/* --- each wall for itself: the ones before it are left out (if-sandbox-lacking), and it stops the attack; left out as well, it does not --- */
struct behind {
    enum ifab_wall wall;
    uint32_t before;  /* besides seccomp: walls that stop it first, or that the control cannot do with */
    int64_t expected; /* what the attack is told */
    int signal;       /* or what ends it, else 0 */
    int landlock_abi; /* from which on Landlock knows of it */
    struct attack attack;
};

static bool gets_out(const struct attack *a, const struct outcome *o, int64_t stopped)
{
    if (a->control == REPLACES)
        return WIFEXITED(o->status) && WEXITSTATUS(o->status) == 0;
    return o->reported && o->result >= 0 && o->result != stopped;
}

/* 1 stopped by that wall and by no other; 0 not; -1 this machine has no such wall, which only those of policy may lack. */
static int stands_alone(const struct behind *row, int left_open)
{
    const char *name = row->attack.name;
    uint32_t lacking = IFAB_WALL_SECCOMP | row->before, walls = 0;
    char argument[16], text[IFAB_WALL_TEXT];
    ifab_wall_text(row->wall, text);
    if (row->landlock_abi > syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION) && row->wall == IFAB_WALL_LANDLOCK)
        return -1;
    snprintf(argument, sizeof argument, "%u", lacking);
    struct outcome o = run_with("if-sandbox-lacking", argument, left_open, &row->attack, &walls);
    assert_int_equal(walls & lacking, 0);
    assert_int_equal(~walls & IFAB_WALL_MANDATORY & ~lacking, 0);
    if ((walls & (uint32_t)row->wall) == 0)
        return -1;
    bool stopped = row->signal != 0 ? !o.reported && WIFSIGNALED(o.status) && WTERMSIG(o.status) == row->signal : o.reported && o.result == row->expected;
    if (!stopped)
        print_error("'%s' is not stopped by %s: reported %d result %lld status %x\n", name, text, o.reported, (long long)o.result, (unsigned)o.status);
    snprintf(argument, sizeof argument, "%u", lacking | (uint32_t)row->wall);
    struct outcome control = run_with("if-sandbox-lacking", argument, left_open, &row->attack, &walls);
    assert_int_equal(walls & (uint32_t)row->wall, 0);
    bool out = gets_out(&row->attack, &control, row->expected);
    if (!out)
        print_error("'%s' without %s: reported %d result %lld status %x\n", name, text, control.reported, (long long)control.result, (unsigned)control.status);
    if (stopped && out)
        print_message("# %s: stopped by %s with %s\n", name, text,
                      row->signal != 0 ? strsignal(row->signal) : row->expected < 0 ? strerrorname_np((int)-row->expected) : "nothing found");
    return stopped && out;
}

/* What the attacks are after: a folder that anyone may write, a listener, shared memory, a process of the same user. */
struct prey {
    char folder[32], file[48], new_file[48], new_folder[48];
    struct sockaddr_in address;
    int listener, file_fd, shared;
    key_t key;
    pid_t process;
};

static void lay_out(struct prey *to)
{
    *to = (struct prey){.folder = "/tmp/ifab-escape-XXXXXX", .address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}};
    socklen_t size = sizeof to->address;
    assert_non_null(mkdtemp(to->folder));
    assert_int_equal(chmod(to->folder, 0777), 0);
    snprintf(to->file, sizeof to->file, "%s/file", to->folder);
    snprintf(to->new_file, sizeof to->new_file, "%s/new", to->folder);
    snprintf(to->new_folder, sizeof to->new_folder, "%s/folder", to->folder);
    to->file_fd = open(to->file, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    assert_int_equal(fchmod(to->file_fd, 0666), 0); /* whatever the umask */
    assert_int_equal(write(to->file_fd, "some", 4), 4);
    to->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(to->listener, (struct sockaddr *)&to->address, size), 0);
    assert_int_equal(listen(to->listener, 8), 0);
    assert_int_equal(getsockname(to->listener, (struct sockaddr *)&to->address, &size), 0);
    to->key = (key_t)(0x1fab0000 + getpid());
    to->shared = shmget(to->key, 4096, IPC_CREAT | IPC_EXCL | 0666);
    assert_true(to->shared >= 0);
    to->process = fork();
    if (to->process == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        become_nobody();
        for (;;)
            pause();
    }
    assert_true(to->process > 0);
}

static void clear_away(struct prey *prey)
{
    kill(prey->process, SIGKILL);
    waitpid(prey->process, NULL, 0);
    shmctl(prey->shared, IPC_RMID, NULL);
    close(prey->listener);
    close(prey->file_fd);
    unlink(prey->file);
    unlink(prey->new_file);
    rmdir(prey->new_folder);
    rmdir(prey->folder);
}

#define LANDLOCK   IFAB_WALL_LANDLOCK
#define RLIMITS    IFAB_WALL_RLIMITS
#define NAMESPACES IFAB_WALL_NAMESPACES
#define OPEN_FDS   IFAB_WALL_DESCRIPTORS
static void behind_seccomp_stand_the_other_walls(void **state)
{
    (void)state;
    struct prey p;
    lay_out(&p);
    const uint64_t address = sizeof p.address, anonymous = MAP_PRIVATE | MAP_ANONYMOUS, none = (uint64_t)-1;
    const struct behind rows[] = {
        {LANDLOCK, RLIMITS, -EACCES, 0, 1, {"open", SYS_open, WORKS, {TEXT, O_RDONLY}, 1, 0, 0, 0, "/etc/passwd"}},
        {LANDLOCK, RLIMITS, -EACCES, 0, 1, {"open to write", SYS_open, WORKS, {TEXT, O_WRONLY}, 1, 0, 0, 0, p.file}},
        {LANDLOCK, RLIMITS | NAMESPACES, -EACCES, 0, 1, {"create", SYS_open, WORKS, {TEXT, O_WRONLY | O_CREAT | O_EXCL, 0666}, 1, 0, 0, 0, p.new_file}},
        {LANDLOCK, NAMESPACES, -EACCES, 0, 1, {"mkdir", SYS_mkdir, WORKS, {TEXT, 0777}, 1, 0, 0, 0, p.new_folder}},
        {LANDLOCK, RLIMITS, -EACCES, 0, 1, {"execve", SYS_execve, REPLACES, {TEXT, 0, 0}, 1, 6, 0, 0, "/bin/true"}},
        {LANDLOCK, RLIMITS | NAMESPACES, -EACCES, 0, 4, {"connect", SYS_connect, WORKS, {0, TEXT, address}, 2, 0, 0, ON_A_SOCKET, (char *)&p.address}},
        {LANDLOCK, NAMESPACES, -EPERM, 0, 6, {"kill", SYS_kill, WORKS, {(uint64_t)p.process, 0}, 0, 0, 0, 0, NULL}},
        {RLIMITS, LANDLOCK, -EMFILE, 0, 0, {"open", SYS_open, WORKS, {TEXT, O_RDONLY}, 1, 0, 0, 0, "/etc/passwd"}},
        {RLIMITS, 0, -EMFILE, 0, 0, {"socket", SYS_socket, WORKS, {AF_INET, SOCK_STREAM, 0}, 0, 0, 0, 0, NULL}},
        {RLIMITS, 0, -EMFILE, 0, 0, {"memfd_create", SYS_memfd_create, WORKS, {TEXT, 0}, 1, 0, 0, 0, "m"}},
        {RLIMITS, 0, -EAGAIN, 0, 0, {"fork", SYS_fork, WORKS, {0}, 0, 0, 0, 0, NULL}},
        {RLIMITS, 0, -EAGAIN, 0, 0, {"clone", SYS_clone, WORKS, {SIGCHLD}, 0, 0, 0, 0, NULL}},
        {RLIMITS, 0, -ENOMEM, 0, 0, {"mmap of 16 GiB of addresses", SYS_mmap, WORKS, {0, UINT64_C(1) << 34, 0, anonymous, none}, 0, 0, 0, 0, NULL}},
        {RLIMITS, 0, -ENOMEM, 0, 0, {"mmap of 256 MiB of data", SYS_mmap, WORKS, {0, 1 << 28, 3, anonymous, none}, 0, 0, 0, 0, NULL}},
        {RLIMITS, OPEN_FDS, 0, SIGXFSZ, 0, {"write fd 3", SYS_write, WORKS, {3, TEXT, 4}, 2, 0, 0, 0, "more"}},
        {NAMESPACES, RLIMITS | LANDLOCK, -ENETUNREACH, 0, 0, {"connect", SYS_connect, WORKS, {0, TEXT, address}, 2, 0, 0, ON_A_SOCKET, (char *)&p.address}},
        {NAMESPACES, 0, -ENOENT, 0, 0, {"shmget", SYS_shmget, WORKS, {(uint64_t)p.key, 4096, 0}, 0, 0, 0, 0, NULL}},
        {OPEN_FDS, 0, -EBADF, 0, 0, {"read fd 3", SYS_read, WORKS, {3, 0, 4}, 0, 2, 0, 0, NULL}},
        {OPEN_FDS, 0, 0, 0, 0, {"fds 3 to 1023", SYS_fcntl, WORKS, {3, F_GETFD, 0}, 0, 0, 0, ON_EVERY_DESCRIPTOR, NULL}},
    };
    unsigned bad = 0;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        int stands = stands_alone(&rows[i], p.file_fd);
        if (stands < 0)
            print_message("# %s: SKIP, this machine's kernel has no such wall\n", rows[i].attack.name);
        bad += stands == 0;
    }
    clear_away(&p);
    assert_int_equal(bad, 0);
    uint32_t walls = 0; /* with nothing left out the program is if-sandbox */
    struct outcome o = run_with("if-sandbox-lacking", "0", -1, &(struct attack){"getpid", SYS_getpid, WORKS, {0}, 0, 0, 0, 0, NULL}, &walls);
    assert_int_equal(walls & IFAB_WALL_MANDATORY, IFAB_WALL_MANDATORY);
    assert_true(!o.reported && WIFSIGNALED(o.status) && WTERMSIG(o.status) == SIGSYS);
}

/* Loads the artifact as it is. */
static void load_into(struct sandbox *s)
{
    struct ifab_frame_load load = sandbox_limits;
    struct ifab_frame_load_failed failed;
    char text[IFAB_FRAME_TEXT_MAX + 1] = "";
    uint32_t walls = 0;
    load.bytes = ifab_buf_as_view(&artifact);
    if (!sandbox_load(s, &load, &walls, &failed, text))
        fail_msg("not loaded: %s", text);
}

/* errno of another process of the same user that reads the address space of a worker; 0: it can. */
static int reads_maps(uint32_t lacking)
{
    struct sandbox s;
    char argument[16], path[64];
    int status = 0;
    snprintf(argument, sizeof argument, "%u", lacking);
    sandbox_start_as(&s, "if-sandbox-lacking", argument, -1);
    load_into(&s);
    snprintf(path, sizeof path, "/proc/%d/maps", (int)s.pid);
    pid_t other = fork();
    if (other == 0) {
        become_nobody();
        _exit(open(path, O_RDONLY | O_CLOEXEC) >= 0 ? 0 : errno);
    }
    assert_int_equal(waitpid(other, &status, 0), other);
    sandbox_kill(&s);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void another_process_of_the_user_reads_nothing(void **state)
{
    (void)state;
    const uint32_t lacking = IFAB_WALL_SECCOMP | LANDLOCK | NAMESPACES; /* neither of them is what refuses */
    assert_int_equal(reads_maps(lacking), EACCES);
    assert_int_equal(reads_maps(lacking | IFAB_WALL_NOT_DUMPABLE), 0);
}

/* How a worker ends whose parent was killed while its pipe stayed open; BYE is sent when the parent is gone. */
static int end_of_an_orphan(const char *program, const char *argument)
{
    struct sandbox s;
    int other = sandbox_pair(&s), pids[2];
    assert_int_equal(pipe2(pids, O_CLOEXEC), 0);
    pid_t parent = fork();
    if (parent == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* where the test itself fails */
        sandbox_spawn(&s, other, program, argument, -1);
        if (write(pids[1], &s.pid, sizeof s.pid) != (ssize_t)sizeof s.pid)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(pids[0], &s.pid, sizeof s.pid), sizeof s.pid);
    close(pids[0]);
    close(pids[1]);
    load_into(&s); /* READY: the walls stand */
    kill(parent, SIGKILL);
    assert_int_equal(waitpid(parent, NULL, 0), parent); /* its children were told by now */
    sandbox_send(&s, ifab_frame_bytes_write(&s.out, IFAB_FRAME_BYE, (struct ifab_view){NULL, 0}));
    close(other);
    return sandbox_end(&s);
}

static void no_worker_outlives_its_killed_parent(void **state)
{
    (void)state;
    char argument[16];
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0); /* orphans are ours to wait for */
    int status = end_of_an_orphan("if-sandbox", NULL);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    snprintf(argument, sizeof argument, "%u", (unsigned)IFAB_WALL_PDEATHSIG);
    status = end_of_an_orphan("if-sandbox-lacking", argument); /* the control lives on, and goes when it is told to */
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int tear_down(void **state)
{
    (void)state;
    ifab_buf_fini(&artifact);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planted_code_runs_behind_the_walls),
        cmocka_unit_test(without_walls_every_way_out_is_open),
        cmocka_unit_test(behind_the_walls_every_way_out_is_sigsys),
        cmocka_unit_test(behind_seccomp_stand_the_other_walls),
        cmocka_unit_test(another_process_of_the_user_reads_nothing),
        cmocka_unit_test(no_worker_outlives_its_killed_parent),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

#else
int main(void)
{
    puts("1..0 # SKIP the planted code is for x86-64");
    return 0;
}
#endif
