// The one error type of expected failures: the caller's fault, the file's, the world's. Our own
// faults are CHECK's (check.h). Each API maps Code to its own status and form in one function.
#pragma once

#include <string>
#include <string_view>

namespace pippin {

enum class Code {
  kInvalidArgument,  // a field or a flag is wrong; `param` names it
  kContextLength,    // the prompt does not fit the context
  kNotFound,         // no such model, file, route, response
  kUnauthenticated,
  kPermissionDenied,
  kUnsupported,  // understood, but this build or this model cannot do it
  kInvalidFile,  // a model file is broken or hostile
  kTooLarge,     // over a stated limit
  kOverloaded,   // a full queue; try later
  kRateLimited,  // more than this key may use for now
  kOutOfMemory,  // the request's memory does not fit the budget
  kTimeout,      // a deadline passed
  kCancelled,    // the client left or asked to stop
  kUnavailable,  // starting, draining, or a peer is down
  kInternal,     // the substrate failed; the request is lost, the server lives on
};

/// Returns the name of a code, for logs: "invalid_argument".
std::string_view code_name(Code code);

/// An expected failure. `message` reads "[where] what was expected, what came"; `param` names the
/// field or file, if any.
struct Error {
  Code code = Code::kInternal;
  std::string message;
  std::string param;
  int retry_after_s = 0;  // when to try again; 0: not known
};

}  // namespace pippin
