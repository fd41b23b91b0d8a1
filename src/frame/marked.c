#include "frame.h"

#include <dirent.h>

/** Milliseconds; and how many of them before KILL, and in all. */
enum { ROUND = 200, GENTLE_ROUNDS = 5, ROUNDS = 50 };

/** By which each scheduler names its jobs, as in session/job.ts. */
static const char *const JOBS[] = {"SLURM_JOB_ID=", "PBS_JOBID=", "LSB_JOBID=", "FLUX_JOB_ID=", "_CONDOR_SCRATCH_DIR=", "JOB_ID="};

static bool is_own_entry(const char *entry) {
  for (char **own = environ; *own != NULL; own++) {
    if (strcmp(*own, entry) == 0) return true;
  }
  return false;
}

static bool names_another_job(const char *entry) {
  for (size_t at = 0; at < sizeof JOBS / sizeof *JOBS; at++) {
    if (strncmp(entry, JOBS[at], strlen(JOBS[at])) == 0) return !is_own_entry(entry);
  }
  return false;
}

/** @returns what is behind the name, or NULL */
static const char *value_of(const char *entry, const char *name) {
  const size_t length = strlen(name);
  return strncmp(entry, name, length) == 0 && entry[length] == '=' ? entry + length + 1 : NULL;
}

static bool names_session(const char *entry, const char *directory) {
  const char *found = value_of(entry, "XDG_RUNTIME_DIR");
  if (found != NULL) return strcmp(found, directory) == 0;
  const char *bus = getenv("DBUS_SESSION_BUS_ADDRESS");
  found = value_of(entry, "DBUS_SESSION_BUS_ADDRESS");
  return found != NULL && bus != NULL && strncmp(found, bus, strlen(bus)) == 0 && (found[strlen(bus)] == '\0' || found[strlen(bus)] == ',');
}

static bool is_marked(pid_t pid, const char *directory) {
  char path[40];
  snprintf(path, sizeof path, "/proc/%d/environ", pid);
  FILE *file = fopen(path, "re");
  if (file == NULL) return false;
  char *entry = NULL;
  size_t size = 0;
  bool marked = false;
  bool foreign = false;
  while (getdelim(&entry, &size, '\0', file) > 0) {
    const char *text = *entry == ':' ? entry + 1 : entry; // As an inner jobbus-run has them.
    marked |= names_session(text, directory);
    foreign |= names_another_job(text);
  }
  free(entry);
  fclose(file);
  return marked && !foreign;
}

/** @param signal 0: none. @returns whether there is one */
static bool signal_marked(const char *directory, pid_t spared, int signal) {
  DIR *processes = opendir("/proc");
  if (processes == NULL) return false;
  bool found = false;
  for (struct dirent *process; (process = readdir(processes)) != NULL;) {
    const int pid = whole_number(process->d_name);
    if (pid <= 0 || pid == getpid() || pid == spared || !is_marked(pid, directory)) continue;
    found |= kill(pid, signal) == 0;
    if (signal == SIGTERM) kill(pid, SIGCONT); // It waits in one that is stopped.
  }
  closedir(processes);
  return found;
}

void end_marked(const char *directory, pid_t spared) {
  for (int round = 0; round < ROUNDS; round++) {
    if (!signal_marked(directory, spared, round == 0 ? SIGTERM : round < GENTLE_ROUNDS ? 0 : SIGKILL)) return;
    poll(NULL, 0, ROUND);
  }
}
