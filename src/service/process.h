// this_process: what the running program takes of the machine; and the names by which processes
// that share a file know each other. Thread: any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pippin::service {

struct Process {
  double started_unix_s = 0;
  double uptime_s = 0;
  double cpu_s = 0;             // of all threads, in user and kernel mode
  uint64_t resident_bytes = 0;  // 0 where the system does not say
};

Process this_process();

/// Gives the system back what was freed here and is kept for later, as after a model has gone.
void give_back_memory();

/// Returns a name of this process: its number, when it was started, and a word of its own. A later
/// process of the same number has another.
std::string process_name();
/// Returns whether the process of a name still lives.
bool process_lives(std::string_view name);

}  // namespace pippin::service
