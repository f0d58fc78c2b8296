// Caller: on whose behalf a request is worked on: one visit of the holder of an API key. Made where
// keys are checked, carried by the request through all rooms, and the visit ends with it.
// Owner: shared by all that work on the request. Thread: any.
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

class Caller {
 public:
  virtual ~Caller() = default;
  /// The key's public id: for logs, and to keep what belongs to it apart from what is others'.
  virtual const std::string& key_id() const = 0;
  /// What its key lets it do; does not change during the visit.
  virtual const Permissions& permissions() const = 0;
  /// Counts a prompt before it is computed. Errors: kRateLimited, saying when to try again; then it
  /// does not count.
  virtual Result<void> take_prompt(int64_t tokens) = 0;
  /// Counts one token of an answer. Returns: false if the key has none left; then it does not
  /// count.
  virtual bool take_token() = 0;
  /// The request is answered: another may take its place. Called at the end at the latest.
  virtual void leave() = 0;
  /// What this visit has counted.
  struct Taken {
    int64_t prompt_tokens = 0, answer_tokens = 0;
  };
  virtual Taken taken() const = 0;
  /// What an answer's head tells of the key's limits; empty if it has none.
  virtual std::vector<std::pair<std::string, std::string>> headers() const = 0;
};

/// How a request that presents keys is met.
struct Admission {
  std::shared_ptr<Caller> caller;  // null where no key is needed, or none that came is valid
  std::optional<Error> refusal;    // it is not let in; a caller is then who it is refused to
};

}  // namespace pippin
