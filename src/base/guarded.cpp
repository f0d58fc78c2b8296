#include "base/guarded.h"

#include "base/log.h"

namespace pippin {

Error job_failed(std::string_view where, std::string_view what) {
  log::error("{} a job failed: {}", where, what);
  return fail(Code::kInternal, std::string(where) + " a job failed: " + std::string(what));
}

}  // namespace pippin
