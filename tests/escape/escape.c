/*
 * Machine code planted in an artifact tries every way out of if-sandbox. INV-08
 *
 * The artifact's MAC is the daemon's business; here the worker is handed a patched artifact, as if compiler, cache and key had all failed. The planted
 * code makes one system call and writes what came back to fd 1, then ends the process with 42. Behind the walls nothing comes
 * back: the kernel ends the process with SIGSYS. Without them (if-sandbox-unsealed) the same bytes report: the control.
 * x86-64 only; elsewhere the suite says that it was skipped.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sandbox.h"

#include <elf.h>
#include <linux/prctl.h>
#include <sched.h>
#include <sys/mman.h>

#if defined(__x86_64__)

/*
 * params: 0 number · 8…48 six arguments · 56 which of them are offsets into params (bit 0: the first) · 64 which are offsets into a page of the
 * stack · 72 which are the page of this code · 80 way in: 0 syscall, 1 int 0x80, 2 none · 96 text
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
        "  ja 5f\n"
        "  mov -64(%r14), %rdi\n"
        "  mov -56(%r14), %rsi\n"
        "  mov -48(%r14), %rdx\n"
        "  mov -40(%r14), %r10\n"
        "  mov -32(%r14), %r8\n"
        "  mov -24(%r14), %r9\n"
        "  syscall\n"
        "5: jmp 7f\n"
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
#define TEXT 96 /* where the text of an attack lies, from params */

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
    unsigned way;
    const char *text;
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
    {"int 0x80 getpid", 20, WORKS, {0}, 0, 0, 0, 1, NULL},
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
    if (attack->text != NULL)
        strncpy((char *)params + TEXT, attack->text, 60);
}

struct outcome {
    bool reported;
    int64_t result;
    int status; /* of waitpid */
};

static struct outcome run(const char *program, const struct attack *attack, uint32_t *ret_walls)
{
    struct outcome outcome = {0};
    struct sandbox s;
    struct ifab_frame_load load = sandbox_limits;
    struct ifab_frame_load_failed failed;
    struct ifab_frame_call call = sandbox_call;
    char text[IFAB_FRAME_TEXT_MAX + 1];
    uint64_t report[2];
    int left_open = open("/etc/hostname", O_RDONLY | O_CLOEXEC);
    plant(attack);
    load.bytes = ifab_buf_as_view(&artifact);
    sandbox_start_with(&s, program, left_open);
    close(left_open);
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

/* Planted code runs behind the walls, and what is allowed there works: otherwise the tests below would prove nothing. */
static void planted_code_runs_behind_the_walls(void **state)
{
    (void)state;
    static const struct attack harmless[] = {
        {"nothing", 0, WORKS, {0}, 0, 0, 0, 2, NULL},
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
