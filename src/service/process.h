// this_process: what the running program takes of the machine. Thread: any.
#pragma once

#include <cstdint>

namespace pippin::service {

struct Process {
  double started_unix_s = 0;
  double uptime_s = 0;
  double cpu_s = 0;             // of all threads, in user and kernel mode
  uint64_t resident_bytes = 0;  // 0 where the system does not say
};

Process this_process();

}  // namespace pippin::service
