#include "frame.h"

enum { JOBBUS_RUN_GONE = 125, FAILED = 126 };

/** The number of a descriptor that an executed gate does not have: nobody stands behind it. */
enum { ALONE = -1 };

/** Nothing goes to the caller's descriptors where the supervisor is there to word it. */
static _Noreturn void report_failure(int status, const char *step) {
  if (status == ALONE) fail("entering", "the working directory", "go to one that may be entered");
  dprintf(status, "%s %d\n", step, errno);
  _exit(FAILED);
}

static void wait_for_word(int control) {
  char word;
  ssize_t count;
  do {
    count = read(control, &word, 1);
  } while (count < 0 && errno == EINTR);
  if (count != 1) _exit(JOBBUS_RUN_GONE);
}

static void enter_directory(const char *number, int status) {
  if (strcmp(number, "-") == 0) {
    return; // The caller's could not be left.
  }
  const int directory = whole_number(number);
  if (fchdir(directory) != 0) report_failure(status, "chdir");
  close(directory);
}

/** As much of a file as the kernel looks at. */
struct start {
  char bytes[256];
  /** -1 where it cannot be read. */
  ssize_t length;
};

static struct start start_of(const char *path) {
  struct start start = {.length = -1};
  const int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (file < 0) return start;
  start.length = read(file, start.bytes, sizeof start.bytes);
  close(file);
  return start;
}

/** As file(1) has it, of every encoding but UTF-16. */
static bool is_text(const char *bytes, size_t length) {
  for (size_t at = 0; at < length; at++) {
    const unsigned char byte = (unsigned char)bytes[at];
    if (byte == '\0' || byte == 0x7f || (byte < ' ' && strchr("\a\b\t\n\v\f\r\033", byte) == NULL)) return false;
  }
  return true;
}

static bool is_ascii(const char *bytes, size_t length) {
  for (size_t at = 0; at < length; at++) {
    if ((unsigned char)bytes[at] > 0x7f) return false;
  }
  return true;
}

/** What a shell can read as commands. Behind a line of plain ASCII there may be anything: a script that unpacks the rest of its file. */
static bool is_script(const char *path) {
  const struct start start = start_of(path);
  if (start.length < 0) return false;
  const char *end = memchr(start.bytes, '\n', (size_t)start.length);
  const size_t line = end == NULL ? 0 : (size_t)(end - start.bytes);
  return is_text(start.bytes, (size_t)start.length) || (line > 0 && is_ascii(start.bytes, line) && is_text(start.bytes, line));
}

/** @param argv SHELL takes the place of the path, and the path that of the first word */
static void become_command(char **argv) {
  char *path = argv[6];
  execve(path, argv + 7, environ);
  if (errno != ENOEXEC) return;
  if (is_script(path)) {
    argv[6] = (char[]){"/bin/sh"};
    argv[7] = path;
    execve(argv[6], argv + 6, environ);
    return;
  }
  errno = ENOEXEC;
}

/** The same, for people. @param interpreter empty: the file names none */
static _Noreturn void say_file(const char *path, int error, bool is_program, const char *interpreter) {
  char reason[2 * sizeof(struct start)];
  if (error == ENOEXEC) {
    strcpy(reason, is_program ? "it is made for another machine" : "it is neither a program nor a script");
  } else if (*interpreter != '\0' && (error == ENOENT || error == EACCES)) {
    snprintf(reason, sizeof reason, "its interpreter %s: %s", interpreter, strerror(error));
  } else {
    snprintf(reason, sizeof reason, "%s%s", is_program && error == ENOENT ? "the loader that it names: " : "", strerror(error));
  }
  fail_to_run(path, reason, error == ENOENT);
}

/** Tells of a script its interpreter, as the kernel reads that: it may be what is missing. Of a program, that it is one. */
static _Noreturn void report_file(int status, const char *path) {
  const int error = errno;
  struct start start = start_of(path);
  start.bytes[sizeof start.bytes - 1] = '\0';
  char *interpreter = start.bytes + 2 + strspn(start.bytes + 2, " \t");
  interpreter[strcspn(interpreter, " \t\n")] = '\0';
  const bool names_one = strncmp(start.bytes, "#!", 2) == 0;
  const bool is_program = strncmp(start.bytes, "\177ELF", 4) == 0;
  if (status == ALONE) say_file(path, error, is_program, names_one ? interpreter : "");
  if (names_one) {
    dprintf(status, "exec %d #!%s\n", error, interpreter);
  } else {
    dprintf(status, "exec %d%s\n", error, is_program ? " ELF" : "");
  }
  _exit(FAILED);
}

void stand_as_gate(int argc, char **argv) {
  struct settings settings;
  const bool is_alone = argc > 7 && strcmp(argv[4], "-") == 0 && strcmp(argv[5], "-") == 0;
  const int control = argc > 7 && !is_alone ? whole_number(argv[4]) : ALONE;
  const int status = argc > 7 && !is_alone ? whole_number(argv[5]) : ALONE;
  if (!is_alone && (!close_at_exec(control) || !close_at_exec(status))) _exit(FAILED);
  if (!read_settings(&settings, argv[1])) {
    errno = EINVAL;
    report_failure(status, "settings");
  }
  if (!is_alone) wait_for_word(control);
  enter_directory(argv[2], status);
  for (const char *digit = argv[3]; *digit >= '0' && *digit <= '2'; digit++) {
    close(*digit - '0');
  }
  restore_settings(&settings);
  become_command(argv);
  report_file(status, argv[6]);
}
