#include "frame.h"

#include <time.h>

enum { QUESTIONS = 0, ANSWERS = 1, FAILED = 125 };

/** Shorter than PIPE_BUF: the pipe takes it whole, or not yet. */
struct record {
  /** CLOCK_MONOTONIC, when it was read. */
  int64_t seconds;
  int64_t nanoseconds;
  /** Signal 0: all that was pending at the question has been told. */
  struct signalfd_siginfo signal;
};

/** @returns whether the pipe took it; who has no reader any more ends */
static bool tell(const struct record *record) {
  if (write(ANSWERS, record, sizeof *record) == sizeof *record) return true;
  if (errno != EAGAIN && errno != EINTR) _exit(FAILED);
  return false;
}

static bool read_signal(int signals, struct record *record) {
  struct timespec now;
  memset(record, 0, sizeof *record);
  if (read(signals, &record->signal, sizeof record->signal) != sizeof record->signal) return false;
  clock_gettime(CLOCK_MONOTONIC, &now);
  record->seconds = now.tv_sec;
  record->nanoseconds = now.tv_nsec;
  return true;
}

/** All signals at once as they come, each question behind what was pending. While the pipe is full, signals wait in the kernel, and questions in theirs. */
static _Noreturn void answer(int signals) {
  const struct record answer = {0};
  struct record heard;
  bool asked = true; // That it listens is the first answer.
  bool full = false;
  for (;;) {
    while (!full && read_signal(signals, &heard)) {
      full = !tell(&heard);
    }
    if (!full && asked) asked = !tell(&answer);
    struct pollfd ends[] = {
      {QUESTIONS, asked || full ? 0 : POLLIN, 0}, // Its end is told in any case.
      {ANSWERS, asked || full ? POLLOUT : 0, 0},
      {signals, full ? 0 : POLLIN, 0},
    };
    if (poll(ends, 3, -1) < 0) continue;
    if (ends[1].revents & POLLERR) {
      _exit(FAILED); // Nobody reads.
    }
    if (full && ends[1].revents != 0) full = !tell(&heard);
    char question;
    if (ends[0].revents != 0 && (asked || full || read(QUESTIONS, &question, 1) != 1)) _exit(0);
    asked = asked || ends[0].revents != 0;
  }
}

void stand_as_sentinel(int argc, char **argv) {
  const uint64_t every = UINT64_MAX;
  if (argc == 2 && strcmp(argv[1], "tree") == 0) {
    setsid(); // It hears what the tree hears, and not the group. A leader of one has left already.
  }
  // glibc's signalfd() leaves 32 and 33 out.
  const bool alone = close_descriptors(2);
  const int signals = (int)syscall(SYS_signalfd4, -1, &every, sizeof every, SFD_NONBLOCK | SFD_CLOEXEC);
  if (!alone || signals < 0 || fcntl(ANSWERS, F_SETFL, O_NONBLOCK) != 0) _exit(FAILED);
  answer(signals);
}
