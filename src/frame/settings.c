#include "frame.h"

#include <inttypes.h>

/** As the kernel has it on x86-64 and arm64: glibc's own keeps 32 and 33 to itself, in masks and as signals. */
struct disposition {
  uintptr_t handler;
  unsigned long flags;
  uintptr_t restorer;
  uint64_t mask;
};

static const int kept[LIMITS] = {RLIMIT_NOFILE, RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE};

static uint64_t set_mask(uint64_t mask) {
  uint64_t before = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &before, sizeof mask);
  return before;
}

uint64_t block_signals(void) {
  return set_mask(UINT64_MAX);
}

static void set_disposition(int signal, uintptr_t handler) {
  const struct disposition wanted = {.handler = handler};
  syscall(SYS_rt_sigaction, signal, &wanted, NULL, sizeof wanted.mask);
}

void heed_signals(void) {
  for (int signal = 1; signal <= SIGNALS; signal++) {
    set_disposition(signal, (uintptr_t)SIG_DFL);
  }
}

void forget_signals(void) {
  for (int signal = 1; signal <= SIGNALS; signal++) {
    if (signal == SIGCHLD) continue; // Who ignores it loses its children's ends.
    set_disposition(signal, (uintptr_t)SIG_IGN);
    set_disposition(signal, (uintptr_t)SIG_DFL);
  }
}

void note_settings(struct settings *settings, uint64_t blocked) {
  settings->blocked = blocked;
  settings->ignored = 0;
  for (int signal = 1; signal <= SIGNALS; signal++) {
    struct disposition found = {0};
    syscall(SYS_rt_sigaction, signal, NULL, &found, sizeof found.mask);
    if (found.handler == (uintptr_t)SIG_IGN) settings->ignored |= UINT64_C(1) << (signal - 1);
  }
  for (int at = 0; at < LIMITS; at++) {
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    getrlimit(kept[at], &limit);
    settings->limits[at] = limit.rlim_cur;
  }
}

void write_settings(const struct settings *settings, char word[SETTINGS_LENGTH]) {
  int length = snprintf(word, SETTINGS_LENGTH, "%016" PRIx64 ":%016" PRIx64, settings->blocked, settings->ignored);
  for (int at = 0; at < LIMITS; at++) {
    const size_t left = SETTINGS_LENGTH - (size_t)length;
    const rlim_t limit = settings->limits[at];
    length += limit == RLIM_INFINITY ? snprintf(word + length, left, ":-") : snprintf(word + length, left, ":%ju", (uintmax_t)limit);
  }
}

bool read_settings(struct settings *settings, const char *word) {
  if (!read_number(&word, 16, &settings->blocked) || *word++ != ':' || !read_number(&word, 16, &settings->ignored)) return false;
  for (int at = 0; at < LIMITS; at++) {
    uint64_t number = RLIM_INFINITY;
    if (*word++ != ':') return false;
    if (*word == '-') {
      word++;
    } else if (!read_number(&word, 10, &number)) {
      return false;
    }
    settings->limits[at] = number;
  }
  return *word == '\0';
}

void restore_settings(const struct settings *settings) {
  for (int signal = 1; signal <= SIGNALS; signal++) {
    const bool ignored = settings->ignored >> (signal - 1) & 1;
    set_disposition(signal, (uintptr_t)(ignored ? SIG_IGN : SIG_DFL)); // KILL and STOP refuse, and need none.
  }
  for (int at = 0; at < LIMITS; at++) {
    struct rlimit limit;
    if (getrlimit(kept[at], &limit) == 0) {
      // The hard one may have been lowered meanwhile, by prlimit(1).
      limit.rlim_cur = settings->limits[at] < limit.rlim_max ? settings->limits[at] : limit.rlim_max;
      setrlimit(kept[at], &limit);
    }
  }
  set_mask(settings->blocked);
}
