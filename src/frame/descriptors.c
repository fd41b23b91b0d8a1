#include "frame.h"

#include <dirent.h>

/** The listing's own is none. @returns the next from the number up; -1 behind the last */
static int next_descriptor(DIR *listing, int first) {
  const struct dirent *entry;
  while ((entry = readdir(listing)) != NULL) {
    const int descriptor = whole_number(entry->d_name);
    if (descriptor >= first && descriptor != dirfd(listing)) return descriptor;
  }
  return -1;
}

bool list_descriptors(int first, char *text, size_t size) {
  DIR *listing = opendir("/proc/self/fd");
  if (listing == NULL) return false;
  size_t length = (size_t)snprintf(text, size, "-");
  // The kernel lists them in the order of their numbers.
  int next = next_descriptor(listing, first);
  for (const char *separator = ""; next >= 0 && length < size; separator = ",") {
    const int from = next;
    int to = from;
    while ((next = next_descriptor(listing, first)) == to + 1) {
      to = next;
    }
    const size_t at = *separator == '\0' ? 0 : length;
    length = at + (size_t)snprintf(text + at, size - at, from == to ? "%s%d" : "%s%d-%d", separator, from, to);
  }
  closedir(listing);
  errno = E2BIG;
  return length < size;
}

bool close_descriptors(int first) {
  if (syscall(SYS_close_range, first, UINT_MAX, 0) == 0) return true;
  // Before Linux 5.9.
  DIR *listing = opendir("/proc/self/fd");
  if (listing == NULL) return false;
  for (int next; (next = next_descriptor(listing, first)) >= 0;) {
    close(next);
  }
  closedir(listing);
  return true;
}

bool close_at_exec(int descriptor) {
  return fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0;
}
