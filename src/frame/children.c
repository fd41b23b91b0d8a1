#include "frame.h"

/** Milliseconds; and how many of them before KILL, and in all. */
enum { ROUND = 200, GENTLE_ROUNDS = 5, ROUNDS = 50 };

/** Fields of /proc/PID/stat behind the name, which is the second and may hold anything. */
enum { STATE = 3, START = 22 };

char state_of(pid_t pid, uint64_t *start) {
  char text[1024], path[40];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  const ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
  if (file >= 0) close(file);
  if (length <= 0) return '\0';
  text[length] = '\0';
  const char *field = strrchr(text, ')');
  char state = '\0';
  for (int at = STATE; field != NULL && at <= START && (field = strchr(field, ' ')) != NULL; at++) {
    field++;
    if (at == STATE) state = *field;
    if (at == START && read_number(&field, 10, start)) return state;
  }
  return '\0';
}

bool is_running(pid_t pid, uint64_t start) {
  uint64_t found = 0;
  const char state = state_of(pid, &found);
  // Gone; or hidden, by hidepid.
  if (state == '\0') return kill(pid, 0) == 0 || errno == EPERM;
  return state != 'Z' && state != 'X' && found == start;
}

/** @returns false where the kernel does not list them */
static bool signal_children(int signal) {
  char path[60], text[256];
  snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  pid_t pid = 0;
  for (ssize_t length; (length = read(file, text, sizeof text)) > 0;) {
    for (ssize_t at = 0; at < length; at++) {
      if (text[at] >= '0' && text[at] <= '9') {
        pid = pid * 10 + (text[at] - '0');
      } else if (pid > 0) {
        kill(pid, signal);
        pid = 0;
      }
    }
  }
  close(file);
  return true;
}

void end_children(pid_t known) {
  for (int round = 0; round < ROUNDS; round++) {
    const int signal = round < GENTLE_ROUNDS ? SIGTERM : SIGKILL;
    if (!signal_children(signal) && known > 0) kill(known, signal);
    signal_children(SIGCONT); // TERM waits in one that is stopped.
    poll(NULL, 0, ROUND);
    pid_t reaped;
    while ((reaped = waitpid(-1, NULL, WNOHANG)) > 0) {
      known = reaped == known ? 0 : known;
    }
    if (reaped < 0) return;
  }
}
