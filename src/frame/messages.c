#include "frame.h"

static bool evaluated = false;

void hear_words(char **words) {
  // A word that is no option ends them, unless it may be the value of the one before it.
  for (const char *previous = ""; *words != NULL && strcmp(*words, "--") != 0; previous = *words++) {
    const size_t length = strlen(*words);
    const bool names_syntax = length >= 9 && strncmp(*words, "--", 2) == 0 && strcmp(*words + length - 7, "-syntax") == 0;
    const bool tells_variables = strcmp(*words, "--join") == 0 && (words[1] == NULL || words[2] == NULL);
    if (names_syntax || tells_variables || strcmp(*words, "--stop") == 0) {
      evaluated = true;
    } else if (**words != '-' && *previous != '-') {
      return;
    }
  }
}

void fail_because(const char *tried, const char *object, const char *reason, const char *advice) {
  char line[SUPERVISOR_LENGTH + 256];
  snprintf(line, sizeof line, "jobbus-run: %s %s failed: %s; %s", tried, object, reason, advice);
  // A name may hold anything, and a terminal obeys it.
  for (char *at = line; *at != '\0'; at++) *at = *at < ' ' || *at > '~' ? '?' : *at;
  dprintf(STDERR_FILENO, "%s\n", line);
  // Of nothing, the status would be 0.
  const ssize_t written = evaluated ? write(STDOUT_FILENO, "false", 5) : 0;
  (void)written;
  _exit(125);
}

/** What helps whatever was tried; else the advice. */
static const char *common_advice(int error, const char *advice) {
  switch (error) {
    case EMFILE: return "raise the limit of open files (ulimit -n)";
    case ENFILE: return "the machine has too many open files; try again later";
    case ENOMEM: return "free memory, or raise its limit (ulimit -v, or the job's)";
    default: return advice;
  }
}

void fail(const char *tried, const char *object, const char *advice) {
  const int error = errno;
  fail_because(tried, object, strerror(error), common_advice(error, advice));
}
