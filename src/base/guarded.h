// guarded: what the root of each thread runs its work by. An exception that leaves a thread ends
// the process: one failed job is an error, a lost process is an outage. Thread: any.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/result.h"

namespace pippin {

/// Logs what a job threw. `where` names the job, `what` is the exception's text.
/// Returns: it as an error of kInternal.
Error job_failed(std::string_view where, std::string_view what);

/// Runs `work`, which returns nothing or a Result. `where` names the job, for the log and the
/// error: "[pull]".
/// Returns: what `work` returns; kInternal, if it threw.
template <typename Work>
auto guarded(std::string_view where, Work&& work) {
  using Given = std::invoke_result_t<Work>;
  using Returned = std::conditional_t<std::is_void_v<Given>, Result<void>, Given>;
  std::string what = "an unknown exception";
  try {
    if constexpr (std::is_void_v<Given>) {
      std::forward<Work>(work)();
      return Returned();
    } else {
      return std::forward<Work>(work)();
    }
  } catch (const std::exception& thrown) {
    what = thrown.what();
  } catch (...) {  // NOLINT: whatever it is, it must not end the process
  }
  return Returned(job_failed(where, what));
}

}  // namespace pippin
