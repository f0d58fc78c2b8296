#include "app/interrupts.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>

#include "base/check.h"

namespace pippin::app {
namespace {

constexpr int kUnseenMax = 3;

std::atomic<OnInterrupt> meaning_now{OnInterrupt::kQuit};
std::atomic<int> seen{0};
std::atomic<bool> term_seen{false};
pthread_t main_thread;
int wake_pipe[2] = {-1, -1};
termios quit_modes;
std::atomic<bool> has_quit_modes{false};

static_assert(std::atomic<OnInterrupt>::is_always_lock_free &&
              std::atomic<int>::is_always_lock_free);

// These two call only what a signal handler may.
[[noreturn]] void quit(int signal) {
  if (has_quit_modes) tcsetattr(STDIN_FILENO, TCSANOW, &quit_modes);
  _exit(128 + signal);
}

void handle(int signal) {
  if (pthread_equal(pthread_self(), main_thread) == 0) {
    pthread_kill(main_thread, signal);
    return;
  }
  const int saved_errno = errno;
  if (signal == SIGTERM) term_seen = true;
  const int count = ++seen;
  switch (meaning_now.load()) {
    case OnInterrupt::kQuit:
      quit(signal);
    case OnInterrupt::kDrain: {
      if (count > 1) quit(signal);
      const char byte = static_cast<char>(signal);
      [[maybe_unused]] const ssize_t written = write(wake_pipe[1], &byte, 1);
      break;
    }
    case OnInterrupt::kCount:
      if (count >= kUnseenMax) quit(signal);
      break;
  }
  errno = saved_errno;
}

}  // namespace

void Interrupts::install() {
  main_thread = pthread_self();
  CHECK(pipe(wake_pipe) == 0, "a pipe for signals");
  for (const int end : wake_pipe) fcntl(end, F_SETFD, FD_CLOEXEC);
  struct sigaction action = {};
  action.sa_handler = handle;  // no SA_RESTART: a read at the prompt ends
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

void Interrupts::set(OnInterrupt meaning) {
  seen = 0;
  meaning_now = meaning;
}

int Interrupts::wait() {
  char signal = 0;
  while (read(wake_pipe[0], &signal, 1) != 1) CHECK(errno == EINTR, "the pipe for signals is open");
  return signal;
}

bool Interrupts::pending() { return seen > 0; }
bool Interrupts::terminated() { return term_seen; }
void Interrupts::forget() { seen = 0; }

void Interrupts::restore_at_quit(const termios* modes) {
  has_quit_modes = false;
  if (modes == nullptr) return;
  quit_modes = *modes;
  has_quit_modes = true;
}

}  // namespace pippin::app
