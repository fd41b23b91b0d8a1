#include "frame.h"

#include <ctype.h>

bool read_number(const char **text, int base, uint64_t *number) {
  // strtoull() would take blanks and signs as well.
  if (!isxdigit((unsigned char)**text)) return false;
  char *end = NULL;
  errno = 0;
  *number = strtoull(*text, &end, base);
  const bool read = errno == 0 && end != *text;
  *text = end;
  return read;
}

int whole_number(const char *word) {
  uint64_t number = 0;
  return read_number(&word, 10, &number) && *word == '\0' && number <= INT_MAX ? (int)number : -1;
}
