#include "worker/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared/log.h"

#define DESCRIPTORS 64

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

static bool limit(__rlimit_resource_t what, rlim_t most)
{
	struct rlimit now;

	if (getrlimit(what, &now) != 0)
		return false;
	if (now.rlim_max < most)
		most = now.rlim_max;
	return setrlimit(what, &(struct rlimit){.rlim_cur = most, .rlim_max = most}) == 0;
}

enum rc confine_process(int64_t file_bytes)
{
	/* Else the first byte above the limit ends the process. */
	(void)signal(SIGXFSZ, SIG_IGN);
	if (!limit(RLIMIT_CORE, 0) || !limit(RLIMIT_NOFILE, DESCRIPTORS) ||
		!limit(RLIMIT_FSIZE, (rlim_t)file_bytes) ||
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		log_err("the snapshot engine's process can't be confined: %s", strerror(errno));
		return RC_INTERNAL;
	}
	return RC_OK;
}

#ifdef ARCH
/* Denied with EPERM. x86-64 also has the older calls that other machines never had. */
static const unsigned denied[] = {
#ifdef SYS_open
	SYS_open, SYS_creat, SYS_fork, SYS_vfork, SYS_unlink, SYS_rename, SYS_link, SYS_symlink,
	SYS_mkdir, SYS_rmdir, SYS_chmod, SYS_chown, SYS_lchown, SYS_mknod, SYS_uselib, SYS_utime,
	SYS_utimes, SYS_futimesat, SYS_readlink,
#endif
	SYS_openat, SYS_openat2, SYS_open_by_handle_at, SYS_open_tree, SYS_fsopen, SYS_truncate,
	SYS_ftruncate, SYS_fallocate, SYS_unlinkat, SYS_renameat2, SYS_renameat, SYS_linkat,
	SYS_symlinkat, SYS_mkdirat, SYS_mknodat, SYS_fchmod, SYS_fchmodat, SYS_fchown, SYS_fchownat,
	SYS_utimensat, SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_removexattr, SYS_readlinkat,
	SYS_chdir, SYS_fchdir, SYS_chroot, SYS_pivot_root, SYS_mount, SYS_umount2, SYS_socket,
	SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_execve,
	SYS_execveat, SYS_kill, SYS_tkill, SYS_rt_sigqueueinfo, SYS_pidfd_open, SYS_pidfd_getfd,
	SYS_pidfd_send_signal, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp,
	SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup, SYS_io_uring_enter,
	SYS_io_uring_register, SYS_unshare, SYS_setns, SYS_keyctl, SYS_add_key, SYS_request_key,
	SYS_shmget, SYS_shmat, SYS_msgget, SYS_semget, SYS_mq_open, SYS_memfd_create,
	SYS_inotify_init1, SYS_fanotify_init, SYS_init_module, SYS_finit_module, SYS_delete_module,
	SYS_kexec_load, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_syslog, SYS_sethostname,
	SYS_setdomainname, SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid,
	SYS_setresgid, SYS_setgroups, SYS_capset, SYS_personality, SYS_quotactl, SYS_acct,
	SYS_name_to_handle_at};

#define COUNT (sizeof(denied) / sizeof(denied[0]))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)

enum rc confine_calls(void)
{
	struct sock_filter program[2 * COUNT + 16];
	struct sock_fprog filter = {.filter = program};
	unsigned short n = 0;

	/* Another architecture's numbers mean other calls. */
	program[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	program[n++] = (struct sock_filter)RETURN(SECCOMP_RET_KILL_PROCESS);
	program[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
	/* x32 has the same calls under numbers from here on. */
	program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1);
	program[n++] = (struct sock_filter)RETURN(SECCOMP_RET_KILL_PROCESS);
#endif
	for (size_t i = 0; i < COUNT; i++) {
		program[n++] =
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, denied[i], 0, 1);
		program[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ERRNO | EPERM);
	}
	program[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
	filter.len = n;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) == 0)
		return RC_OK;
	return RC_UNAVAILABLE;
}
#else
enum rc confine_calls(void)
{
	return RC_OK;
}
#endif

/* Private writable memory, in pages: the sixth number of statm. */
static int64_t data_pages(void)
{
	static int fd = -1;
	char text[160];
	char *at = text;
	ssize_t n;

	if (fd < 0) /* and kept, since later none can be opened */
		fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? pread(fd, text, sizeof(text) - 1, 0) : -1;
	if (n <= 0)
		return -1;
	text[n] = '\0';
	for (int i = 0; i < 5 && at; i++) {
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	return at ? strtoll(at, NULL, 10) : -1;
}

int64_t confine_memory_now(void)
{
	int64_t pages = data_pages();

	return pages < 0 ? -1 : pages * sysconf(_SC_PAGESIZE);
}

void confine_memory(int64_t bytes)
{
	struct rlimit now;

	if (getrlimit(RLIMIT_DATA, &now) != 0)
		return;
	now.rlim_cur = now.rlim_max;
	if (bytes > 0 && (rlim_t)bytes < now.rlim_max)
		now.rlim_cur = (rlim_t)bytes;
	(void)setrlimit(RLIMIT_DATA, &now);
}
