// guarded: what the root of each thread runs its work by. An exception that leaves a thread ends
// the process: one failed job is an error, a lost process is an outage. Thread: any.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/result.h"

namespace pippin {

/// Runs `work`. `where` names the job, for the log and the error: "[pull]".
/// Returns: kInternal, if it threw.
template <typename Work>
Result<void> guarded(std::string_view where, Work&& work) {
  std::string what = "an unknown exception";
  try {
    std::forward<Work>(work)();
    return {};
  } catch (const std::exception& thrown) {
    what = thrown.what();
  } catch (...) {  // NOLINT: whatever it is, it must not end the process
  }
  log::error("{} a job failed: {}", where, what);
  return fail(Code::kInternal, std::string(where) + " a job failed: " + what);
}

}  // namespace pippin
