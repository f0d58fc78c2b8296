#include "service/process.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <fstream>
#include <random>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace pippin::service {
namespace {

using Seconds = std::chrono::duration<double>;
using std::chrono::steady_clock;
using std::chrono::system_clock;

// Read when the program starts, before main.
const steady_clock::time_point kStarted = steady_clock::now();
const double kStartedUnix = Seconds(system_clock::now().time_since_epoch()).count();

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t pages = 0, resident = 0;
  if (!(file >> pages >> resident)) return 0;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

Process this_process() {
  Process process;
  process.started_unix_s = kStartedUnix;
  process.uptime_s = Seconds(steady_clock::now() - kStarted).count();
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0)
    process.cpu_s = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
  process.resident_bytes = resident_bytes();
  return process;
}

void give_back_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

std::string process_name() {
  static const unsigned word = std::random_device{}();
  return std::to_string(getpid()) + ":" + std::to_string(word);
}

bool process_lives(std::string_view name) {
  if (name == process_name()) return true;
  pid_t pid = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
  if (parsed.ec != std::errc() || pid <= 0 || pid == getpid()) return false;
  return kill(pid, 0) == 0 || errno == EPERM;
}

}  // namespace pippin::service
