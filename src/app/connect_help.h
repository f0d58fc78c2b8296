// What `pippin serve` prints when it is ready: where, what, and how to connect.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace pippin::app {

struct ServedModel {
  std::string id;
  std::string architecture;
  std::string path;
  int context_tokens = 0;
  std::string memory_plan;  // lines, each indented and with its end
};

/// Returns "http://127.0.0.1:8000"; an address that means "all" becomes the loopback one, and IPv6
/// gets its brackets.
std::string url_of(const std::string& host, uint16_t port, bool tls = false);

/// Returns whether only this machine can reach an address or name.
bool is_loopback(const std::string& host);

/// Checks that listening beyond loopback has API keys or `allow_unauthenticated`. Errors:
/// kInvalidArgument for --host.
Result<void> check_exposure(const std::string& host, bool asks_for_keys,
                            bool allow_unauthenticated);

/// Returns the text for a person, with three ways to connect.
std::string ready_text(const std::string& url, const ServedModel& model);

/// Returns the text as one word of a shell.
std::string shell_quoted(const std::string& text);

}  // namespace pippin::app
