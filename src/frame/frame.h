/**
 * The frame: one small static program, of which each process of ours is a part, by the name it is called with. What its files share.
 */
#ifndef FRAME_H
#define FRAME_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// The parts, a file each. All run with every signal blocked.

/** Notes what the engine would erase, and becomes the supervisor. @param blocked the caller's signal mask */
_Noreturn void launch(char **argv, uint64_t blocked);

/**
 * `jobbus-gate SETTINGS CWD CLOSED CONTROL STATUS PATH WORD...`: stands in the command's place until it is told, and becomes it. With `-` for
 * CONTROL and STATUS it is what a jobbus-run has become: it becomes the command at once, or else jobbus-run again, by the name of jobbus-unstarted.
 */
_Noreturn void stand_as_gate(int argc, char **argv);

/** `jobbus-sentinel group|tree`: hears what a process in its place hears, and tells it. */
_Noreturn void stand_as_sentinel(int argc, char **argv);

/** `jobbus-keeper SETTINGS DIRECTORY LOG DAEMON ARGUMENT... ["" [NAME=VALUE...] KEYRING ARGUMENT...]`: outside of our tree, the reaper of the daemon's side. */
_Noreturn void keep(int argc, char **argv);

// settings.c: what the caller handed down that a process itself can change, kept as one word of text, and given back to daemon and command.

enum { SIGNALS = 64, LIMITS = 5, SETTINGS_LENGTH = 160 };

struct settings {
  /** Bit n-1 is signal n. */
  uint64_t blocked;
  uint64_t ignored;
  /** Soft limits: open files, address space, data, stack, core. */
  rlim_t limits[LIMITS];
};

/** Blocks every signal, 32 and 33 too. @returns the mask of before */
uint64_t block_signals(void);

/** All but the mask, which is the caller's to know. */
void note_settings(struct settings *settings, uint64_t blocked);

/** BLOCKED:IGNORED:NOFILE:AS:DATA:STACK:CORE, the masks in 16 hexadecimal digits, the limits in decimal, `-` for none. */
void write_settings(const struct settings *settings, char word[SETTINGS_LENGTH]);

/** @returns whether the word is one that write_settings() makes */
bool read_settings(struct settings *settings, const char *word);

/** The last step before execve: from its end on, a signal that was pending takes effect. */
void restore_settings(const struct settings *settings);

/** A caller may have ignored CHLD, and who ignores it is never told of a child; or the one that the engine's collector uses, which complains. */
void heed_signals(void);

/** Drops all that is pending: the engine lets some through, which would end it. */
void forget_signals(void);

// messages.c: what a user reads when nothing could be started.

/** Notes whether a shell evaluates our output, as the words tell. */
void hear_words(char **words);

/** One line on stderr: what was tried and failed, errno's text, what to do. The exit status is 125. */
_Noreturn void fail(const char *tried, const char *object, const char *advice);

/** The same, with a reason of its own. */
_Noreturn void fail_because(const char *tried, const char *object, const char *reason, const char *advice);

// supervisor.c: how a process of ours becomes the supervisor, and what it tells it.

enum { SUPERVISOR_LENGTH = PATH_MAX + 64 };

struct handover {
  /** `caller`, or `keeper.` and the daemon's pid. */
  const char *role;
  /** The number of the working directory's descriptor, or `-`. */
  const char *directory;
  /** The digits of 0, 1, 2 that were closed, or `-`. */
  const char *closed;
  /** A word as write_settings() makes it. */
  const char *settings;
  /** The caller's descriptors from 3 up, as `3-9,11`, or `-`. */
  const char *descriptors;
};

/** The supervisor's path, as this program's place tells it. @returns false, with errno, where /proc does not tell that */
bool find_supervisor(char path[SUPERVISOR_LENGTH]);

/** Whether the program has an end: half of one, of an archive that was half unpacked, would crash. What is no program is not judged. */
bool is_whole(const char *path);

/** Returns on failure only, with errno. */
void become_supervisor(const char *path, char **words, const struct handover *handover);

// descriptors.c: which are open here.

/** Writes those from the number up, as `3-9,11`, or `-` for none. @returns false, with errno: /proc does not tell, or they do not fit */
bool list_descriptors(int first, char *text, size_t size);

/** Closes all from the number up. @returns false, with errno, where neither the kernel nor /proc helps */
bool close_descriptors(int first);

/** Has it closed by execve. @returns false, with errno, where it is not open */
bool close_at_exec(int descriptor);

// numbers.c: numbers in the words that our processes tell each other.

/** Reads digits, and moves the text behind them. @returns false where there are none, or too many */
bool read_number(const char **text, int base, uint64_t *number);

/** @returns the number that is all of the word, from 0 to INT_MAX; or -1 */
int whole_number(const char *word);

// children.c: the children of this process.

/** @param start takes field 22 of /proc/PID/stat, in ticks since boot. @returns field 3, a letter; NUL where /proc does not tell it */
char state_of(pid_t pid, uint64_t *start);

/** @param start as of state_of(). @returns whether it is the process of then, and no zombie */
bool is_running(pid_t pid, uint64_t start);

/** Ends and reaps all children, and what they leave to us: TERM, a second, KILL. @param known one of them, or 0, for a kernel that does not list them */
void end_children(pid_t known);

// marked.c: processes that are told by their environment.

/** Ends all that names the session with this directory, or its bus, and no other job: TERM, a second, KILL. @param spared a process, or 0 */
void end_marked(const char *directory, pid_t spared);

#endif
