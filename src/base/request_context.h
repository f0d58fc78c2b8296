// RequestContext: the context of one request of an API key: its id, its permissions and its quota.
// Made where keys are checked, carried by the request through all modules. Owner: shared by all
// that work on the request. Thread: any.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/access.h"
#include "base/result.h"

namespace pippin {

class RequestContext {
 public:
  virtual ~RequestContext() = default;
  /// The key's public id: for logs, and the owner of what the request stores.
  virtual const std::string& key_id() const = 0;
  /// What the key may do; constant during the request.
  virtual const Permissions& permissions() const = 0;
  /// Counts a prompt before it is computed. Errors: kRateLimited, with the time to retry; then
  /// nothing is counted.
  virtual Result<void> take_prompt(int64_t tokens) = 0;
  /// Counts one token of an answer. Returns: false, and counts nothing, if the key has none left.
  virtual bool take_token() = 0;
  /// Ends the request: it no longer counts as concurrent. Called at the end at the latest.
  virtual void leave() = 0;
  /// What this request has counted.
  struct Taken {
    int64_t prompt_tokens = 0, answer_tokens = 0;
  };
  virtual Taken taken() const = 0;
  /// Response headers about the key's limits; empty if it has none.
  virtual std::vector<std::pair<std::string, std::string>> headers() const = 0;
};

/// What the check of a request's keys gave.
struct Authentication {
  std::shared_ptr<RequestContext> caller;  // null: no key is needed, or none is valid
  std::optional<Error> refusal;            // why it is refused; a caller is then whose key it is
};

}  // namespace pippin
