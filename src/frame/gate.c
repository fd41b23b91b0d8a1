#include "frame.h"

enum { GONE = 125 };

/** Where its words stand: the last are the command's. */
enum { SETTINGS = 1, DIRECTORY, CLOSED, CONTROL, STATUS, PATH, WORDS };

/** The number of a descriptor that is not there: nobody stands behind the gate. */
enum { ALONE = -1 };

static void wait_for_word(int control) {
  char word;
  ssize_t count;
  do {
    count = read(control, &word, 1);
  } while (count < 0 && errno == EINTR);
  if (count != 1) _exit(GONE);
}

/** The supervisor words it: the one behind the gate; or, where there is none, the one that this process becomes. */
static void report(int status, char *step, char **argv) {
  char number[12];
  snprintf(number, sizeof number, "%d", errno);
  if (status != ALONE) {
    dprintf(status, "%s %s\n", step, number);
    return;
  }
  char **words = argv + PATH - 3;
  words[0] = "jobbus-unstarted";
  words[1] = step;
  words[2] = number;
  if (errno == E2BIG) {
    words[5] = NULL; // What was too much for the command is too much for us.
    environ = words + 5;
  }
  execve("/proc/self/exe", words, environ);
  fail("starting", "/proc/self/exe", "mount /proc");
}

static _Noreturn void give_up(int status, char *step, char **argv) {
  report(status, step, argv);
  _exit(GONE);
}

static bool enter_directory(const char *number) {
  if (strcmp(number, "-") == 0) {
    return true; // The caller's could not be left.
  }
  const int directory = whole_number(number);
  return fchdir(directory) == 0 && close(directory) == 0;
}

void stand_as_gate(int argc, char **argv) {
  if (argc <= WORDS) _exit(GONE);
  struct settings settings;
  const int control = whole_number(argv[CONTROL]);
  const int status = whole_number(argv[STATUS]);
  if (control != ALONE && (!close_at_exec(control) || !close_at_exec(status))) _exit(GONE);
  if (!read_settings(&settings, argv[SETTINGS])) {
    errno = EINVAL;
    give_up(status, "settings", argv);
  }
  if (control != ALONE) wait_for_word(control);
  if (!enter_directory(argv[DIRECTORY])) give_up(status, "chdir", argv);
  for (const char *digit = argv[CLOSED]; *digit >= '0' && *digit <= '2'; digit++) {
    close(*digit - '0');
  }
  restore_settings(&settings);
  execve(argv[PATH], argv + WORDS, environ);
  report(status, "exec", argv);
  // The word comes for a script that names no interpreter: the kernel takes none.
  wait_for_word(control);
  argv[WORDS] = argv[PATH];
  argv[PATH] = "/bin/sh";
  execve(argv[PATH], argv + PATH, environ);
  give_up(status, "exec", argv);
}
