#include "frame.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>

/** Bytes. The record has to fit into one entry of the environment, which takes 131,072. */
enum { DESCRIPTORS_LENGTH = 120000 };

/** What the engine needs of a limit, in kB. */
struct need {
  int resource;
  rlim_t least;
  /** What the soft limit is raised to, where the hard one allows it. */
  rlim_t wanted;
  const char *name;
  const char *advice;
};

/**
 * Measured with Bun 1.4.5 on two x86-64 processors, compiled program, 15 runs of 15: it runs with 2,350,000 kB of address space, 2,300,000 of
 * data and 160 of stack, and never with 2,325,000, 2,200,000 and 144. More processors have more helper threads: some is added.
 */
static const struct need needs[] = {
  {RLIMIT_AS, 2500000, RLIM_INFINITY, "the limit of address space", "raise the hard limit (ulimit -v)"},
  {RLIMIT_DATA, 2450000, RLIM_INFINITY, "the limit of data", "raise the hard limit (ulimit -d)"},
  {RLIMIT_STACK, 256, 8192, "the limit of the stack", "raise the hard limit (ulimit -s)"},
};

static rlim_t bytes(rlim_t kilobytes) {
  return kilobytes > RLIM_INFINITY / 1024 ? RLIM_INFINITY : kilobytes * 1024;
}

static bool set_soft_limit(int resource, rlim_t soft, rlim_t hard) {
  const struct rlimit limit = {soft < hard ? soft : hard, hard};
  return setrlimit(resource, &limit) == 0;
}

static void raise_limits(void) {
  for (size_t at = 0; at < sizeof needs / sizeof *needs; at++) {
    const struct need need = needs[at];
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    getrlimit(need.resource, &limit);
    if (limit.rlim_max < bytes(need.least)) {
      char reason[100];
      snprintf(reason, sizeof reason, "the hard limit is %ju kB, and %ju kB are needed", (uintmax_t)limit.rlim_max / 1024, (uintmax_t)need.least);
      fail_because("raising", need.name, reason, need.advice);
    }
    if (limit.rlim_cur < bytes(need.wanted) && !set_soft_limit(need.resource, bytes(need.wanted), limit.rlim_max)) {
      fail("raising", need.name, need.advice);
    }
  }
  // These two as far as it goes: the caller may have used up all files, and the engine's core would have gigabytes.
  struct rlimit limit = {0, 0};
  getrlimit(RLIMIT_NOFILE, &limit);
  set_soft_limit(RLIMIT_NOFILE, limit.rlim_max, limit.rlim_max);
  getrlimit(RLIMIT_CORE, &limit);
  set_soft_limit(RLIMIT_CORE, 0, limit.rlim_max);
}

/** The engine, where it gets fewer, says so in its own words: measured, it needs five beside the first three. */
enum { FILES = 8 };

static void try_files(void) {
  int opened[FILES];
  for (int at = 0; at < FILES; at++) {
    opened[at] = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    if (opened[at] < 0) fail("opening", "what jobbus-run needs", "raise the limit of open files (ulimit -n)");
  }
  for (int at = 0; at < FILES; at++) {
    close(opened[at]);
  }
}

/** The engine compiles at run time; where it may not, it dies with a crash report. */
static void try_code(void) {
  enum { SIZE = 4096 };
  void *code = mmap(NULL, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) fail("making", "memory for code", "allow memory that can be written and executed (MemoryDenyWriteExecute=no, or SELinux)");
  munmap(code, SIZE);
}

/** The link of a namespace that has no process yet leads nowhere; a kernel that does not tell has no link. */
static bool has_children_here(void) {
  static const char of_children[] = "/proc/self/ns/pid_for_children";
  struct stat link, own, theirs;
  if (lstat(of_children, &link) != 0 || stat("/proc/self/ns/pid", &own) != 0) return true;
  return stat(of_children, &theirs) == 0 && theirs.st_ino == own.st_ino;
}

static void try_children(void) {
  // Keeper and daemon would tell pids that are other processes' here, and the end would kill those.
  if (!has_children_here()) fail_because("starting", "jobbus-run", "its children would be in another pid namespace than itself", "call unshare with --fork");
  // The kernel says EAGAIN, as to one that has used up its processes.
  if (sched_getscheduler(0) == SCHED_DEADLINE) fail_because("starting", "jobbus-run", "with SCHED_DEADLINE, a process may start no other", "put chrt behind jobbus-run --");
}

/** Puts something there, so that nothing else takes their numbers. */
static void fill_standard_descriptors(char closed[4]) {
  size_t count = 0;
  for (int descriptor = 0; descriptor < 3; descriptor++) {
    if (fcntl(descriptor, F_GETFD) >= 0) continue;
    if (open("/dev/null", O_RDWR) != descriptor) fail("opening", "/dev/null", "leave the standard descriptors open, or make /dev/null");
    closed[count++] = (char)('0' + descriptor);
  }
  strcpy(closed + count, count == 0 ? "-" : "");
}

/** Keeps no file system busy; and neither a removed directory nor one on a dead server matters to the engine. */
static void leave_directory(char number[12]) {
  // One without search permission cannot be opened; nor could it be entered again.
  const int directory = open(".", O_PATH | O_DIRECTORY);
  if (directory >= 0 && chdir("/") == 0) {
    snprintf(number, 12, "%d", directory);
    return;
  }
  if (directory >= 0) close(directory);
  strcpy(number, "-");
  char path[PATH_MAX];
  // Nor does the engine start in one that is gone.
  if (syscall(SYS_getcwd, path, sizeof path) < 0) fail("leaving", "the working directory", "go to one that exists");
}

/** What to do about an execve that failed. */
static const char *launch_advice(int error) {
  switch (error) {
    case E2BIG: return "shorten the arguments or the environment, or raise the limit of the stack (ulimit -s)";
    case ENOEXEC: return "unpack the archive for this machine's architecture, and whole";
    case EACCES: return "make it executable, on a file system that allows that";
    case EAGAIN: return "raise the limit of processes (ulimit -u)";
    default: return "unpack the archive whole: jobbus-run needs lib/jobbus-run/supervisor beside bin";
  }
}

void launch(char **argv, uint64_t blocked) {
  static char descriptors[DESCRIPTORS_LENGTH];
  struct settings settings;
  char word[SETTINGS_LENGTH], closed[4], directory[12], path[SUPERVISOR_LENGTH];
  note_settings(&settings, blocked);
  write_settings(&settings, word);
  heed_signals();
  hear_words(argv[0] == NULL ? argv : argv + 1);
  raise_limits();
  fill_standard_descriptors(closed);
  if (!list_descriptors(3, descriptors, sizeof descriptors)) fail("listing", "/proc/self/fd", "mount /proc");
  leave_directory(directory);
  try_files();
  try_code();
  try_children();
  if (!find_supervisor(path)) fail("reading", "/proc/self/exe", "mount /proc, and call jobbus-run by a shorter path");
  if (!is_whole(path)) fail_because("starting", path, "the file is not whole", "unpack the archive again, where there is room for it");
  become_supervisor(path, argv, &(struct handover){"caller", directory, closed, word, descriptors});
  fail("starting", path, launch_advice(errno));
}
