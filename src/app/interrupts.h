// Interrupts: SIGINT and SIGTERM, and what they mean at the moment. The one place with process-wide
// state, which signals need. Handled on the main thread: other threads pass them on, so that its
// system calls return with EINTR.
#pragma once

#include <termios.h>

#include <cstdint>

namespace pippin::app {

enum class OnInterrupt : uint8_t {
  kQuit,   // ends the process at once, with 128 + the signal's number: while loading
  kDrain,  // the first one ends wait(); a second one quits at once: while serving
  kCount,  // counted, for a chat to look at; a third one unseen quits at once
};

class Interrupts {
 public:
  /// Installs the handlers, and ignores SIGPIPE and SIGXFSZ: writes fail instead. Called once, on
  /// the main thread.
  static void install();
  static void set(OnInterrupt meaning);

  /// Returns the number of the first signal under kDrain; waits for it.
  static int wait();
  /// Returns whether a signal has come since the last forget(), under kCount.
  static bool pending();
  /// Returns whether SIGTERM was among them, ever.
  static bool terminated();
  /// Forgets those that came so far. Called where one has been acted upon, and nowhere else: one
  /// that comes between an answer and the prompt is for whichever comes next.
  static void forget();
  /// What a signal that quits at once makes of stdin's terminal first; null: nothing.
  static void restore_at_quit(const termios* modes);
};

}  // namespace pippin::app
