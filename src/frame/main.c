#include "frame.h"

int main(int argc, char **argv) {
  // From here on no signal is lost, none kills, none interrupts.
  const uint64_t blocked = block_signals();
  const char *path = argc > 0 ? argv[0] : "";
  const char *slash = strrchr(path, '/');
  const char *name = slash == NULL ? path : slash + 1;
  if (strcmp(name, "jobbus-gate") == 0) stand_as_gate(argc, argv);
  if (strcmp(name, "jobbus-sentinel") == 0) stand_as_sentinel(argc, argv);
  if (strcmp(name, "jobbus-keeper") == 0) keep(argc, argv);
  launch(argv, blocked);
}
