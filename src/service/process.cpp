#include "service/process.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>
#include <random>
#include <sstream>

#ifdef __GLIBC__
#include <malloc.h>
#endif
#ifdef __APPLE__
#include <libproc.h>
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

// Returns when a process was started, as the system counts it, with the name of the machine's run;
// empty if there is none of this number. A number is used again, this is not.
std::string start_of(pid_t pid) {
#ifdef __APPLE__
  proc_bsdinfo info{};
  if (proc_pidinfo(pid, PROC_PIDTBSDINFO, 0, &info, sizeof(info)) != sizeof(info)) return {};
  return std::to_string(info.pbi_start_tvsec) + "." + std::to_string(info.pbi_start_tvusec);
#else
  constexpr int kStartField = 20;  // of those behind the program's name, which may hold anything
  std::ifstream boot_file("/proc/sys/kernel/random/boot_id");
  std::string boot, stat;
  std::getline(boot_file, boot);
  std::ifstream stat_file("/proc/" + std::to_string(pid) + "/stat");
  std::getline(stat_file, stat);
  std::istringstream fields(stat.substr(std::min(stat.rfind(')') + 1, stat.size())));
  std::string field;
  for (int i = 0; i < kStartField; ++i) fields >> field;
  return fields ? boot + "." + field : std::string();
#endif
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
  return std::to_string(getpid()) + ":" + start_of(getpid()) + ":" + std::to_string(word);
}

bool process_lives(std::string_view name) {
  if (name == process_name()) return true;
  pid_t pid = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
  if (parsed.ec != std::errc() || pid <= 0 || pid == getpid()) return false;
  std::string_view rest = name.substr(static_cast<size_t>(parsed.ptr - name.data()));
  if (!rest.starts_with(':')) return false;
  rest.remove_prefix(1);
  const std::string start = start_of(pid);
  return !start.empty() && rest.substr(0, rest.rfind(':')) == start;
}

}  // namespace pippin::service
