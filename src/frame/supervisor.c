#include "frame.h"

#include <elf.h>
#include <sys/mman.h>
#include <sys/stat.h>

/** Bytes, with the NUL at its end: the longest string that execve takes (MAX_ARG_STRLEN, 32 pages of 4 kB). */
enum { LONGEST_STRING = 131072, RECORD_LENGTH = LONGEST_STRING };

/** The kernel takes a quarter of it for arguments and environment, and never more than 6 MB (fs/exec.c). */
static const rlim_t STACK_FOR_ALL_ARGUMENTS = (rlim_t)24 << 20;

static const char BESIDE_BIN[] = "/lib/jobbus-run/supervisor";

/** From the last slash on. */
static void cut_name(char *path) {
  char *slash = strrchr(path, '/');
  if (slash != NULL) *slash = '\0';
}

bool find_supervisor(char path[SUPERVISOR_LENGTH]) {
  const ssize_t length = readlink("/proc/self/exe", path, PATH_MAX);
  if (length < 0) return false;
  path[length] = '\0';
  cut_name(path);
  cut_name(path);
  strcat(path, BESIDE_BIN);
  return true;
}

bool is_whole(const char *path) {
  Elf64_Ehdr header = {0};
  struct stat status;
  const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // A FIFO would wait for a writer.
  if (file < 0) return true; // An execve will tell why.
  const ssize_t length = read(file, &header, sizeof header);
  const bool is_known = length >= 0 && fstat(file, &status) == 0;
  close(file);
  if (!is_known || (length > 0 && memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)) return true;
  // The table of its sections is the last of it.
  return length == sizeof header && (uint64_t)status.st_size >= header.e_shoff + (uint64_t)header.e_shnum * header.e_shentsize;
}

/** Raises a soft limit to at most the hard one. @returns what it was */
static struct rlimit raise_limit(int resource, rlim_t wanted) {
  struct rlimit before = {RLIM_INFINITY, RLIM_INFINITY};
  getrlimit(resource, &before);
  const struct rlimit raised = {wanted < before.rlim_max ? wanted : before.rlim_max, before.rlim_max};
  if (before.rlim_cur < raised.rlim_cur) setrlimit(resource, &raised);
  return before;
}

static bool write_whole(int file, const char *bytes, size_t length) {
  while (length > 0) {
    const ssize_t written = write(file, bytes, length);
    if (written < 0) return false;
    bytes += written;
    length -= (size_t)written;
  }
  return true;
}

/** Entries that go by a file of memory: all, or those that execve does not take with a byte more. */
struct parcel {
  bool all;
  /** -1: there is none. */
  int file;
};

/** An empty one would look like the mark of one that went. */
static bool goes_by_file(const struct parcel *parcel, size_t length) {
  return parcel->all || length == 0 || length + 2 > LONGEST_STRING;
}

/** A file of memory counts as a file: its writer needs a limit of file sizes, which a command is free to have at 0. */
static bool send_by_file(struct parcel *parcel, const char *entry, size_t length) {
  if (parcel->file < 0) parcel->file = memfd_create("jobbus-run", 0);
  if (parcel->file < 0) return false;
  const struct rlimit sizes = raise_limit(RLIMIT_FSIZE, RLIM_INFINITY);
  const bool written = write_whole(parcel->file, entry, length + 1);
  setrlimit(RLIMIT_FSIZE, &sizes);
  return written;
}

/**
 * For the engine. Its collector stops threads by a signal: rather by PROF, which nobody sends, than by PWR; it complains about one that the engine
 * handles or ignores. It has no threads beside the first: a command may use up all that its user may have, and an engine that gets none aborts. And it
 * compiles but quickly, and only what runs long, as a sweep of many: by its usual threshold of 500, a run would compile what it calls some thirty times,
 * for more than that saves.
 */
static char *const SETTINGS[] = {
  (char[]){"JSC_SIGNAL_FOR_GC=27"},
  (char[]){"BUN_JSC_numberOfGCMarkers=1"},
  (char[]){"BUN_JSC_useConcurrentGC=0"},
  (char[]){"BUN_JSC_useConcurrentJIT=0"},
  (char[]){"BUN_JSC_useDFGJIT=0"},
  (char[]){"BUN_JSC_thresholdForJITAfterWarmUp=3000"},
  (char[]){"BUN_JSC_useWarmUpMarkedBlocks=0"},
};

/** In front of the caller's entries: a record, and these. */
enum { OWN_ENTRIES = 1 + sizeof SETTINGS / sizeof *SETTINGS };

/**
 * Puts one byte in front of each entry, so that no name means anything to a loader or to the engine; the byte alone stands for one
 * that goes by the file. @returns the entries, behind free places for our own, and NULL at the end; NULL with errno on failure
 */
static char **wrap_environment(struct parcel *parcel) {
  size_t count = 0;
  size_t size = 0;
  for (; environ[count] != NULL; count++) {
    size += strlen(environ[count]) + 2;
  }
  char **entries = malloc((OWN_ENTRIES + count + 1) * sizeof *entries + size);
  if (entries == NULL) return NULL;
  char *text = (char *)(entries + OWN_ENTRIES + count + 1);
  for (size_t at = 0; at < count; at++) {
    const size_t length = strlen(environ[at]);
    const bool sent = goes_by_file(parcel, length);
    if (sent && !send_by_file(parcel, environ[at], length)) {
      free(entries);
      return NULL;
    }
    entries[OWN_ENTRIES + at] = text;
    *text++ = ':';
    text = mempcpy(text, sent ? "" : environ[at], sent ? 1 : length + 1);
  }
  entries[OWN_ENTRIES + count] = NULL;
  return entries;
}

static bool write_record(char record[RECORD_LENGTH], const struct handover *handover, int file) {
  char number[12] = "-";
  if (file >= 0) snprintf(number, sizeof number, "%d", file);
  const int length = snprintf(record, RECORD_LENGTH, "JOBBUS_LAUNCHER=2:%s:%s:%d:%s:%s:%s:%s:%s", VERSION, handover->role, getpid(),
                              handover->directory, handover->closed, handover->settings, number, handover->descriptors);
  errno = E2BIG;
  return length > 0 && length < RECORD_LENGTH;
}

/** The entries once, by the parcel's rule. */
static void try_supervisor(const char *path, char **words, const struct handover *handover, struct parcel parcel) {
  static char record[RECORD_LENGTH];
  char **entries = wrap_environment(&parcel);
  if (entries != NULL) {
    entries[0] = record;
    memcpy(entries + 1, SETTINGS, sizeof SETTINGS);
    if ((parcel.file < 0 || lseek(parcel.file, 0, SEEK_SET) == 0) && write_record(record, handover, parcel.file)) execve(path, words, entries);
  }
  const int error = errno;
  free(entries);
  if (parcel.file >= 0) close(parcel.file);
  errno = error;
}

void become_supervisor(const char *path, char **words, const struct handover *handover) {
  try_supervisor(path, words, handover, (struct parcel){.all = false, .file = -1});
  if (errno == E2BIG) {
    raise_limit(RLIMIT_STACK, STACK_FOR_ALL_ARGUMENTS);
    try_supervisor(path, words, handover, (struct parcel){.all = true, .file = -1});
  }
}
