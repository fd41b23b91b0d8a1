#include "frame.h"

#include <stdarg.h>
#include <sys/prctl.h>

/** Descriptors; the daemon gets ADDRESS and LOCK at the same numbers, a keyring SECRET as its input: it is there where a keyring is. */
enum { CONTROL = 3, REPORT = 4, ADDRESS = 5, LOCK = 6, SECRET = 7 };

enum { FAILED = 125 };

/** Milliseconds between two looks at a process, where nothing tells of it. */
enum { LOOK = 1000 };

/** All words are shorter. */
enum { LONGEST_LINE = 64 };

struct keeper {
  const char *settings;
  char *directory;
  /** Its log, and what to execute. */
  char **daemon_words;
  /** Its log, entries for its environment, and what to execute; NULL: there is to be none. */
  char **keyring_words;
  /** 0: not started, or gone. */
  pid_t daemon;
  pid_t keyring;
  /** Tells whether the daemon's execve failed; -1 from then on. */
  int start;
  bool started;
  /** -1 once it has ended, with another process to watch. */
  int control;
  int children;
  char supervisor[32];
  /** 0: the supervisor's end of the control pipe is watched. */
  pid_t watched;
  uint64_t watched_start;
  /** -1: there is none. */
  int watched_file;
  /** A jobbus-run that has stopped, as its command has, and cannot see that go on; 0: it has not. */
  pid_t asleep;
  pid_t command;
  char line[LONGEST_LINE];
  size_t length;
};

/** One line to the supervisor. It may have closed its end, or not read for long: neither may hold us. */
static void report(const char *format, ...) {
  va_list values;
  va_start(values, format);
  vdprintf(REPORT, format, values);
  va_end(values);
}

/** @param step a word, or the path of what could not be opened */
static _Noreturn void fail_to_keep(const char *step) {
  report("failed %s %d\n", step, errno);
  _exit(1);
}

/** Jobbus-run was killed, or the watched process has ended. */
static _Noreturn void sweep(struct keeper *keeper) {
  char role[20];
  char *words[] = {"jobbus-run", "--sweep", keeper->directory, NULL};
  snprintf(role, sizeof role, "keeper.%d", keeper->daemon);
  close_at_exec(ADDRESS);
  close_at_exec(LOCK); // Who holds it would find the session alive.
  forget_signals();
  become_supervisor(keeper->supervisor, words, &(struct handover){role, "-", "-", keeper->settings, "-"});
  end_marked(keeper->directory, keeper->daemon); // The bus answers to the end.
  end_children(keeper->daemon);
  _exit(FAILED);
}

static bool say_to(const char *path) {
  const int log = open(path, O_CREAT | O_APPEND | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
  return log >= 0 && dup2(log, STDOUT_FILENO) >= 0 && dup2(log, STDERR_FILENO) >= 0;
}

/** Returns on failure only. */
static void become(const struct keeper *keeper, char **words) {
  struct settings settings;
  read_settings(&settings, keeper->settings); // Has been read before.
  restore_settings(&settings);
  // The first entry of the environment is the keeper's own.
  execve(words[0], words, environ[0] == NULL ? environ : environ + 1);
}

static _Noreturn void become_daemon(const struct keeper *keeper, int status) {
  const char *step = "log";
  if (say_to(*keeper->daemon_words)) {
    step = "exec";
    become(keeper, keeper->daemon_words + 1);
  }
  dprintf(status, "%s %d", step, errno);
  _exit(FAILED);
}

/** This process may be killed at any moment: there is no child before its pid has been told. @returns 0 in the child; -1, with errno, on failure */
static pid_t start(const char *name) {
  int go[2];
  if (pipe2(go, O_CLOEXEC) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    char word;
    close(go[1]);
    if (read(go[0], &word, 1) != 1) _exit(FAILED);
    return 0;
  }
  const int error = errno;
  if (child > 0) {
    report("%s %d\n", name, child);
    const ssize_t told = write(go[1], "", 1);
    (void)told; // It has ended already.
  }
  close(go[0]);
  close(go[1]);
  errno = error;
  return child;
}

/** An execve may hang, on a dead file server: its outcome comes by a pipe that it closes. */
static void start_daemon(struct keeper *keeper) {
  int status[2];
  if (pipe2(status, O_CLOEXEC) != 0) fail_to_keep("pipe");
  keeper->daemon = start("daemon");
  if (keeper->daemon < 0) fail_to_keep("fork");
  if (keeper->daemon == 0) become_daemon(keeper, status[1]);
  close(status[1]);
  keeper->start = status[0];
  keeper->started = true;
  close(ADDRESS); // The daemon alone holds it: its end is to be seen.
}

static _Noreturn void become_keyring(const struct keeper *keeper) {
  char **words = keeper->keyring_words;
  close(LOCK); // The session is not alive by this one.
  if (say_to(*words++) && dup2(SECRET, STDIN_FILENO) >= 0) {
    while (**words != '/') {
      putenv(*words++);
    }
    become(keeper, words);
  }
  dprintf(STDERR_FILENO, "%s\n", strerror(errno));
  _exit(FAILED);
}

/** The bus is there by now, and stays: a failure is told, and no end. */
static void start_keyring(struct keeper *keeper) {
  keeper->keyring = start("keyring");
  if (keeper->keyring == 0) become_keyring(keeper);
  if (keeper->keyring < 0) report("unstarted %d\n", errno);
  keeper->keyring_words = NULL;
  close(SECRET);
}

static void hear_start(struct keeper *keeper) {
  char failure[32];
  const ssize_t length = read(keeper->start, failure, sizeof failure);
  if (length > 0) {
    report("failed %.*s\n", (int)length, failure);
    keeper->daemon = 0;
  }
  close(keeper->start);
  keeper->start = -1;
}

static void reap(struct keeper *keeper) {
  struct signalfd_siginfo signal;
  while (read(keeper->children, &signal, sizeof signal) > 0) {
  }
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid == keeper->daemon && keeper->start >= 0) hear_start(keeper);
    if (pid == keeper->daemon) {
      report("died %d\n", status);
      keeper->daemon = 0;
    }
    if (pid == keeper->keyring) {
      report("gone %d\n", status);
      keeper->keyring = 0;
    }
  }
}

/** @returns false where the words are not a pid and another number */
static bool read_pair(const char *words, pid_t *pid, uint64_t *other) {
  uint64_t number = 0;
  if (!read_number(&words, 10, &number) || *words++ != ' ' || !read_number(&words, 10, other) || *words != '\0' || number == 0 || number > INT_MAX) {
    return false;
  }
  *pid = (pid_t)number;
  return true;
}

/** @param owner `PID STARTTIME`. @returns false where it is no such thing */
static bool watch(struct keeper *keeper, const char *owner) {
  uint64_t start = 0;
  if (!read_pair(owner, &keeper->watched, &start)) return false;
  keeper->watched_start = start;
  // First the descriptor, then the start time: the pid cannot come to another unseen. Before Linux 5.3 there is none.
  keeper->watched_file = (int)syscall(SYS_pidfd_open, keeper->watched, 0);
  report("watching\n");
  return true;
}

/** Nobody needs it any more but the daemon, if that is there: it has come to its end, and takes some milliseconds to be gone. */
static _Noreturn void end(const struct keeper *keeper) {
  int status;
  if (keeper->daemon > 0 && waitpid(keeper->daemon, &status, 0) == keeper->daemon) report("died %d\n", status);
  _exit(0);
}

/** Somebody may continue the command alone, or after jobbus-run, which has stopped again by then. */
static void rouse(const struct keeper *keeper) {
  uint64_t start;
  const char state = state_of(keeper->command, &start);
  if (state != '\0' && state != 'T' && state != 't' && state_of(keeper->asleep, &start) == 'T') kill(keeper->asleep, SIGCONT);
}

/** @param words `JOBBUS-RUN COMMAND`, two pids. @returns false where they are none */
static bool note_sleep(struct keeper *keeper, const char *words) {
  uint64_t command = 0;
  const bool read = read_pair(words, &keeper->asleep, &command) && command <= INT_MAX;
  keeper->command = (pid_t)command;
  return read;
}

static void obey(struct keeper *keeper, const char *line) {
  if (strcmp(line, "end") == 0) end(keeper);
  if (strcmp(line, "start") == 0 && !keeper->started) {
    start_daemon(keeper);
  } else if (strcmp(line, "keyring") == 0 && keeper->keyring_words != NULL) {
    start_keyring(keeper);
  } else if (strcmp(line, "awake") == 0) {
    keeper->asleep = 0;
  } else if (strncmp(line, "asleep ", 7) == 0 && note_sleep(keeper, line + 7)) {
    return;
  } else if (strncmp(line, "watch ", 6) != 0 || keeper->watched != 0 || !watch(keeper, line + 6)) {
    report("failed word %d\n", EINVAL);
  }
}

/** A word may come in pieces, and several at once. */
static void hear_control(struct keeper *keeper) {
  char text[256];
  const ssize_t length = read(keeper->control, text, sizeof text);
  if (length <= 0) {
    close(keeper->control);
    keeper->control = -1;
    return;
  }
  for (ssize_t at = 0; at < length; at++) {
    if (text[at] != '\n') {
      keeper->line[keeper->length] = text[at];
      keeper->length += keeper->length < LONGEST_LINE - 1; // The rest of one that is too long goes.
      continue;
    }
    keeper->line[keeper->length] = '\0';
    keeper->length = 0;
    obey(keeper, keeper->line);
  }
}

static bool is_over(const struct keeper *keeper) {
  return keeper->watched == 0 ? keeper->control < 0 : !is_running(keeper->watched, keeper->watched_start);
}

static _Noreturn void serve(struct keeper *keeper) {
  while (!is_over(keeper)) {
    struct pollfd files[] = {
      {keeper->start, POLLIN, 0},
      {keeper->children, POLLIN, 0},
      {keeper->control, POLLIN, 0},
      {keeper->watched_file, POLLIN, 0},
    };
    const bool looks = keeper->asleep != 0 || (keeper->watched != 0 && keeper->watched_file < 0);
    if (poll(files, 4, looks ? LOOK : -1) == 0 && keeper->asleep != 0) rouse(keeper);
    if (files[0].revents != 0) hear_start(keeper);
    if (files[1].revents != 0) reap(keeper);
    if (files[2].revents != 0) hear_control(keeper);
    if (files[3].revents != 0) {
      break; // Its /proc entry may be hidden, and a zombie can be signalled.
    }
  }
  sweep(keeper);
}

/** Out of the supervisor's tree, where a signal to the whole of it does not find the daemon. */
static void leave_tree(void) {
  const pid_t child = fork();
  if (child < 0) fail_to_keep("fork");
  if (child > 0) _exit(0);
  if (setsid() < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) fail_to_keep("session");
  report("keeper %d\n", getpid());
}

/** Nothing of the caller's is held, nor kept busy. */
static void let_go(bool has_secret) {
  if (!close_descriptors(has_secret ? SECRET + 1 : SECRET) || (has_secret && !close_at_exec(SECRET))) fail_to_keep("descriptors");
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 || chdir("/") != 0) fail_to_keep("/dev/null");
  close(null);
}

/** The tree of files may be replaced or removed before it is needed. */
static void hold_supervisor(char held[32]) {
  char path[SUPERVISOR_LENGTH];
  const int file = find_supervisor(path) ? open(path, O_PATH | O_CLOEXEC) : -1;
  snprintf(held, 32, "/proc/self/fd/%d", file);
}

/** @returns what is behind an empty word, which then ends what is before it; NULL where there is none */
static char **cut(char **words) {
  while (*words != NULL && **words != '\0') {
    words++;
  }
  if (*words == NULL) return NULL;
  *words = NULL;
  return words + 1;
}

void keep(int argc, char **argv) {
  struct settings settings;
  if (argc < 5 || !read_settings(&settings, argv[1])) {
    errno = EINVAL;
    fail_to_keep("arguments");
  }
  struct keeper keeper = {
    .settings = argv[1], .directory = argv[2], .daemon_words = argv + 3, .keyring_words = cut(argv + 3),
    .start = -1, .control = CONTROL, .watched_file = -1,
  };
  heed_signals();
  let_go(keeper.keyring_words != NULL);
  hold_supervisor(keeper.supervisor);
  const uint64_t child = UINT64_C(1) << (SIGCHLD - 1);
  keeper.children = (int)syscall(SYS_signalfd4, -1, &child, sizeof child, SFD_NONBLOCK | SFD_CLOEXEC);
  if (keeper.children < 0 || !close_at_exec(CONTROL) || !close_at_exec(REPORT) || fcntl(REPORT, F_SETFL, O_NONBLOCK) != 0) {
    fail_to_keep("descriptors");
  }
  leave_tree();
  serve(&keeper);
}
